"""
What goes into a state, and what comes out of it, in both query languages.

https://docs.aws.amazon.com/step-functions/latest/dg/concepts-input-output-filtering.html (read 2026-11).
"""

from __future__ import annotations

import copy
from typing import Any

from ministack.services import stepfunctions as sf

from localcloud.states import paths
from localcloud.states.errors import StateFailed

State = dict[str, Any]
Frame = dict[str, Any]
"""The context object, plus "QueryLanguage" and "variables"."""


def is_jsonata(state: State, frame: Frame) -> bool:
    """Whether the state is written in JSONata."""
    return bool(sf._state_query_language(state, frame) == "JSONata")


def arguments(state: State, raw: Any, frame: Frame) -> Any:
    """What a Task or Parallel hands on: Arguments, or InputPath and Parameters."""
    with bound(frame):
        if is_jsonata(state, frame):
            return sf._apply_jsonata_arguments(state, raw, frame)
        effective = sf._apply_input_path(state, raw, frame)
        return template(state["Parameters"], effective, frame) if "Parameters" in state else effective


def output(state: State, raw: Any, result: Any, frame: Frame) -> Any:
    """What a state gives on: Output, or ResultSelector, ResultPath and OutputPath; Assign as well."""
    with bound(frame):
        if is_jsonata(state, frame):
            value = sf._apply_jsonata_output(state, raw, frame, result=result, default=result)
            sf._apply_state_assign(state, raw, frame, result=result)
            return value
        if "ResultSelector" in state:
            result = template(state["ResultSelector"], result, frame)
        _assign(state, result, frame)
        return sf._apply_output_path(state, _placed(state.get("ResultPath", "$"), raw, result), frame)


def passed_on(state: State, raw: Any, frame: Frame) -> Any:
    """The output of a Pass, Wait or Succeed state."""
    with bound(frame):
        if is_jsonata(state, frame):
            value = sf._apply_jsonata_output(state, raw, frame, default=raw)
            sf._apply_state_assign(state, raw, frame, result=value)
            return value
        effective = sf._apply_input_path(state, raw, frame)
        if state["Type"] == "Pass":
            if "Parameters" in state:
                effective = template(state["Parameters"], effective, frame)
            effective = _placed(state.get("ResultPath", "$"), raw, state.get("Result", effective))
        _assign(state, effective, frame)
        return sf._apply_output_path(state, effective, frame)


def caught(state: State, catcher: State, raw: Any, failure: StateFailed, frame: Frame) -> Any:
    """The output of a state whose `catcher` took `failure`."""
    error = {"Error": failure.error, "Cause": failure.cause}
    with bound(frame):
        if is_jsonata(state, frame):
            # Without Output, a JSONata catcher gives the error itself on.
            value = sf._apply_jsonata_output(catcher, raw, frame, error_output=error, default=error)
            sf._apply_state_assign(catcher, raw, frame, error_output=error)
            return value
        _assign(catcher, error, frame)
        return _placed(catcher.get("ResultPath", "$"), raw, error)


def field(state: State, name: str, raw: Any, frame: Frame, *, kind: str = "number") -> Any:
    """A field that may be an expression ({% %}) or come from a path (`<name>Path`); None when it is not there."""
    with bound(frame):
        if f"{name}Path" in state:
            return sf._resolve_path_or_ctx(state[f"{name}Path"], sf._apply_input_path(state, raw, frame), frame)
        if name not in state:
            return None
        return sf._jsonata_state_field(state, name, kind, raw, frame) if is_jsonata(state, frame) else state[name]


def template(value: Any, data: Any, frame: Frame) -> Any:
    """A payload template: fields whose name ends in .$ are replaced, at any depth, lists included."""
    if isinstance(value, dict):
        whole: dict[str, Any] = {}
        for name, part in value.items():
            if name.endswith(".$"):
                whole.update(sf._resolve_params_obj({name: part}, data, frame))
            else:
                whole[name] = template(part, data, frame)
        return whole
    return [template(part, data, frame) for part in value] if isinstance(value, list) else value


class bound:  # noqa: N801 - reads as a phrase
    """Within it, paths see the variables of `frame`."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    def __enter__(self) -> None:
        self._token = paths.variables.set(self._frame["variables"])

    def __exit__(self, *_: object) -> None:
        paths.variables.reset(self._token)


def _assign(state: State, data: Any, frame: Frame) -> None:
    if state.get("Assign"):
        frame["variables"].update(template(state["Assign"], data, frame))


def _placed(path: str | None, raw: Any, result: Any) -> Any:
    if path not in (None, "$") and not isinstance(raw, dict):
        raise StateFailed(
            "States.ResultPathMatchFailure", f"Unable to apply ReferencePath {path} to input {str(raw)[:200]}"
        )
    return copy.deepcopy(result) if path == "$" else sf._apply_result_path_raw(path, raw, result)
