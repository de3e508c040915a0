"""
Peers' own jobs on the same files beside ours, each in an environment of its own (benchmarks/peer_environments.py).

A job is a function of a runner in benchmarks/data/runners. Ours run there too, by the same clock, in turn with the
peers', so that a busy minute of the machine falls on all alike. Processor seconds are compared: they count every
thread. Other work on the machine raises them too, by caches and memory shared, so the table says how busy it was.
"""

from __future__ import annotations

import os
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.data.generate import DRIFTED, warm
from benchmarks.peer_environments import OURS, PeerFailed, call, interpreter_of

__all__ = ["JOBS", "Job", "measure_peers", "peers_table"]

RUNNERS = Path(__file__).parent / "runners"


@dataclass(frozen=True, slots=True)
class Job:
    """One peer's job, the job of ours that answers the same question, and how many times ours it must cost."""

    peer: str
    name: str
    title: str
    ours: str = ""
    target: float = 0.0

    @property
    def key(self) -> str:
        """Its name among the figures."""
        return f"{self.peer} {self.name}"


JOBS: tuple[Job, ...] = (
    Job(OURS, "reading", "ours: read both files (pyarrow), and do nothing"),
    Job(OURS, "drift", "ours: validate and profile both files, compare the profiles"),
    Job(OURS, "profiles", "ours: profile both files, compare the profiles"),
    Job(OURS, "validation", "ours: validate the current file (and profile it)"),
    Job("nannyml", "ks", "NannyML, KS and chi-square", "profiles", 7),
    Job("frouros", "drift", "frouros, KS and chi-square", "profiles", 7),
    Job("nannyml", "drift", "NannyML, its defaults (Jensen-Shannon)", "profiles", 30),
    Job("whylogs", "drift", "whylogs, profiles of both files and their drift scores", "profiles", 60),
    Job("evidently", "drift", "evidently, data drift preset", "profiles", 90),
    Job("great_expectations", "validation", "Great Expectations, our contract as a suite", "validation", 5),
)


def measure_peers(folder: Path, repeats: int) -> dict[str, dict[str, Any]]:
    """Medians of each job; a peer that can't be installed or fails says so instead."""
    failed = {}
    for peer in dict.fromkeys(job.peer for job in JOBS):
        try:
            interpreter_of(peer)
        except PeerFailed as error:
            failed[peer] = str(error)
    runs: dict[str, list[dict[str, Any]]] = {job.key: [] for job in JOBS}
    for turn in range(repeats):
        for job in JOBS:
            if job.peer not in failed:
                _take_turn(job, folder, turn, runs, failed)
    return {job.key: {"error": failed[job.peer]} if job.peer in failed else _median(runs[job.key]) for job in JOBS}


def _take_turn(
    job: Job, folder: Path, turn: int, runs: dict[str, list[dict[str, Any]]], failed: dict[str, str]
) -> None:
    files = [str(folder / name) for name in ("reference.parquet", "current.parquet")]
    warm(*files)
    try:
        found = call(job.peer, RUNNERS / f"run_{job.peer}.py", job.name, *files)
    except PeerFailed as error:
        failed[job.peer] = str(error)
        return
    runs[job.key].append(found | {"load": os.getloadavg()[0]})
    print(f"turn {turn + 1}: {job.title}: {found['cpu_s']:.2f} CPU s", file=sys.stderr, flush=True)


def _median(runs: list[dict[str, Any]]) -> dict[str, Any]:
    medians = {key: statistics.median(r[key] for r in runs) for key in ("cpu_s", "wall_s", "peak_mb")}
    spread = [min(r["cpu_s"] for r in runs), max(r["cpu_s"] for r in runs)]
    load = max(r["load"] for r in runs)
    return {
        **medians,
        "cpu_s_range": spread,
        "load": load,
        "result": runs[-1]["result"],
        "version": runs[-1]["version"],
    }


def peers_table(figures: dict[str, dict[str, Any]]) -> str:
    """The figures as a Markdown table: how many times ours each peer costs, and whether that is what we aim at."""
    lines = [
        "| job | version | CPU s | wall s | peak MB | times ours (CPU) | target | met | drifted columns named |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for job in JOBS:
        found = figures[job.key]
        if "error" in found:
            cells = [job.title, f"did not run: {found['error']}", *[""] * 7]
        else:
            cells = [job.title, found["version"], *_numbers(found), *_against_ours(job, figures), _named(job, found)]
        lines.append("| " + " | ".join(cells) + " |")
    loads = [found["load"] for found in figures.values() if "load" in found]
    if loads:
        lines += ["", f"Highest load average meanwhile: {max(loads):.1f} on {os.cpu_count()} cores"]
    return "\n".join(lines)


def _numbers(found: dict[str, Any]) -> list[str]:
    return [f"{found['cpu_s']:.2f}", f"{found['wall_s']:.2f}", f"{found['peak_mb']:.0f}"]


def _against_ours(job: Job, figures: dict[str, dict[str, Any]]) -> list[str]:
    ours = figures.get(f"{OURS} {job.ours}", {}).get("cpu_s")
    if not ours:
        return ["", "", ""]
    times = figures[job.key]["cpu_s"] / ours
    return [f"{times:.1f}", f"{job.target:g}", "yes" if times >= job.target else "no"]


def _named(job: Job, found: dict[str, Any]) -> str:
    """How many of the columns that drift a job names, and how many that don't."""
    if job.name == "reading" or "validation" in (job.name, job.ours):
        return ""
    named = set(found["result"])
    return f"{len(named & set(DRIFTED))} of {len(DRIFTED)}, {len(named - set(DRIFTED))} others"
