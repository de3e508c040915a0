"""`python -m benchmarks.data [--rows N] [--repeats N] [--peers] [--json FILE]`: generate, measure, print a table."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.data.peers import measure_peers, peers_table

__all__ = ["main"]

ROOT = Path(__file__).parents[2]
#: Task, the task that it is a multiple of, and how many times its CPU it may cost.
OURS = {
    "profile_parquet": ("read_parquet", None),
    "validate_parquet": ("read_parquet", 2.5),
    "validate_parquet_all_cores": ("read_parquet", None),
    "land_parquet": ("read_parquet", None),
    "validate_csv": ("read_csv", 1.5),
    "validate_dirty_csv": ("read_csv", 1.5),
    "validate_csv_all_cores": ("read_csv", None),
    "land_csv": ("read_csv", None),
    "validate_jsonl": ("read_jsonl_arrow", None),
}
READS = ("read_parquet", "read_csv_arrow", "read_csv_duckdb", "read_jsonl_arrow")


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--peers", action="store_true", help="run the peers' jobs too, each in an environment of its own"
    )
    parser.add_argument("--json", type=Path, help="also write all figures here")
    options = parser.parse_args()
    folder = ROOT / ".build" / "benchmarks" / "data" / str(options.rows)
    # In a process of its own: children inherit their parent's peak of memory.
    subprocess.run(
        [sys.executable, "-m", "benchmarks.data.generate", str(folder), str(options.rows)], cwd=ROOT, check=True
    )
    figures = measure(folder, options.repeats)
    if options.peers:
        figures["peers"] = measure_peers(folder, options.repeats)
    print(table_of(figures, options.rows))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


def measure(folder: Path, repeats: int) -> dict[str, Any]:
    """
    Medians of each task. Tasks take turns, so that a busy minute of the machine falls on all of them alike.
    """
    tasks = [*(t for t in READS if t != "read_csv_duckdb" or importlib.util.find_spec("duckdb")), *OURS]
    if not (folder / "current.jsonl").exists():
        tasks = [t for t in tasks if "jsonl" not in t]
    runs: dict[str, list[dict[str, Any]]] = {task: [] for task in tasks}
    for _ in range(repeats):
        for task in tasks:
            runs[task].append(_run(task, folder))
    medians = {task: _median(found) for task, found in runs.items()}
    medians["read_csv"] = min((medians[t] for t in tasks if t.startswith("read_csv")), key=lambda m: m["cpu_s"])
    for task, (read, limit) in OURS.items():
        if task not in medians:
            continue
        medians[task] |= {"times_the_read": round(medians[task]["cpu_s"] / medians[read]["cpu_s"], 2), "limit": limit}
    machine = {"python": platform.python_version(), "machine": platform.machine(), "repeats": repeats}
    machine["cores"] = len(os.sched_getaffinity(0))
    return {"tasks": medians, "machine": machine}


def _run(task: str, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.data.task", task, str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _median(runs: list[dict[str, Any]]) -> dict[str, Any]:
    numbers = {key: statistics.median(r[key] for r in runs) for key in ("cpu_s", "wall_s", "peak_mb")}
    return {**numbers, "result": runs[-1]["result"]}


def table_of(figures: dict[str, Any], rows: int) -> str:
    """The figures as a Markdown table."""
    machine = figures["machine"]
    lines = [f"{rows:,} rows, medians of {machine['repeats']}; one core of {machine['cores']} unless all are named", ""]
    lines += ["| task | CPU s | wall s | peak MB | x read (CPU) | limit |", "|---|---|---|---|---|---|"]
    for task, found in figures["tasks"].items():
        if task == "read_csv":
            continue
        multiple, limit = found.get("times_the_read", ""), found.get("limit") or ""
        cells = (task, f"{found['cpu_s']:.2f}", f"{found['wall_s']:.2f}", f"{found['peak_mb']:.0f}", multiple, limit)
        lines.append("| " + " | ".join(str(c) for c in cells) + " |")
    stored = figures["tasks"]["profile_parquet"]["result"]
    lines += ["", f"The stored profile of the batch has {stored / 1024:.0f} KB."]
    if "peers" in figures:
        lines += ["", peers_table(figures["peers"])]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
