"""
What a machine reads from an answer of AWS's must be there: a member that may be missing has a fallback.

A path that finds nothing ends an execution with States.Runtime, which no Catch of States.ALL sees. Which members an
answer always has is said by botocore's shapes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import botocore.session
import pytest
from botocore.model import ListShape, Shape, StructureShape

from tests.infra.conftest import Assembly
from tests.infra.definitions import definitions

# What an integration's result is: .sync waits, and answers with the description.
ANSWERS = {
    "sagemaker:createTrainingJob.sync": ("sagemaker", "DescribeTrainingJob"),
    "sagemaker:createProcessingJob.sync": ("sagemaker", "DescribeProcessingJob"),
    "states:startExecution.sync:2": ("stepfunctions", "DescribeExecution"),
    "sqs:sendMessage": ("sqs", "SendMessage"),
}
# Members that may be missing, and yet never are where they are read.
ALWAYS_THERE = {
    "$.Output": "an execution that succeeded, which .sync:2 waits for, has an output; it is parsed",
}
PREFIX = "arn:aws:states:::"
PATH = re.compile(r"\$(?:\.[A-Za-z_]\w*|\[[^]]*\])+")


@pytest.fixture(scope="module")
def machines(assembly: Assembly) -> dict[str, dict[str, Any]]:
    found = {}
    for part in ("Data", "Serving", "Learning"):
        found |= definitions(assembly.templates[part], assembly.templates)
    return found


def answer_of(state: dict[str, Any]) -> Shape | None:
    """The shape of a task's raw result; None for functions and for what isn't a task."""
    resource = state.get("Resource", "").removeprefix(PREFIX)
    if state["Type"] != "Task" or resource.startswith(("arn:aws:lambda:", "lambda:")):
        return None
    service, operation = ANSWERS.get(resource) or ("sagemaker", resource.rpartition(":")[2])
    model = botocore.session.get_session().get_service_model(service)
    return model.operation_model(operation[0].upper() + operation[1:]).output_shape


def may_be_missing(shape: Shape | None, steps: list[str]) -> bool:
    """Whether the path of these steps can find nothing in an answer of this shape; one with [*] finds an empty list."""
    if "[*]" in steps:
        return False
    for step in steps:
        if isinstance(shape, StructureShape):
            members = {name[0].upper() + name[1:]: name for name in shape.members}
            name = members.get(step)
            if name is None or name not in shape.required_members:
                return True
            shape = shape.members[name]
        elif isinstance(shape, ListShape):
            if step != "[*]":
                return True
            shape = shape.member
        else:
            return False
    return False


def steps_of(path: str) -> list[str]:
    return re.findall(r"\[[^]]*\]|\w+", path.removeprefix("$"))


def reads(value: Any) -> Iterator[str]:
    """Paths in parameters and selectors: in members whose name ends in `.$`, intrinsic functions included."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key.endswith(".$"):
                yield from PATH.findall(item)
            else:
                yield from reads(item)
    elif isinstance(value, list):
        for item in value:
            yield from reads(item)


def compared(rule: dict[str, Any], known: frozenset[str] = frozenset()) -> Iterator[tuple[str, frozenset[str]]]:
    """Paths that a choice's rule compares, each with the paths that were found to be present before."""
    for part in rule.get("And", ()):
        yield from compared(part, known)
        known |= present(part)
    for part in rule.get("Or", ()):
        yield from compared(part, known)
    if "Not" in rule:
        yield from compared(rule["Not"], known)
    if "Variable" in rule and "IsPresent" not in rule:
        yield rule["Variable"], known
        yield from ((item, known) for key, item in rule.items() if key.endswith("Path"))


def present(rule: dict[str, Any]) -> frozenset[str]:
    """Paths that are there once a rule holds."""
    if rule.get("IsPresent") is True:
        return frozenset({rule["Variable"]})
    return frozenset().union(*(present(part) for part in rule.get("And", ())))


def all_reads(state: dict[str, Any]) -> Iterator[tuple[str, frozenset[str]]]:
    for path in reads(state.get("Parameters", {})):
        yield path, frozenset()
    for key in ("InputPath", "OutputPath", "SecondsPath", "ItemsPath", "ErrorPath", "CausePath"):
        if isinstance(state.get(key), str):
            yield state[key], frozenset()
    for rule in state.get("Choices", ()):
        yield from compared(rule)


def whole(state: dict[str, Any]) -> Iterator[tuple[str, Shape | None]]:
    """Where below its result a task keeps the whole answer: at its root, or where a selector puts `$`."""
    if "ResultSelector" not in state:
        yield "", answer_of(state)
    for key, path in state.get("ResultSelector", {}).items():
        if path == "$":
            yield f".{key.removesuffix('.$')}", answer_of(state)


def dangling(machine: dict[str, Any]) -> list[str]:
    """Reads of members of AWS's answers that may not be there."""
    states, found = machine["States"], []
    answers: dict[str, list[Shape | None]] = {}
    for name, state in states.items():
        shape = answer_of(state)
        if shape is None:
            continue
        for path in reads(state.get("ResultSelector", {})):
            if may_be_missing(shape, steps_of(path)) and path not in ALWAYS_THERE:
                found.append(f"{name}: ResultSelector {path}")
        for place, answered in whole(state):
            answers.setdefault(f"{state['ResultPath']}{place}", []).append(answered)
    for name, state in states.items():
        for path, known in all_reads(state):
            for place, shapes in answers.items():
                if path.startswith(f"{place}.") and not any(path == one or path.startswith(f"{one}.") for one in known):
                    steps = steps_of(path.removeprefix(place))
                    found += [f"{name}: {path}" for shape in shapes if may_be_missing(shape, steps)]
    return found


def test_no_machine_reads_a_member_that_may_be_missing_without_a_fallback(machines):
    for machine in machines.values():
        assert dangling(machine) == []


def test_each_member_that_is_said_to_be_always_there_is_read(machines):
    selected = [
        path
        for machine in machines.values()
        for state in machine["States"].values()
        for path in reads(state.get("ResultSelector", {}))
    ]
    assert set(selected) >= ALWAYS_THERE.keys()


DESCRIBE = {"Type": "Task", "Resource": f"{PREFIX}aws-sdk:sagemaker:describeEndpoint", "ResultPath": "$.endpoint"}


@pytest.mark.parametrize(
    ("state", "missing"),
    [
        ({**DESCRIBE, "ResultSelector": {"why.$": "$.FailureReason"}}, ["S: ResultSelector $.FailureReason"]),
        ({**DESCRIBE, "ResultSelector": {"status.$": "$.EndpointStatus"}}, []),
        (DESCRIBE, ["C: $.endpoint.FailureReason"]),
    ],
)
def test_the_check_sees_what_would_end_an_execution(state: dict[str, Any], missing: list[str]):
    """FailureReason is there only of an endpoint that failed."""
    test = {"Variable": "$.endpoint.FailureReason", "StringMatches": "*quota*"}
    states = {"S": state, "C": {"Type": "Choice", "Choices": [test]}}
    assert dangling({"States": states}) == missing
    guarded = {"And": [{"Variable": "$.endpoint.FailureReason", "IsPresent": True}, test]}
    assert dangling({"States": {"S": DESCRIBE, "C": {"Type": "Choice", "Choices": [guarded]}}}) == []
