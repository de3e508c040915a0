"""
What the source bundle of a loop holds: the one allow-list of what goes into SageMaker's containers.

    sourcedir.tar.gz
    ├── train.py, inference.py   the root scripts that script mode names (training/entry_points/)
    ├── training/                this package
    ├── perennial/               the pure part: no aws, no cli, no report
    ├── loops/<name>/            loop.toml, model.py and what it imports; no sample data
    └── wheels/                  pydantic, pyarrow and what they need, for an image that lacks them

The same list, without the wheels that serving never imports, is copied into each model as `code/`, so that a
model.tar.gz serves by itself.
"""

from __future__ import annotations

import gzip
import io
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

__all__ = ["BOOTSTRAP", "SERVING_PROGRAM", "TRAINING_PROGRAM", "copy_code", "members", "write_bundle"]

TRAINING_PROGRAM = "train.py"
SERVING_PROGRAM = "inference.py"
BOOTSTRAP = Path(__file__).with_name("bootstrap.py")

_NOT_PURE = ("aws", "cli", "report")
_TRAINING_ONLY_WHEELS = ("pyarrow",)


def members(root: Path, loop: str) -> Iterator[tuple[str, Path]]:
    """
    Names in the bundle and the files they come from, sorted by name; `root` is a checkout or an unpacked bundle.

    Raises
    ------
    FileNotFoundError
        The loop has no model.py.
    """
    model = root / "loops" / loop / "model.py"
    if not model.is_file():
        raise FileNotFoundError(f"a loop must have a model.py. {model} does not exist.")
    chosen = {f"{path.name}": path for path in (root / "training" / "entry_points").glob("*.py")}
    for folder in ("training", "perennial", f"loops/{loop}"):
        for path in (root / folder).rglob("*"):
            relative = path.relative_to(root)
            if path.suffix in (".py", ".toml") and not _left_out(relative):
                chosen[relative.as_posix()] = path
    yield from sorted(chosen.items())


def _left_out(relative: Path) -> bool:
    parts = relative.parts
    return "__pycache__" in parts or (parts[0] == "perennial" and parts[1] in _NOT_PURE) or "data" in parts[2:-1]


def write_bundle(root: Path, loop: str, target: Path, *, wheels_dir: Path | None = None) -> Path:
    """
    Write the bundle of one loop to `target`; the same files always give the same bytes.

    Parameters
    ----------
    wheels_dir
        Wheels to ship under wheels/ (cp312, manylinux x86_64); None ships none.
    """
    files = list(members(root, loop))
    if wheels_dir is not None:
        files += [(f"wheels/{wheel.name}", wheel) for wheel in sorted(wheels_dir.glob("*.whl"))]
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        target.open("wb") as raw,
        gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name, path in files:
            content = path.read_bytes()
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.mtime = len(content), 0o644, 0
            archive.addfile(entry, io.BytesIO(content))
    return target


def copy_code(root: Path, loop: str, target: Path) -> None:
    """Copy the bundle's files into a model's `code/` folder."""
    files = list(members(root, loop))
    for wheel in sorted((root / "wheels").glob("*.whl")):
        if not wheel.name.startswith(_TRAINING_ONLY_WHEELS):
            files.append((f"wheels/{wheel.name}", wheel))
    for name, path in files:
        destination = target / name
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, destination)
