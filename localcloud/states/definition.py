"""
What CreateStateMachine and UpdateStateMachine refuse: a definition that could not run.

The codes are those of ValidateStateMachineDefinition
(https://docs.aws.amazon.com/step-functions/latest/apireference/API_ValidateStateMachineDefinitionDiagnostic.html,
read 2026-11).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ministack.core.responses import error_response_json, json_response
from ministack.services import stepfunctions as sf

from localcloud.context import Context
from localcloud.extension import replace
from localcloud.states import integrations

_TYPES = ("Task", "Pass", "Choice", "Wait", "Succeed", "Fail", "Parallel", "Map")
_WAITS = ("Seconds", "SecondsPath", "Timestamp", "TimestampPath")
_PATH_FIELDS = ("InputPath", "OutputPath", "ResultPath", "Parameters", "ResultSelector", "ItemsPath")
_JSONATA_FIELDS = ("Arguments", "Output", "Items")
_LIMIT_BYTES = 1024 * 1024

Problem = tuple[str, str, str]
"""Code, message, and where in the definition."""


def install(context: Context) -> None:
    """Check every definition when it is given."""
    for name in ("_create_state_machine", "_update_state_machine"):
        _check(name)
    replace(sf, "_validate_state_machine_definition", _validate)


def problems(text: str) -> list[Problem]:
    """
    All that is wrong with a definition.

    >>> [code for code, _, _ in problems('{"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "B"}}}')]
    ['MISSING_TRANSITION_TARGET']
    """
    if len(text.encode()) > _LIMIT_BYTES:
        return [("INVALID_DEFINITION", "The definition is over 1 MiB", "/")]
    try:
        machine = json.loads(text)
    except ValueError as error:
        return [("INVALID_JSON_DESCRIPTION", f"The definition is not JSON: {error}", "/")]
    if not isinstance(machine, dict):
        return [("SCHEMA_VALIDATION_FAILED", "The definition must be an object", "/")]
    language = machine.get("QueryLanguage", "JSONPath")
    return list(_machine(machine, "", language, set()))


def _machine(machine: dict[str, Any], where: str, language: str, names: set[str]) -> Iterator[Problem]:
    states = machine.get("States")
    if not isinstance(states, dict) or not states:
        yield _schema("The field 'States' is required and must hold at least one state", f"{where}/States")
        return
    if "StartAt" not in machine:
        yield _schema("The field 'StartAt' is required", f"{where}/StartAt")
    elif machine["StartAt"] not in states:
        yield _missing(machine["StartAt"], f"{where}/StartAt")
    for name, state in states.items():
        place = f"{where}/States/{name}"
        if name in names:
            yield ("DUPLICATE_STATE_NAME", f"The state name '{name}' is used more than once", place)
        names.add(name)
        if len(name) > 80:
            yield _schema("A state name must be no longer than 80 characters", place)
        yield from _state(state, place, language, states, names)
    if machine.get("StartAt") in states:
        for name in sorted(states.keys() - _reachable(machine["StartAt"], states)):
            yield _missing(name, f"{where}/States/{name}", "State is not reachable")


def _state(
    state: dict[str, Any], where: str, language: str, states: dict[str, Any], names: set[str]
) -> Iterator[Problem]:
    kind = state.get("Type")
    if kind not in _TYPES:
        yield _schema(f"The field 'Type' must be one of {', '.join(_TYPES)}. Got {kind!r} instead", f"{where}/Type")
        return
    language = state.get("QueryLanguage", language)
    for target, place in _targets(state, where):
        if target not in states:
            yield _missing(target, place)
    if kind not in ("Choice", "Succeed", "Fail") and ("Next" in state) == bool(state.get("End")):
        yield _schema("Exactly one of the fields 'Next' and 'End' is required", where)
    forbidden = _PATH_FIELDS if language == "JSONata" else _JSONATA_FIELDS
    for name in (name for name in forbidden if name in state):
        yield _schema(f"The field '{name}' is not supported with the query language {language}", f"{where}/{name}")
    yield from _by_type(state, kind, where, language, names)


def _by_type(state: dict[str, Any], kind: str, where: str, language: str, names: set[str]) -> Iterator[Problem]:
    if kind == "Task":
        yield from _task(state, where)
    elif kind == "Choice" and not state.get("Choices"):
        yield _schema("The field 'Choices' must hold at least one rule", f"{where}/Choices")
    elif kind == "Wait" and sum(name in state for name in _WAITS) != 1:
        yield _schema(f"Exactly one of {', '.join(_WAITS)} is required", where)
    elif kind == "Parallel":
        if not state.get("Branches"):
            yield _schema("The field 'Branches' must hold at least one branch", f"{where}/Branches")
        for index, branch in enumerate(state.get("Branches", [])):
            yield from _machine(branch, f"{where}/Branches[{index}]", language, names)
    elif kind == "Map":
        field = "ItemProcessor" if "ItemProcessor" in state else "Iterator"
        if field not in state:
            yield _schema("The field 'ItemProcessor' is required", f"{where}/ItemProcessor")
        else:
            yield from _machine(state[field], f"{where}/{field}", language, names)


def _task(state: dict[str, Any], where: str) -> Iterator[Problem]:
    resource = state.get("Resource")
    if not isinstance(resource, str):
        yield _schema("The field 'Resource' is required", f"{where}/Resource")
        return
    problem = integrations.problem(resource)
    if problem:
        yield ("INVALID_RESOURCE", problem, f"{where}/Resource")
    timeout, heartbeat = state.get("TimeoutSeconds"), state.get("HeartbeatSeconds")
    if isinstance(timeout, int) and isinstance(heartbeat, int) and heartbeat >= timeout:
        yield _schema("HeartbeatSeconds must be smaller than TimeoutSeconds", f"{where}/HeartbeatSeconds")
    if integrations.TOKEN in resource and "Task.Token" not in json.dumps(state):
        yield _schema("A task that waits for a token must pass the token from the context object on", where)


def _targets(state: dict[str, Any], where: str) -> Iterator[tuple[str, str]]:
    for name in ("Next", "Default"):
        if name in state:
            yield state[name], f"{where}/{name}"
    for field in ("Catch", "Choices"):
        for index, rule in enumerate(state.get(field, [])):
            yield rule.get("Next", ""), f"{where}/{field}[{index}]/Next"


def _reachable(start: str, states: dict[str, Any]) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name in states and name not in found:
            found.add(name)
            waiting += [target for target, _ in _targets(states[name], "")]
    return found


def _schema(message: str, where: str) -> Problem:
    return ("SCHEMA_VALIDATION_FAILED", message, where or "/")


def _missing(name: str, where: str, message: str | None = None) -> Problem:
    return ("MISSING_TRANSITION_TARGET", message or f"Missing 'Next' target: {name}", where)


def _check(name: str) -> None:
    original = getattr(sf, name)

    def checked(request: dict[str, Any]) -> Any:
        text = request.get("definition")
        found = problems(text) if isinstance(text, str) else []
        if found:
            listed = ", ".join(f"{code}: {message} at {where}" for code, message, where in found)
            return error_response_json("InvalidDefinition", f"Invalid State Machine Definition: '{listed}'", 400)
        return original(request)

    replace(sf, name, checked)


def _validate(request: dict[str, Any]) -> Any:
    found = problems(str(request.get("definition", "")))
    jsonata = sf._validate_definition_jsonata(request.get("definition"))
    if jsonata:
        found.append(("INVALID_JSONATA_EXPRESSION", jsonata, "/"))
    diagnostics = [
        {"severity": "ERROR", "code": code, "message": message, "location": where} for code, message, where in found
    ]
    return json_response({"result": "FAIL" if found else "OK", "diagnostics": diagnostics, "truncated": False})
