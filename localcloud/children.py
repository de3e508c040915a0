"""Child processes that end with the server, whatever way the server ends."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from localcloud.pace import Pace

_PR_SET_PDEATHSIG = 1


class Children:
    """
    Starts processes and stops them all at the end.

    On Linux the kernel ends a child when the *thread* that forked it ends, so one thread that lives as long as the
    server starts them all. Elsewhere they are stopped when the server stops in an orderly way.
    """

    def __init__(self, log: logging.Logger, pace: Pace | None = None) -> None:
        self._log, self._pace = log, pace or Pace()
        self._orders: queue.Queue[tuple[Future[subprocess.Popen[bytes]], Callable[[], Any]] | None] = queue.Queue()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        threading.Thread(target=self._serve, name="localcloud-spawner", daemon=True).start()

    def spawn(
        self,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | Path | None = None,
        log: str | Path | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start `argv` in a process group of its own; both its outputs are appended to the file `log`."""
        started: Future[subprocess.Popen[bytes]] = Future()
        self._orders.put((started, lambda: self._start([str(part) for part in argv], env, cwd, log)))
        process = started.result()
        with self._lock:
            self._running = {child for child in self._running if child.poll() is None} | {process}
        return process

    def stop(self, process: subprocess.Popen[bytes], *, grace_seconds: float = 2.0) -> None:
        """End `process` and all that it started: asked first, killed after `grace_seconds`."""
        _signal_group(process, signal.SIGTERM)
        try:
            process.wait(self._pace.real(grace_seconds))
        except subprocess.TimeoutExpired:
            _signal_group(process, signal.SIGKILL)
            process.wait()
        with self._lock:
            self._running.discard(process)

    def stop_all(self, *, grace_seconds: float = 2.0) -> None:
        """End every child that still runs."""
        with self._lock:
            running = [child for child in self._running if child.poll() is None]
        for process in running:
            _signal_group(process, signal.SIGTERM)
        for process in running:
            self.stop(process, grace_seconds=grace_seconds)

    def _serve(self) -> None:
        while (order := self._orders.get()) is not None:
            started, start = order
            try:
                started.set_result(start())
            except BaseException as error:  # noqa: BLE001 - handed to the caller of spawn()
                started.set_exception(error)

    @staticmethod
    def _start(
        argv: list[str], env: Mapping[str, str] | None, cwd: str | Path | None, log: str | Path | None
    ) -> subprocess.Popen[bytes]:
        out = open(log, "ab") if log else subprocess.DEVNULL  # noqa: SIM115, PTH123 - closed below, after the fork
        try:
            return subprocess.Popen(
                argv,
                env=dict(env) if env is not None else None,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=end_with_parent if sys.platform == "linux" else None,
            )
        finally:
            if out is not subprocess.DEVNULL:
                out.close()


_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def end_with_parent() -> None:
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
