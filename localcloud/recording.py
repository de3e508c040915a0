"""
What roles asked to do, one line of JSON each, so that another evaluator can say what it thinks of it. Off by default.

    {"role": ..., "session": ..., "action": ..., "resource": ..., "region": ..., "context": {...}, "allowed": ...}

The context holds the condition keys that the service sends with the request, and those that say who asks and how, as
the local cloud knows them; `allowed` is what the role's own policies say. A question that is asked again is written
once a run of the server; a file grows over runs.
"""

from __future__ import annotations

import json
import threading
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TextIO

from localcloud.context import Context
from localcloud.extension import replace, require

__all__ = ["Recorder", "install"]

_CALLER = ("aws:PrincipalArn", "aws:PrincipalAccount", "aws:RequestedRegion", "aws:SecureTransport", "aws:SourceIp")
# Different each time, and in no policy that could be held to them here.
_FLEETING = {"aws:userid", "aws:tokenissuetime", "aws:multifactorauthpresent"}


def install(context: Context) -> None:
    """Record to the file that the context names, if it names one."""
    if context.record is None:
        return
    from ministack.core import iam_evaluator

    require(iam_evaluator, "evaluate", "evaluate_resource_policy", "_resolve_condition_key")
    recorder = Recorder(context.record)
    of_resource: ContextVar[bool] = ContextVar("of_resource", default=False)

    def evaluate(asked: Any, *policies: Any) -> Any:
        result = given(asked, *policies)
        # What is simulated is asked of the role itself, by nobody who has taken it.
        if ":assumed-role/" in asked.principal_arn and not of_resource.get():
            recorder.write(_record(asked, allowed=result.decision == "Allow"))
        return result

    def evaluate_resource_policy(*about: Any, **named: Any) -> Any:
        token = of_resource.set(True)
        try:
            return resource_given(*about, **named)
        finally:
            of_resource.reset(token)

    given = replace(iam_evaluator, "evaluate", evaluate)
    resource_given = replace(iam_evaluator, "evaluate_resource_policy", evaluate_resource_policy)


class Recorder:
    """A file of distinct lines, each there when `write` returns: a killed server leaves what it was asked."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: TextIO = path.open("a", encoding="utf-8", buffering=1)
        self._seen: set[str] = set()
        self._lock = threading.Lock()

    def write(self, record: dict[str, Any]) -> None:
        """Append a record unless its like was."""
        line = json.dumps(record, sort_keys=True, default=str)
        with self._lock:
            if line not in self._seen:
                self._seen.add(line)
                self._file.write(f"{line}\n")


def _record(asked: Any, *, allowed: bool) -> dict[str, Any]:
    from ministack.core import iam_evaluator

    known = {name: iam_evaluator._resolve_condition_key(name, asked) for name in _CALLER}
    sent = {**asked.principal_keys, **asked.service_context}
    context = {**known, **{name: value for name, value in sent.items() if name.lower() not in _FLEETING}}
    return {
        # arn:aws:sts::account:assumed-role/NAME/session
        "role": asked.principal_arn.split("/")[1],
        "session": asked.principal_arn.split("/")[2],
        "action": asked.action,
        "resource": asked.resource_arn,
        "region": asked.region,
        "context": {name: value for name, value in context.items() if value is not None},
        "allowed": allowed,
    }
