"""What every runner shares: measure one job without its imports, print one JSON line."""

import json
import resource
import time


def measure(job, version):
    """Run `job` once."""
    before, started = _cpu(), time.perf_counter()
    result = job()
    wall = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"cpu_s": _cpu() - before, "wall_s": wall, "peak_mb": peak, "result": result, "version": version}))


def _cpu():
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
