"""
moto's Step Functions interpreter as the second engine: replays what the tasks of an execution answered.

The local cloud runs a definition with real tasks. Its history tells what each task answered; here moto's interpreter,
which shares no code with it, gets the same definition, the same input and the same answers. Both must enter the same
states in the same order and end with the same status and output.
"""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import boto3
from moto import mock_aws

from tests.waiting import until

__all__ = ["Answer", "Run", "answers_of", "replay", "run_of"]

_ROLE = "arn:aws:iam::123456789012:role/states"
_FAILED = (
    "TaskFailed",
    "TaskTimedOut",
    "LambdaFunctionFailed",
    "LambdaFunctionTimedOut",
    "TaskStartFailed",
    "TaskSubmitFailed",
)
_SUCCEEDED = ("TaskSucceeded", "LambdaFunctionSucceeded")


@dataclass(frozen=True, slots=True)
class Answer:
    """What one attempt of a task gave: an output, or an error and its cause."""

    output: Any = None
    error: str | None = None
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """One execution, as two engines can be compared by it."""

    status: str
    states: tuple[str, ...]
    output: Any
    error: str | None


def _details(event: Mapping[str, Any]) -> Mapping[str, Any]:
    return next((value for key, value in event.items() if key.endswith("EventDetails")), {})


def answers_of(history: Sequence[Mapping[str, Any]]) -> dict[str, list[Answer]]:
    """What each task state answered, attempt by attempt, from a `get-execution-history`."""
    answers: dict[str, list[Answer]] = defaultdict(list)
    state = ""
    for event in history:
        details = _details(event)
        if event["type"] == "TaskStateEntered":
            state = details["name"]
        elif event["type"] in _SUCCEEDED:
            answers[state].append(Answer(output=json.loads(details["output"])))
        elif event["type"] in _FAILED:
            answers[state].append(
                Answer(error=details.get("error", "States.TaskFailed"), cause=details.get("cause", ""))
            )
    return dict(answers)


def run_of(history: Sequence[Mapping[str, Any]], described: Mapping[str, Any]) -> Run:
    """An execution as a comparable value."""
    states = tuple(_details(event)["name"] for event in history if event["type"].endswith("StateEntered"))
    output = json.loads(described["output"]) if described.get("output") else None
    return Run(status=described["status"], states=states, output=output, error=described.get("error"))


def _called_by_arn(definition: Mapping[str, Any]) -> frozenset[str]:
    """Names of the task states whose Resource is a function: moto wants their answers in Invoke's envelope."""
    return frozenset(
        name
        for name, state in definition["States"].items()
        if state["Type"] == "Task" and state["Resource"].split(":")[2:3] == ["lambda"]
    )


@contextmanager
def _answering(answers: Mapping[str, Sequence[Answer]], functions: frozenset[str]) -> Iterator[None]:
    from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
    from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import state_task_service_unsupported
    from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.resource import ResourceCondition
    from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service import (
        StateTaskService,
    )
    from moto.stepfunctions.parser.asl.component.state.wait.wait_function.wait_function import WaitFunction
    from moto.stepfunctions.parser.asl.eval.environment import Environment
    from moto.stepfunctions.parser.mocking.mock_config import MockedResponseReturn, MockedResponseThrow

    queues = {state: deque(given) for state, given in answers.items()}

    def next_answer(self: Any) -> Any:
        queue = queues.get(self.next_state_name)
        if not queue:
            return MockedResponseThrow(
                0, 0, "Replay.NoAnswer", f"{self.next_state_name} ran more often than in the recording"
            )
        answer = queue.popleft()
        if answer.error is not None:
            return MockedResponseThrow(0, 0, answer.error, answer.cause)
        enveloped = {"StatusCode": 200, "Payload": answer.output}
        return MockedResponseReturn(0, 0, enveloped if self.next_state_name in functions else answer.output)

    class NoSleep:
        sleep = staticmethod(lambda seconds: None)

    def unchanged(self: Any, *values: Any, **named: Any) -> None:
        return None

    with (
        # SageMaker's optimised tasks are unknown to moto, which lets them run when the pattern counts as supported.
        mock.patch.object(
            state_task_service_unsupported,
            "_SUPPORTED_INTEGRATION_PATTERNS",
            {ResourceCondition.WaitForTaskToken, ResourceCondition.Sync},
        ),
        mock.patch.object(Environment, "is_mocked_mode", lambda self: True),
        mock.patch.object(Environment, "get_current_mocked_response", next_answer),
        mock.patch.object(StateTaskService, "_normalise_parameters", unchanged),
        mock.patch.object(StateTaskService, "_normalise_response", unchanged),
        mock.patch.object(WaitFunction, "_wait_interval", lambda self, env, wait_seconds: None),
        mock.patch.object(retrier_decl, "time", NoSleep),
    ):
        yield


def replay(definition: Mapping[str, Any], given: Any, answers: Mapping[str, Sequence[Answer]]) -> Run:
    """Run `definition` in moto's interpreter with the recorded answers."""
    functions = _called_by_arn(definition)
    with mock_aws(config={"stepfunctions": {"execute_state_machine": True}}), _answering(answers, functions):
        states = boto3.client(
            "stepfunctions", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
        )
        machine = states.create_state_machine(name="replayed", definition=json.dumps(definition), roleArn=_ROLE)
        started = states.start_execution(
            stateMachineArn=machine["stateMachineArn"], name="replayed", input=json.dumps(given)
        )
        arn = started["executionArn"]

        def history() -> list[dict[str, Any]]:
            pages = states.get_paginator("get_execution_history").paginate(executionArn=arn)
            return [event for page in pages for event in page["events"]]

        def ended() -> dict[str, Any] | None:
            described: dict[str, Any] = states.describe_execution(executionArn=arn)
            return described if described["status"] != "RUNNING" else None

        described = until(ended, what="the replay's end", progress=lambda: len(history()), pause_seconds=0.02)
        assert described
        return run_of(history(), described)
