"""From state to state: walks a state machine, or a part of one, to its end."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from ministack.services import stepfunctions as sf

from localcloud.states import choice, composite, data, task
from localcloud.states.data import Frame, State
from localcloud.states.errors import RUNTIME, StateFailed, within_limit
from localcloud.states.run import Scope

OnEntry = Callable[[str, Any, Frame], None]


def walk(
    machine: State,
    value: Any,
    frame: Frame,
    scope: Scope,
    *,
    start_at: str | None = None,
    on_entry: OnEntry | None = None,
    progress: dict[str, Any] | None = None,
) -> Any:
    """
    The output of `machine`, which has StartAt and States.

    Parameters
    ----------
    start_at
        The state to begin with, when the walk goes on where it was broken off.
    on_entry
        Called with name, input and frame when a state is entered.
    progress
        What the first state had already done when the walk was broken off.

    Raises
    ------
    StateFailed
        A state failed and nothing caught it.
    Interrupted
        The scope is over.
    """
    name: str | None = start_at or machine["StartAt"]
    states = machine["States"]
    while name is not None:
        scope.check()
        state = states[name]
        frame["State"] = {"Name": name, "EnteredTime": sf.now_iso(), "RetryCount": 0}
        if on_entry:
            on_entry(name, value, frame)
        text = within_limit(value, f"state/task '{name}'")
        details = {"name": name, "input": text, "inputDetails": {"truncated": False}}
        scope.run.record(f"{state['Type']}StateEntered", details)
        if state["Type"] == "Fail":
            raise StateFailed(*_failure(state, value, frame))
        value, following = _perform(state, value, frame, scope, progress or {})
        progress = None
        text = within_limit(value, f"state/task '{name}'")
        details = {"name": name, "output": text, "outputDetails": {"truncated": False}}
        scope.run.record(f"{state['Type']}StateExited", details)
        name = following
    return value


def branch_frame(frame: Frame) -> Frame:
    """A frame for a branch: it sees the variables outside, and what it assigns stays inside."""
    return {**frame, "variables": copy.deepcopy(frame["variables"]), "State": dict(frame.get("State", {}))}


def _perform(state: State, value: Any, frame: Frame, scope: Scope, progress: dict[str, Any]) -> tuple[Any, str | None]:
    following = None if state.get("End") else state.get("Next")
    kind = state["Type"]
    if kind == "Choice":
        return choice.choose(state, value, frame)
    if kind == "Task":
        return task.perform(state, value, frame, scope, lambda: task.attempt(state, value, frame, scope, progress))
    if kind == "Parallel":
        return task.perform(state, value, frame, scope, lambda: composite.parallel(state, value, frame, scope))
    if kind == "Map":
        return task.perform(state, value, frame, scope, lambda: composite.map_items(state, value, frame, scope))
    if kind == "Wait":
        _wait(state, value, frame, scope)
    return data.passed_on(state, value, frame), None if kind == "Succeed" else following


def _wait(state: State, value: Any, frame: Frame, scope: Scope) -> None:
    if "Seconds" in state or "SecondsPath" in state:
        seconds = data.field(state, "Seconds", value, frame)
        if not isinstance(seconds, int | float) or isinstance(seconds, bool) or seconds < 0:
            raise StateFailed(RUNTIME, f"A Wait's Seconds must be a number of at least 0. Got {seconds!r} instead")
    else:
        moment = data.field(state, "Timestamp", value, frame, kind="string")
        until = sf._parse_ts(moment)
        if not isinstance(until, datetime):
            raise StateFailed(RUNTIME, f"A Wait's Timestamp must be an ISO 8601 time. Got {moment!r} instead")
        seconds = (until - datetime.now(UTC)).total_seconds()
    scope.run.wait(lambda: False, scope.run.context.scales.wait(max(0.0, seconds)), scope)


def _failure(state: State, value: Any, frame: Frame) -> tuple[str, str]:
    with data.bound(frame):
        error, cause = sf._fail_state_error({"Error": "", **state}, value, frame)
    return str(error), str(cause)
