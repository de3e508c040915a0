"""
The environments in which peers run: one each, at an exact version, built when first asked for under .build/peers.

A peer's packages would move ours to other versions, so none of them is ever installed beside Perennial. What runs in
there is a file of its own, a *runner*, that prints one JSON line.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["ENVIRONMENTS", "OURS", "Environment", "PeerFailed", "build", "call", "interpreter_of"]

ROOT = Path(__file__).parents[1]
HOME = ROOT / ".build" / "peers"
SECONDS = 3600
OURS = "perennial"
"""Name under which a runner is given this project's own interpreter."""
QUIET = {
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "DO_NOT_TRACK": "1",
    "NML_DISABLE_USAGE_LOGGING": "1",
    "WHYLOGS_NO_ANALYTICS": "True",
    "GX_ANALYTICS_ENABLED": "false",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}
"""Nobody reports to a server while measured, and idle threads of linear algebra don't count as work, ours or theirs."""


class PeerFailed(Exception):
    """A peer that could not be installed, or whose runner ended in an error; says why in one line."""


@dataclass(frozen=True, slots=True)
class Environment:
    """What a peer's environment holds, and the Python that its packages are built for."""

    packages: tuple[str, ...]
    python: str = "3.12"


ENVIRONMENTS: dict[str, Environment] = {
    "nannyml": Environment(("nannyml==0.13.1", "statsmodels", "pyarrow")),
    "frouros": Environment(("frouros==0.9.0", "pandas", "pyarrow")),
    "evidently": Environment(("evidently==0.7.23", "pandas<3", "pyarrow")),
    "whylogs": Environment(("whylogs==1.6.4", "numpy<2", "pandas<3", "pyarrow<20", "ipython", "scipy")),
    "great_expectations": Environment(("great_expectations==1.24.1", "pandas", "pyarrow")),
}


def interpreter_of(peer: str) -> Path:
    """The interpreter of a peer's environment; PeerFailed when it can't be built."""
    return Path(sys.executable) if peer == OURS else build(HOME / peer, ENVIRONMENTS[peer])


def build(folder: Path, wanted: Environment) -> Path:
    """
    The interpreter of an environment, which is built when it is not there or holds other packages.

    Raises
    ------
    PeerFailed
        There is no such Python here, or its packages can't be installed.
    """
    python, stamp = folder / "bin" / "python", folder / "packages.json"
    recipe = [wanted.python, *wanted.packages]
    if stamp.exists() and json.loads(stamp.read_text()) == recipe:
        return python
    base = _base_python(folder.name, wanted.python)
    print(f"building an environment for {folder.name} ({', '.join(wanted.packages)})", file=sys.stderr, flush=True)
    _run(folder.name, [base, "-m", "venv", "--clear", str(folder)])
    _run(folder.name, [str(python), "-m", "pip", "install", "--quiet", *wanted.packages])
    stamp.write_text(json.dumps(recipe))
    return python


def call(peer: str, runner: Path, *arguments: str) -> dict[str, Any]:
    """What a runner prints last, run in its peer's environment."""
    output = _run(peer, [str(interpreter_of(peer)), str(runner), *arguments])
    found: dict[str, Any] = json.loads(output.splitlines()[-1])
    return found


def _base_python(peer: str, version: str) -> str:
    if sys.version_info[:2] == tuple(map(int, version.split("."))):
        return sys.executable
    found = shutil.which(f"python{version}")
    if found is None:
        raise PeerFailed(f"{peer} needs Python {version}, which is not on the PATH")
    return found


def _run(peer: str, command: list[str]) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=ROOT, timeout=SECONDS, check=False, env=os.environ | QUIET
        )
    except subprocess.TimeoutExpired as error:
        raise PeerFailed(f"{peer} took more than {SECONDS} s") from error
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or [f"ended with code {done.returncode}"]
        raise PeerFailed(f"{peer}: {lines[-1][:200]}")
    return done.stdout
