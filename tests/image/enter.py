"""
Inside fresh namespaces: make /opt/ml what a container has there, then become the container's process.

    unshare ... python enter.py '{"base": ..., "read_only": [...], "isolated": ..., "cwd": ..., "command": [...]}'

Stands alone: it runs in whichever interpreter the container has.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def lay_opt_ml(base: str, read_only: list[str]) -> None:
    """A new /opt that has what the old one had, and `base` as /opt/ml; the host's own stays as it is."""
    stage, opt = Path(tempfile.mkdtemp()), Path("/opt")
    mount("-t", "tmpfs", "tmpfs", str(stage))
    for old in opt.iterdir() if opt.is_dir() else ():
        if old.name != "ml" and old.is_dir():
            (stage / old.name).mkdir()
            mount("--rbind", str(old), str(stage / old.name))
    (stage / "ml").mkdir()
    mount("--bind", base, str(stage / "ml"))
    mount("--rbind", str(stage), "/opt")
    for name in read_only:
        folder = f"/opt/ml/{name}"
        mount("--bind", folder, folder)
        mount("-o", "remount,bind,ro", folder)


def raise_loopback() -> None:
    """A new network has a loopback interface, but down: a server inside must be reachable from inside."""
    with socket.socket() as any_socket:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))


def main(told: str) -> None:
    spec = json.loads(told)
    lay_opt_ml(spec["base"], spec["read_only"])
    if spec["isolated"]:
        raise_loopback()
    os.chdir(spec["cwd"])
    os.execvp(spec["command"][0], spec["command"])


if __name__ == "__main__":
    main(sys.argv[1])
