"""
What ships where: function bundles and the training source bundle, built without Docker.

Everything is cached in .build/ by content: third-party packages by their lock file, bundles by lock and sources. The
archives are deterministic, so an unchanged bundle keeps its hash and a deployment leaves the function alone. A process
builds each thing once, so that all functions of a deployment have one state of the sources.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Final, Literal

from infra import shipped

__all__ = ["BUILD", "ROOT", "Architecture", "Group", "build_bundle", "build_source_bundle", "host_architecture"]

ROOT: Final = Path(__file__).resolve().parent.parent
BUILD: Final = ROOT / ".build"

Architecture = Literal["arm64", "x86_64"]
Group = Literal["control", "data"]

# Lambda runs Amazon Linux 2023 (glibc 2.34); SageMaker's scikit-learn image is x86_64 only.
PLATFORMS: Final[dict[Architecture, str]] = {
    "arm64": "aarch64-manylinux_2_28",
    "x86_64": "x86_64-manylinux_2_28",
}
PYTHON_VERSION: Final = "3.12"
# The earliest time that a zip archive can hold; file times would make every archive another one.
EPOCH: Final = (1980, 1, 1, 0, 0, 0)

Members = list[tuple[str, Path]]


def host_architecture() -> Architecture:
    """The architecture of this machine, so that a bundle can be tried here."""
    return "arm64" if os.uname().machine in ("aarch64", "arm64") else "x86_64"


@cache
def build_bundle(group: Group, architecture: Architecture, target: Path = BUILD) -> Path:
    """
    A zip archive that AWS Lambda runs: third-party packages of `group`, perennial and the group's functions.

    Parameters
    ----------
    group
        "control" (decisions over JSON) or "data" (reads rows and profiles): its lock is requirements/<group>.txt.
    architecture
        Of the Lambda function.
    target
        Where the cache and the result are kept.

    Returns
    -------
    The archive's path; its name changes when, and only when, what it holds may have changed.
    """
    lock = ROOT / "requirements" / f"{group}.txt"
    own = [*_perennial(shipped.NOT_IN_FUNCTIONS[group]), *_functions(group)]
    digest = _digest([("lock", lock), ("rules", Path(__file__)), ("rules", Path(shipped.__file__)), *own], architecture)
    archive = target / "bundles" / f"{group}-{architecture}-{digest}.zip"
    return _once(archive, lambda partial: _zip(_dependencies(group, architecture, target), own, partial))


@cache
def build_source_bundle(loop: str, target: Path = BUILD) -> Path:
    """
    The folder that SageMaker's containers run from: sourcedir.tar.gz and the bootstrap.py that unpacks it.

    In the archive: training/, the pure part of perennial/, loops/<name>/ without its data, the entry points at the
    root where script mode looks for them, and wheels/ of what AWS's image lacks, so that no container needs a
    package index.

    Parameters
    ----------
    loop
        Name of a folder in loops/.
    target
        Where the cache and the result are kept.

    Raises
    ------
    FileNotFoundError
        The loop has no model.py.
    """
    folder = ROOT / "loops" / loop
    if not (folder / "model.py").is_file():
        raise FileNotFoundError(f"loops/{loop} must have a model.py. It has none.")
    lock = ROOT / "requirements" / "vendor.txt"
    own = [
        *((name, ROOT / "training" / name) for name in shipped.ENTRY_POINTS),
        *_tree(ROOT / "training", "training"),
        *_perennial(shipped.NOT_IN_CONTAINERS),
        *_tree(folder, f"loops/{loop}", without={"data"}),
    ]
    digest = _digest([("lock", lock), ("rules", Path(__file__)), ("rules", Path(shipped.__file__)), *own], loop)

    def write(partial: Path) -> None:
        partial.mkdir()
        wheels = _wheels(target)
        members = [*own, *((f"wheels/{path.name}", path) for path in sorted(wheels.glob("*.whl")))]
        _tar(members, partial / "sourcedir.tar.gz")
        shutil.copyfile(ROOT / "training" / "bootstrap.py", partial / "bootstrap.py")

    return _once(target / "sources" / f"{loop}-{digest}", write)


def _perennial(without: Iterable[str]) -> Members:
    return list(_tree(ROOT / "perennial", "perennial", without=without))


def _functions(group: Group) -> Members:
    names = {"__init__", "_shell", *shipped.FUNCTIONS[group]}
    return [(name, path) for name, path in _tree(ROOT / "functions", "functions") if path.stem in names]


def _tree(folder: Path, name: str, without: Iterable[str] = ()) -> Iterator[tuple[str, Path]]:
    """Files below `folder` as (name in the archive, path), in a fixed order; `without` names its direct children."""
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_file() and path.suffix in shipped.SUFFIXES and Path(parts[0]).stem not in without:
            yield f"{name}/{'/'.join(parts)}", path


def _digest(members: Iterable[tuple[str, Path]], *extra: str) -> str:
    content = hashlib.sha256("\x1f".join((*extra, sys.implementation.cache_tag)).encode())
    for name, path in members:
        content.update(f"{name}\x1f".encode())
        content.update(hashlib.sha256(path.read_bytes()).digest())
    return content.hexdigest()[:20]


def _once(result: Path, make: Callable[[Path], None]) -> Path:
    """Make `result` unless it exists; others may be making the same at the same time, the last one wins."""
    if result.exists():
        return result
    result.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=result.parent, prefix=".partial-") as folder:
        partial = Path(folder) / result.name
        make(partial)
        if result.exists() and result.is_dir():
            return result
        partial.replace(result)
    return result


def _dependencies(group: Group, architecture: Architecture, target: Path) -> Path:
    """An archive of the group's third-party packages: installed, trimmed, compiled."""
    lock = ROOT / "requirements" / f"{group}.txt"
    digest = _digest([("lock", lock), ("rules", Path(shipped.__file__))], architecture)

    def install(partial: Path) -> None:
        folder = partial.with_suffix(".installed")
        _uv(
            *("pip", "install", "--target", str(folder), "--python-platform", PLATFORMS[architecture]),
            *("--python-version", PYTHON_VERSION, "--only-binary", ":all:", "--no-deps", "--require-hashes"),
            *("--link-mode", "copy", "--quiet", "-r", str(lock)),
        )
        _trim(folder)
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as file:
            _add(file, _tree_of_packages(folder))

    return _once(target / "dependencies" / f"{group}-{architecture}-{digest}.zip", install)


def _trim(folder: Path) -> None:
    """Remove what no function of ours uses; shipped.py says what and why."""
    for pattern in shipped.UNUSED:
        for path in folder.glob(pattern):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
    for path in folder.glob("botocore/data/*/"):
        if path.name not in shipped.BOTOCORE_SERVICES:
            shutil.rmtree(path)


def _wheels(target: Path) -> Path:
    """A folder with the wheels of requirements/vendor.txt for AWS's scikit-learn image."""
    lock = ROOT / "requirements" / "vendor.txt"
    platforms = [flag for tag in shipped.WHEEL_PLATFORMS for flag in ("--platform", f"{tag}_x86_64")]

    def download(partial: Path) -> None:
        partial.mkdir()
        # uv has no `download`; pip has, checks the same hashes and leaves wheels as they are.
        command = [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"),
            *("--only-binary", ":all:", "--require-hashes", "--python-version", PYTHON_VERSION, "--abi", "cp312"),
            *("--abi", "none", "--implementation", "cp", *platforms, "-r", str(lock), "--dest", str(partial)),
        ]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)

    return _once(target / "wheels" / _digest([("lock", lock)], *shipped.WHEEL_PLATFORMS), download)


def _uv(*arguments: str) -> None:
    beside = Path(sys.executable).parent / "uv"
    command = str(beside) if beside.exists() else shutil.which("uv")
    if command is None:
        raise FileNotFoundError("uv must be installed to build bundles: run `make .venv/.has-synth`")
    subprocess.run([command, *arguments], check=True, stdin=subprocess.DEVNULL)


def _compiled(path: Path, name: str) -> bytes:
    """
    The bytecode of `path`, never checked against its source: Lambda's disk is read-only and its clock our build's.

    Raises
    ------
    SyntaxError
        The file isn't Python 3.12.
    RuntimeError
        We aren't Python 3.12, whose bytecode Lambda runs.
    """
    from importlib._bootstrap_external import _code_to_hash_pyc  # type: ignore[attr-defined]
    from importlib.util import source_hash

    if sys.version_info[:2] != (3, 12):
        raise RuntimeError(f"bundles must be compiled by Python {PYTHON_VERSION}. Got {sys.version} instead.")
    source = path.read_bytes()
    code = compile(source, f"/var/task/{name}", "exec", dont_inherit=True, optimize=0)
    return bytes(_code_to_hash_pyc(code, source_hash(source), checked=False))


def _zip(dependencies: Path, own: Members, archive: Path) -> None:
    """The archive of third-party packages (cached) with our files appended: an edit of ours costs a second."""
    shutil.copyfile(dependencies, archive)
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as file:
        _add(file, own)


def _add(file: zipfile.ZipFile, members: Iterable[tuple[str, Path]]) -> None:
    for name, path in members:
        _write(file, name, path.read_bytes())
        if path.suffix != ".py":
            continue
        folder, _, stem = name.rpartition("/")
        try:
            bytecode = _compiled(path, name)
        except SyntaxError:  # a template that only ends in .py
            continue
        cached = f"__pycache__/{stem.removesuffix('.py')}.{sys.implementation.cache_tag}.pyc"
        _write(file, f"{folder}/{cached}" if folder else cached, bytecode)


def _tree_of_packages(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(folder).as_posix(), path


def _write(file: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.external_attr = 0o100644 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    file.writestr(entry, content)


def _tar(members: Members, archive: Path) -> None:
    # Level 1: nearly all of it are wheels, which are compressed already.
    with (
        archive.open("wb") as raw,
        gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=1, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as file,
    ):
        for name, path in sorted(members):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = path.stat().st_size, 0o644
            with path.open("rb") as content:
                file.addfile(entry, content)
