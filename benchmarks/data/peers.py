"""
Peers' own jobs on the same files, each in a virtual environment that is built on demand under .build/peers/.

A runner is one file in benchmarks/data/runners; it is given the two Parquet files and prints one JSON line.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

__all__ = ["PEERS", "measure_peers"]

RUNNERS = Path(__file__).parent / "runners"
_SECONDS = 1800
#: Peer, packages of its environment, files that its job reads (1: the current batch; 2: the reference too).
PEERS: dict[str, tuple[tuple[str, ...], int]] = {
    "nannyml": (("nannyml==0.13.1", "statsmodels", "pyarrow"), 2),
    "frouros": (("frouros==0.9.0", "pandas", "pyarrow"), 2),
    "evidently": (("evidently==0.7.23", "pandas<3", "pyarrow"), 2),
    "whylogs": (("whylogs==1.6.4", "numpy<2", "pandas<3", "pyarrow", "ipython", "scipy"), 2),
    "great_expectations": (("great_expectations==1.24.1", "pandas", "pyarrow"), 1),
}


def measure_peers(folder: Path, environments: Path, repeats: int) -> dict[str, dict[str, Any]]:
    """Medians of each peer's job; a peer that can't be installed or fails says so instead."""
    found = {}
    for peer, (packages, files) in PEERS.items():
        try:
            python = _environment(environments / peer, packages)
            runs = [_run(python, peer, folder) for _ in range(repeats)]
            medians = {key: statistics.median(r[key] for r in runs) for key in ("cpu_s", "wall_s", "peak_mb")}
            found[peer] = {**medians, "files": files, "result": runs[-1]["result"], "version": runs[-1]["version"]}
        except subprocess.SubprocessError as error:
            output = getattr(error, "stderr", None) or str(error)
            found[peer] = {"error": str(output).strip().splitlines()[-1][:160]}
    return found


def _environment(folder: Path, packages: tuple[str, ...]) -> Path:
    """The interpreter of an environment with these packages."""
    python, stamp = folder / "bin" / "python", folder / "packages.json"
    if stamp.exists() and json.loads(stamp.read_text()) == list(packages):
        return python
    venv.create(folder, with_pip=True, clear=True)
    _call([str(python), "-m", "pip", "install", "--quiet", *packages])
    stamp.write_text(json.dumps(packages))
    return python


def _run(python: Path, peer: str, folder: Path) -> dict[str, Any]:
    files = [str(folder / "reference.parquet"), str(folder / "current.parquet")]
    done = _call([str(python), str(RUNNERS / f"run_{peer}.py"), *files])
    found: dict[str, Any] = json.loads(done.splitlines()[-1])
    return found


def _call(command: list[str]) -> str:
    print("+", " ".join(Path(c).name for c in command), file=sys.stderr)
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=_SECONDS).stdout
