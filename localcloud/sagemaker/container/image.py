"""
Runs a program as the image would: with the packages that are installed, but nothing of the host's own source trees.

    python image.py PROGRAM ARGUMENTS...

A checkout that is installed in development mode puts itself on the path of every process. A container has no such
checkout: a bundle that forgets a module of it must fail here as it would fail there.
"""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path


def leave_the_checkout() -> None:
    """Take off the path all that neither the interpreter, nor its packages, nor PYTHONPATH put there."""
    given = [Path(part).resolve() for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    roots = [Path(root).resolve() for root in (sys.prefix, sys.base_prefix, sys.exec_prefix)]

    def belongs(entry: str) -> bool:
        path = Path(entry or ".").resolve()
        return path in given or any(path.is_relative_to(root) for root in roots)

    sys.path[:] = [entry for entry in sys.path if belongs(entry)]
    sys.meta_path[:] = [finder for finder in sys.meta_path if "__editable__" not in getattr(finder, "__module__", "")]


def main(program: str, *arguments: str) -> None:
    """Run `program` as `__main__`, its own directory first on the path, as `python PROGRAM` does."""
    leave_the_checkout()
    sys.path.insert(0, str(Path(program).resolve().parent))
    sys.argv[:] = [program, *arguments]
    runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    main(*sys.argv[1:])
