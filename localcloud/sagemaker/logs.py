"""What processes print reaches CloudWatch Logs while they run."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from localcloud.context import Context

INTERVAL_SECONDS = 1.0


@dataclass(slots=True)
class _Followed:
    path: Path
    group: str
    stream: str
    offset: int = 0


class LogShipper:
    """Follows files and appends their lines to log streams."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._followed: dict[Path, _Followed] = {}
        self._lock = threading.Lock()

    def follow(self, path: Path, group: str, stream: str) -> None:
        """Ship `path` from its present end on."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        with self._lock:
            self._followed[path] = _Followed(path, group, stream, path.stat().st_size)

    def finish(self, path: Path) -> None:
        """Ship what is left of `path`, half a line included, and forget it."""
        with self._lock:
            followed = self._followed.pop(path, None)
            if followed is not None:
                self._ship(followed, whole_lines=False)

    def ship_all(self) -> None:
        """Ship the new lines of all files."""
        with self._lock:
            for followed in self._followed.values():
                self._ship(followed, whole_lines=True)

    def _ship(self, followed: _Followed, *, whole_lines: bool) -> None:
        with followed.path.open("rb") as file:
            file.seek(followed.offset)
            data = file.read()
        end = data.rfind(b"\n") + 1 if whole_lines else len(data)
        if end:
            followed.offset += end
            self._context.put_log(followed.group, followed.stream, data[:end].decode(errors="replace"))
