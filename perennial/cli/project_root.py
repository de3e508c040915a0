"""Where the user's project is: the folder that holds `loops/` and `cdk.json`."""

from __future__ import annotations

import os
from pathlib import Path

from perennial.errors import EnvironmentLacking
from perennial.project import Loop, find_loops, load_loop

__all__ = ["find_root", "load_named_loop"]


def find_root(start: Path | None = None) -> Path:
    """
    The nearest folder, upwards from the current one, that holds `loops/` and `cdk.json`.

    Raises
    ------
    EnvironmentLacking
        There is none.
    """
    start = (start or Path(os.environ.get("PERENNIAL_ROOT", "."))).resolve()
    for folder in (start, *start.parents):
        if (folder / "loops").is_dir() and (folder / "cdk.json").is_file():
            return folder
    raise EnvironmentLacking(
        f"the current folder must be inside a project with loops/ and cdk.json. Got {start} instead: "
        "change to your clone, or set PERENNIAL_ROOT."
    )


def load_named_loop(name: str, root: Path | None = None) -> Loop:
    """The loop `name` of the project; an unknown name says which exist."""
    root = root or find_root()
    find_loops(root / "loops")
    return load_loop(root / "loops" / name)
