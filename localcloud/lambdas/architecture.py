"""Which machine a binary was built for, read from its first bytes."""

from __future__ import annotations

import platform
import struct
import sys
from pathlib import Path

# https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html and Apple's mach/machine.h
_ELF = {62: "x86_64", 183: "aarch64"}
_MACH_O = {0x01000007: "x86_64", 0x0100000C: "aarch64"}
_ALIASES = {"amd64": "x86_64", "arm64": "aarch64"}


def host() -> tuple[str, str]:
    """This machine: ("elf" or "mach-o", "x86_64" or "aarch64")."""
    machine = platform.machine().lower()
    return ("mach-o" if sys.platform == "darwin" else "elf", _ALIASES.get(machine, machine))


def of_file(path: Path) -> tuple[str, str] | None:
    """
    Format and machine of the binary at `path`; None when it is neither ELF nor Mach-O.

    >>> import sys
    >>> of_file(Path(sys.executable)) == host()
    True
    """
    with path.open("rb") as file:
        head = file.read(20)
    if len(head) < 20:
        return None
    if head[:4] == b"\x7fELF":
        order = "<" if head[5] == 1 else ">"
        return ("elf", _ELF.get(struct.unpack(order + "H", head[18:20])[0], "another machine"))
    if head[:4] in (b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe"):
        return ("mach-o", _MACH_O.get(struct.unpack("<I", head[4:8])[0], "another machine"))
    return None


def is_foreign(path: Path) -> bool:
    """Whether the file is a binary that this machine can't load."""
    found = of_file(path)
    return found is not None and found != host()
