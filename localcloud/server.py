"""The local cloud as a child process: started, waited for, stopped."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

from localcloud import identity
from localcloud.pace import LOOK_SECONDS, Pace
from localcloud.runtime import ADDRESS_FILE, HEALTH_PATH, SAVE_SECONDS
from localcloud.scales import Scales

# An answer that needs so long on a busy machine is still one; whether there is a server, its process tells.
_ANSWER_SECONDS = 120.0


class ServerFailed(RuntimeError):
    """The local cloud did not come up; the message carries what it said."""


class Server:
    """
    A local cloud in a process of its own.

    Parameters
    ----------
    port
        0 takes a free one.
    state_dir
        Where its state is kept; None takes a directory that is removed at the end.
    scales
        How much faster than AWS time passes.
    start_seconds
        How long to wait for it to answer, on a machine that has nothing else to do.
    save_seconds
        How often to save while it is busy; 0 saves at a stop only.
    record
        A file that what roles ask for is appended to.

    Raises
    ------
    ServerFailed
        From `start` and from entering the context.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        state_dir: Path | None = None,
        scales: Scales | None = None,
        start_seconds: float = 60.0,
        save_seconds: float = SAVE_SECONDS,
        record: Path | None = None,
    ) -> None:
        self._port = port
        self._temporary = None if state_dir else tempfile.TemporaryDirectory(prefix="localcloud-")
        self.state_dir = Path(state_dir or self._temporary.name)  # type: ignore[union-attr]
        self._scales = scales or Scales()
        self._start_seconds = start_seconds
        self._save_seconds = save_seconds
        self._record = record
        self._process: subprocess.Popen[str] | None = None
        self.endpoint_url = ""

    def __repr__(self) -> str:
        return f"<Server {self.endpoint_url or 'stopped'} state={self.state_dir}>"

    def start(self) -> Self:
        """Start it and wait until it answers."""
        self.state_dir.mkdir(parents=True, exist_ok=True)
        (self.state_dir / ADDRESS_FILE).unlink(missing_ok=True)
        # The pipe closes with this process, however it ends: no server is left behind.
        self._process = subprocess.Popen(
            self._argv(), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        pace = Pace()
        while not self._answers():
            if self._process.poll() is not None:
                raise ServerFailed((self._process.stderr.read() if self._process.stderr else "").strip())
            if pace.now() > self._start_seconds:
                self.stop()
                raise ServerFailed(f"no answer within {self._start_seconds:g} s; see {self.log_path}")
            time.sleep(0.05)
            pace.look()
        return self

    def stop(self, *, grace_seconds: float = 120.0) -> None:
        """Stop it, so that it saves its state; kill it when it does not stop, however slowly the machine goes."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        pace = Pace()
        while process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(LOOK_SECONDS)
                break
            pace.look()
            if pace.now() > grace_seconds:
                process.kill()
        for pipe in (process.stdin, process.stderr):
            if pipe:
                pipe.close()
        self.endpoint_url = ""

    def kill(self) -> None:
        """End it as a power cut would, without a word; what it had saved by then is what the next start finds."""
        if self._process is not None:
            self._process.kill()
            self.stop()

    @property
    def saved(self) -> bool:
        """Whether a start after a kill would find everything."""
        with urllib.request.urlopen(self.endpoint_url + HEALTH_PATH, timeout=_ANSWER_SECONDS) as answer:
            return bool(json.load(answer)["saved"])

    def environment(self) -> dict[str, str]:
        """Variables that point any AWS tool at it."""
        return identity.environment(self.endpoint_url)

    @property
    def log_path(self) -> Path:
        """Where it logs."""
        return self.state_dir / "localcloud.log"

    @property
    def pid(self) -> int | None:
        """Its process, while it runs."""
        return self._process.pid if self._process else None

    def __enter__(self) -> Self:
        return self if self._process else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self._temporary:
            self._temporary.cleanup()

    def _argv(self) -> list[str]:
        scales = self._scales
        return [
            *(sys.executable, "-m", "localcloud", "serve", "--with-starter", "--port", str(self._port)),
            *("--state-dir", str(self.state_dir), "--waits", repr(float(scales.waits))),
            *("--alarms", repr(float(scales.alarms)), "--schedules", repr(float(scales.schedules))),
            *("--save-seconds", repr(float(self._save_seconds))),
            *(("--record", str(self._record)) if self._record else ()),
        ]

    def _answers(self) -> bool:
        address = self.state_dir / ADDRESS_FILE
        if not address.exists() or not (endpoint := address.read_text()):
            return False
        try:
            with urllib.request.urlopen(endpoint + HEALTH_PATH, timeout=_ANSWER_SECONDS) as answer:
                self.endpoint_url = str(json.load(answer)["endpoint"])
        except (urllib.error.URLError, OSError):
            return False
        return True
