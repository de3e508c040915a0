"""
What every runner shares: `python run_X.py JOB REFERENCE CURRENT` measures one job without its imports.

Prints one JSON line: CPU seconds (of threads and child processes too), wall seconds, peak resident memory, what the
job found, and the peer's version.
"""

import json
import os
import resource
import sys
import time

#: Columns that say which row it is, not what it holds: no peer and not we look for drift in them.
SKIPPED = ("record_id", "event_at")


def measure(jobs, version):
    """Run the job that the command line names on the files that it names."""
    name, reference, current = sys.argv[1:4]
    before, started = _cpu(), time.perf_counter()
    result = jobs[name](reference, current)
    wall = time.perf_counter() - started
    spent = _cpu() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = {"cpu_s": spent, "wall_s": wall, "peak_mb": peak, "result": result, "version": version}
    print("\n" + json.dumps(found, default=str), flush=True)
    # Some peers leave a thread that waits for a server nobody runs.
    os._exit(0)


def numbers_and_categories(frame):
    """Names of a pandas frame's columns by kind; a boolean is a category."""
    numbers = [c for c in frame if frame[c].dtype.kind in "iuf" and c not in SKIPPED]
    return numbers, [c for c in frame if c not in numbers and c not in SKIPPED]


def _cpu():
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
