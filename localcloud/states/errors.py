"""
How a state can fail, and which Retry or Catch takes which error.

https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html (read 2026-11).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ministack.services import stepfunctions as sf

StateFailed = sf._ExecutionError
"""Carries `error` (a name that Catch can match) and `cause`; what ministack's evaluators raise too."""

RUNTIME = "States.Runtime"
TIMEOUT = "States.Timeout"
HEARTBEAT_TIMEOUT = "States.HeartbeatTimeout"
TASK_FAILED = "States.TaskFailed"
DATA_LIMIT_EXCEEDED = "States.DataLimitExceeded"
_NOT_CAUGHT_BY_ALL = frozenset({RUNTIME, DATA_LIMIT_EXCEEDED})

PAYLOAD_LIMIT_BYTES = 256 * 1024


class Interrupted(Exception):
    """The execution ended from outside (stopped, timed out, the server goes down): whoever runs it lets go."""


def matches(error_equals: Sequence[str], error: str) -> bool:
    """
    Whether a Retry's or Catch's ErrorEquals takes `error`.

    >>> matches(["States.ALL"], "States.Runtime"), matches(["States.Timeout"], "States.HeartbeatTimeout")
    (False, True)
    >>> matches(["States.TaskFailed"], "States.Timeout"), matches(["States.TaskFailed"], "Boom")
    (False, True)
    """
    if error in error_equals:
        return True
    if error in _NOT_CAUGHT_BY_ALL:
        return False
    timed_out = error in (TIMEOUT, HEARTBEAT_TIMEOUT)
    return (
        "States.ALL" in error_equals
        or (TIMEOUT in error_equals and timed_out)
        or (TASK_FAILED in error_equals and not timed_out)
    )


def catcher_for(state: Mapping[str, Any], error: str) -> dict[str, Any] | None:
    """The first Catch of `state` that takes `error`."""
    return next((catcher for catcher in state.get("Catch", []) if matches(catcher.get("ErrorEquals", []), error)), None)


def within_limit(payload: Any, what: str) -> str:
    """
    `payload` as JSON text.

    Raises
    ------
    StateFailed
        States.DataLimitExceeded: it is over 256 KiB.
    """
    text = json.dumps(payload)
    if len(text) > PAYLOAD_LIMIT_BYTES // 4 and len(text.encode()) > PAYLOAD_LIMIT_BYTES:
        raise StateFailed(
            DATA_LIMIT_EXCEEDED,
            f"The {what} returned a result with a size exceeding the maximum number of bytes service limit.",
        )
    return text
