"""
A function's code, unpacked once and made loadable on this machine.

A bundle built for Lambda's arm64 holds shared objects that an x86 laptop can't load. Those packages are put aside, and
the same version of the same distribution is linked in from this interpreter's own site-packages; so everything that
is not machine code still runs from the bundle itself.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import os
import shutil
import threading
import zipfile
from collections.abc import Iterable
from email.parser import HeaderParser
from pathlib import Path

from localcloud.lambdas import architecture

_BINARY_SUFFIXES = (".so", ".dylib")
_lock = threading.Lock()


class UnusableBundle(RuntimeError):
    """The bundle holds binaries for another machine, and this interpreter can't stand in for them."""


def unpack(code: bytes, cache: Path) -> Path:
    """
    The directory that holds `code`, made on the first call for it.

    Raises
    ------
    UnusableBundle
        A package with foreign binaries is not installed here, or in another version than the bundle says.
    """
    target = cache / hashlib.sha256(code).hexdigest()[:32]
    with _lock:
        if not target.exists():
            partial = target.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)
            with zipfile.ZipFile(io.BytesIO(code)) as archive:
                archive.extractall(partial)
            replace_foreign(partial)
            partial.rename(target)
    return target


def replace_foreign(root: Path) -> list[str]:
    """Put packages with foreign binaries aside, link this interpreter's in, and give the distributions' names."""
    foreign = {path.relative_to(root).parts[0] for path in _binaries(root) if architecture.is_foreign(path)}
    if not foreign:
        return []
    owners = _distributions(root)
    replaced: list[str] = []
    for name in sorted(foreign):
        if name.endswith(".libs"):
            continue
        owning = [owner for owner in owners if name in owner.top_levels] or [_guess(name, owners)]
        for distribution in owning:
            if distribution.name not in replaced:
                distribution.link_from_host(root)
                replaced.append(distribution.name)
    _remove(root, {name for name in foreign if not (root / name).is_symlink()})
    return replaced


class _Distribution:
    """One installed distribution of a bundle, as its .dist-info describes it."""

    def __init__(self, name: str, version: str | None, info: str | None, top_levels: Iterable[str]) -> None:
        self.name = name
        self.version = version
        self.info = info
        self.top_levels = set(top_levels)

    def link_from_host(self, root: Path) -> None:
        installed = self._installed()
        _remove(root, self.top_levels | ({self.info} if self.info else set()))
        base = Path(str(installed.locate_file(""))).resolve()
        files = installed.files or []
        for name in sorted({file.parts[0] for file in files if file.parts[0] not in ("..", "bin")}):
            link, source = root / name, base / name
            if source.exists() and not link.exists() and name != "__pycache__":
                link.symlink_to(source)

    def _installed(self) -> importlib.metadata.Distribution:
        which = f"{self.name} {self.version}" if self.version else self.name
        binaries = f"the bundle's {which} holds binaries for another machine"
        system, machine = architecture.host()
        try:
            installed = importlib.metadata.distribution(self.name)
        except importlib.metadata.PackageNotFoundError:
            raise UnusableBundle(
                f"{binaries} than this one ({system} {machine}), and this interpreter has no {self.name} to run "
                f"instead. Install {self.name}{'==' + self.version if self.version else ''} beside the local cloud"
            ) from None
        if self.version and installed.version != self.version:
            raise UnusableBundle(
                f"{binaries}. To stand in for it, this interpreter must have {self.name} {self.version}. "
                f"Got {installed.version} instead"
            )
        return installed


def _guess(name: str, owners: list[_Distribution]) -> _Distribution:
    """Where the bundle says nothing of its owner (a stripped .dist-info), ask this interpreter who provides `name`."""
    module = name.split(".")[0]
    for provider in importlib.metadata.packages_distributions().get(module, [module]):
        for owner in owners:
            if _normal(owner.name) == _normal(provider):
                owner.top_levels |= {name, f"{name}.libs"}
                return owner
        return _Distribution(provider, None, None, {name, f"{module}.libs"})
    return _Distribution(module, None, None, {name})


def _distributions(root: Path) -> list[_Distribution]:
    found = []
    for info in sorted(root.glob("*.dist-info")):
        metadata = info / "METADATA"
        header = HeaderParser().parsestr(metadata.read_text("utf-8", "replace")) if metadata.exists() else {}
        name, _, version = info.name.removesuffix(".dist-info").rpartition("-")
        record = info / "RECORD"
        lines = record.read_text("utf-8", "replace").splitlines() if record.exists() else []
        tops = {line.split(",")[0].split("/")[0] for line in lines} - {"..", "bin", info.name, "__pycache__", ""}
        found.append(_Distribution(header.get("Name") or name, header.get("Version") or version, info.name, tops))
    return found


def _binaries(root: Path) -> Iterable[Path]:
    for directory, _, names in os.walk(root):
        for name in names:
            if name.endswith(_BINARY_SUFFIXES) or ".so." in name:
                yield Path(directory, name)


def _remove(root: Path, names: Iterable[str]) -> None:
    for name in names:
        path = root / name
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.is_dir():
            shutil.rmtree(path)


def _normal(name: str) -> str:
    return name.lower().replace("-", "_").replace(".", "_")
