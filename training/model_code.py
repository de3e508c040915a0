"""
The code that a model carries with it, so that a model.tar.gz serves by itself.

The source bundle (infra/packaging.py says what is in it) is unpacked as:

    train.py, inference.py, bootstrap.py   entry points, also in training/
    training/, perennial/, loops/<name>/   this package, the pure part of perennial, one loop without its data
    wheels/                                pydantic and what it needs, which AWS's image lacks
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

__all__ = ["copy_code"]

_ENTRY_POINTS = ("train.py", "inference.py", "bootstrap.py")
_SUFFIXES = (".py", ".json", ".toml", ".typed")


def copy_code(bundle_dir: Path, loop: str, target: Path) -> None:
    """Copy what serving needs of an unpacked bundle, or of a checkout, into `target`."""
    for source in _files(bundle_dir, loop):
        destination = target / source.relative_to(bundle_dir)
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, destination)
    for name in _ENTRY_POINTS:
        shutil.copyfile(bundle_dir / "training" / name, target / name)


def _files(bundle_dir: Path, loop: str) -> Iterator[Path]:
    for folder in ("training", "perennial", f"loops/{loop}"):
        for path in sorted((bundle_dir / folder).rglob("*")):
            inside = path.relative_to(bundle_dir / folder).parts
            if path.suffix in _SUFFIXES and "__pycache__" not in inside and inside[0] != "data":
                yield path
    yield from sorted((bundle_dir / "wheels").glob("*.whl"))
