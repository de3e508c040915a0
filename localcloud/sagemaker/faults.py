"""
What goes wrong on AWS now and then, at will: a list in a file that tests write and SageMaker works off.

Beside the server's state lies `faults.json`, a list of objects, looked at whenever something of the kind happens:

    operation   the API's operation: CreateEndpoint, UpdateEndpoint, CreateTrainingJob, InvokeEndpoint ...
    error       the operation is refused with this code, and `message`
    outcome     it is accepted, and ends so: "Failed" (an endpoint, a job), "UpdateRollbackFailed" (an endpoint)
    message     the refusal's text, or the FailureReason
    variant     InvokeEndpoint only: of which variant; it answers `status` itself
    times       how often, 1 unless said; it is struck off then

Each kind was seen on AWS or is in its API reference (read 2026-12): ResourceLimitExceeded of CreateEndpoint, statuses
Failed and UpdateRollbackFailed of DescribeEndpoint, CapacityError as a training job's FailureReason.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from localcloud.sagemaker.errors import SageMakerError

__all__ = ["FILE", "Faults"]

FILE = "faults.json"


class Faults:
    """The list in a directory; without a file, nothing goes wrong."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE
        self._lock = threading.Lock()

    def refuse(self, operation: str) -> None:
        """
        Raises the refusal that the list has for an operation.

        Raises
        ------
        SageMakerError
            With the code that the list names.
        """
        if fault := self._take(operation, "error"):
            refusal = SageMakerError(str(fault.get("message", "")))
            refusal.code = str(fault["error"])
            raise refusal

    def outcome(self, operation: str) -> tuple[str, str] | None:
        """How what an operation has begun ends, and the FailureReason; None: as it does by itself."""
        fault = self._take(operation, "outcome")
        return (str(fault["outcome"]), str(fault.get("message", ""))) if fault else None

    def answer(self, variant: str) -> tuple[int, str] | None:
        """Status and text that a variant answers a request with; None: its container answers."""
        fault = self._take("InvokeEndpoint", "status", variant=variant)
        return (int(fault["status"]), str(fault.get("message", ""))) if fault else None

    def _take(self, operation: str, what: str, **members: str) -> Mapping[str, Any] | None:
        if not self._path.exists():
            return None
        with self._lock:
            try:
                faults: list[dict[str, Any]] = json.loads(self._path.read_text())
            except (OSError, ValueError):
                return None  # being written
            wanted = {"operation": operation, **members}
            for fault in faults:
                if what in fault and wanted.items() <= fault.items():
                    left = int(fault.get("times", 1)) - 1
                    fault["times"] = left
                    self._path.write_text(json.dumps([one for one in faults if one.get("times", 1) > 0]))
                    return fault
        return None
