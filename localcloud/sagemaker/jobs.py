"""What training and processing jobs share: a directory, a process with limits, a way from status to status."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from localcloud.context import Context
from localcloud.sagemaker import toolkit
from localcloud.sagemaker.faults import Faults
from localcloud.sagemaker.logs import LogShipper
from localcloud.sagemaker.shapes import in_milliseconds
from localcloud.sagemaker.state import Record, State
from localcloud.sagemaker.storage import TransferFailed

FINAL = ("Completed", "Failed", "Stopped")
STOP_GRACE_SECONDS = 10.0
"""AWS gives a stopped container 120 seconds between SIGTERM and SIGKILL."""
REASON_CHARACTERS = 1024
KEPT_DIRECTORIES = 20


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended, and all that it printed."""

    code: int
    why: Literal["exited", "stopped", "too long"]
    log: str


class ProgramFailed(Exception):
    """The user's program failed; the message becomes the FailureReason."""


class Jobs:
    """
    The jobs of one kind.

    Parameters
    ----------
    collection
        `training-job` or `processing-job`.
    prefix
        `TrainingJob` or `ProcessingJob`.
    """

    def __init__(
        self, context: Context, state: State, shipper: LogShipper, faults: Faults, *, collection: str, prefix: str
    ) -> None:
        self.context = context
        self.state = state
        self._shipper = shipper
        self._faults = faults
        self._collection = collection
        self.prefix = prefix
        self._stopped: dict[str, threading.Event] = {}

    def start(self, name: str) -> None:
        """Run the job `name` in the background."""
        self._stopped[name] = threading.Event()
        self.context.background(lambda: self._guarded(name), name=name[:40])

    def stop(self, name: str) -> None:
        """Ask the job `name` to stop; a job that has ended stays as it is."""
        with self.state.lock:
            record = self.state[self._collection][name]
            if record[f"{self.prefix}Status"] == "InProgress":
                self.move(record, "Stopping")
        if event := self._stopped.get(name):
            event.set()

    def is_stopped(self, name: str) -> bool:
        """Whether someone asked the job to stop."""
        event = self._stopped.get(name)
        return event is not None and event.is_set()

    def run(self, record: Record, folder: Path) -> None:
        """Carry the job out, up to its last status."""
        raise NotImplementedError

    def move(self, record: Record, status: str, **changes: Any) -> None:
        """Give a job a status and tell the event bus."""
        with self.state.lock:
            record |= {f"{self.prefix}Status": status, "LastModifiedTime": self.state.now(), **changes}
            self.note_move(record, status)
            detail = {key: value for key, value in record.items() if not key.startswith("_") and value is not None}
        arn = record[f"{self.prefix}Arn"]
        tags = {"Tags": dict(self.state.tags.get(arn, {}))}
        kind = self.prefix.removesuffix("Job")
        detail_type = f"SageMaker {kind} Job State Change"
        self.context.put_event("aws.sagemaker", detail_type, in_milliseconds(detail) | tags, [arn])

    def note_move(self, record: Record, status: str) -> None:
        """What else a status changes in the record."""

    def fail(self, record: Record, reason: str, **changes: Any) -> None:
        """End a job as Failed."""
        self.move(record, "Failed", FailureReason=reason[:REASON_CHARACTERS], **changes)

    def fail_interrupted(self) -> None:
        """After a restart: jobs that were running have no process any more."""
        for record in list(self.state[self._collection].values()):
            if record[f"{self.prefix}Status"] not in FINAL:
                self.fail(record, "InternalServerError: the local cloud was stopped while the job ran.")

    def _guarded(self, name: str) -> None:
        record = self.state[self._collection][name]
        folder = self.context.directory("sagemaker") / self._collection / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            if (fault := self._faults.outcome(f"Create{self.prefix}")) is not None:
                raise ProgramFailed(fault[1])
            self.run(record, folder)
        except (TransferFailed, ProgramFailed) as error:
            self._end(record, str(error))
        except Exception as error:
            self.context.log.exception("job %s broke the local cloud", name)
            self._end(record, f"InternalServerError: {error}")
        finally:
            self._stopped.pop(name, None)
            self._sweep(folder.parent)

    def _end(self, record: Record, reason: str) -> None:
        if not self.context.stopping:
            self.fail(record, reason)

    def _sweep(self, parent: Path) -> None:
        """Keep the directories of the latest jobs, for whoever wants to look into them."""
        ended = [path for path in parent.iterdir() if path.name not in self._stopped]
        for path in sorted(ended, key=lambda path: path.stat().st_mtime)[:-KEPT_DIRECTORIES]:
            shutil.rmtree(path, ignore_errors=True)

    def execute(
        self, name: str, argv: Sequence[str], *, env: Mapping[str, str], folder: Path, cwd: Path, limit: float
    ) -> Exit:
        """Run `argv` for at most `limit` seconds, its output going to the job's log stream."""
        log = folder / "log.txt"
        self._shipper.follow(log, f"/aws/sagemaker/{self.prefix}s", f"{name}/algo-1-{int(time.time())}")
        start = log.stat().st_size
        process = self.context.spawn(argv, env=env, cwd=cwd, log=log)
        why = self._wait(name, process, limit)
        self._shipper.finish(log)
        code = process.wait()
        return Exit(128 - code if code < 0 else code, why, log.read_bytes()[start:].decode(errors="replace"))

    def _wait(
        self, name: str, process: subprocess.Popen[bytes], limit: float
    ) -> Literal["exited", "stopped", "too long"]:
        deadline = self.context.pace.now() + limit
        while True:
            try:
                process.wait(0.1)
                return "exited"
            except subprocess.TimeoutExpired:
                if self.is_stopped(name) or self.context.pace.now() > deadline:
                    why: Literal["stopped", "too long"] = "stopped" if self.is_stopped(name) else "too long"
                    self.context.children.stop(process, grace_seconds=STOP_GRACE_SECONDS)
                    return why

    def install_requirements(self, name: str, code: Path, folder: Path, env: Mapping[str, str]) -> Path | None:
        """Install what a bundle's requirements.txt says; where to, when there is one."""
        target = folder / "site-packages"
        argv = toolkit.install_command(code, target)
        if argv is None:
            return None
        ended = self.execute(name, argv, env=env, folder=folder, cwd=code, limit=600)
        if ended.code and ended.why == "exited":
            message = ended.log.strip()[-toolkit.MESSAGE_CHARACTERS :]
            raise ProgramFailed(f"AlgorithmError: InstallRequirementsError: {message}, exit code: 1")
        return target
