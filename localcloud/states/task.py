"""Task states: an attempt within its timeouts, and what Retry and Catch make of its failure."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from localcloud.states import data, errors, integrations, tokens
from localcloud.states.data import Frame, State
from localcloud.states.errors import HEARTBEAT_TIMEOUT, TIMEOUT, StateFailed, catcher_for, within_limit
from localcloud.states.integrations import Call
from localcloud.states.run import Scope


def perform(state: State, value: Any, frame: Frame, scope: Scope, attempt: Callable[[], Any]) -> tuple[Any, str | None]:
    """
    Attempt a Task, Parallel or Map as often as its Retry says: (output, next state or None).

    `attempt` gives the raw result; a failure of the output's own processing is retried and caught like the task's.
    """
    used: dict[int, int] = {}
    entered = frame["State"]
    while True:
        frame["State"] = {**entered, "RetryCount": sum(used.values())}
        try:
            return data.output(state, value, attempt(), frame), None if state.get("End") else state.get("Next")
        except StateFailed as failure:
            delay = _retry_delay(state, failure.error, used)
            if delay is None:
                catcher = catcher_for(state, failure.error)
                if catcher is None:
                    raise
                return data.caught(state, catcher, value, failure, frame), catcher["Next"]
        scope.run.wait(lambda: False, scope.run.context.scales.wait(delay), scope)


def _retry_delay(state: State, error: str, used: dict[int, int]) -> float | None:
    """Seconds until the next attempt; None when there is none. The first Retry that takes the error decides."""
    for index, retrier in enumerate(state.get("Retry", [])):
        if errors.matches(retrier.get("ErrorEquals", []), error):
            count = used.get(index, 0)
            if count >= retrier.get("MaxAttempts", 3):
                return None
            used[index] = count + 1
            return delay_of(retrier, count, random.random())
    return None


def delay_of(retrier: Mapping[str, Any], count: int, chance: float) -> float:
    """
    Seconds before the retry after `count` earlier ones; `chance` in [0, 1) decides under full jitter.

    >>> delay_of({"IntervalSeconds": 3, "BackoffRate": 2, "MaxDelaySeconds": 10}, 2, 0.5)
    10
    >>> delay_of({"IntervalSeconds": 4, "JitterStrategy": "FULL"}, 0, 0.25)
    1.0
    """
    delay = retrier.get("IntervalSeconds", 1) * retrier.get("BackoffRate", 2.0) ** count
    delay = min(delay, retrier.get("MaxDelaySeconds", delay))
    return delay * chance if retrier.get("JitterStrategy") == "FULL" else delay


def attempt(state: State, value: Any, frame: Frame, scope: Scope, progress: dict[str, Any]) -> Any:
    """The result of one attempt at a Task; what it has done already when resumed stands in `progress`."""
    resource = state["Resource"]
    waits_for_token = ".waitForTaskToken" in resource
    token = progress.pop("token", None)
    resumed = token is not None
    if waits_for_token:
        token = token or uuid.uuid4().hex
        frame["Task"] = {"Token": token}
    parameters = data.arguments(state, value, frame)
    timeout = data.field(state, "TimeoutSeconds", value, frame)
    heartbeat = data.field(state, "HeartbeatSeconds", value, frame)
    call = Call(
        context=scope.run.context,
        resource=resource,
        parameters=parameters,
        role=_role(state, value, frame) or scope.run.role,
        resumed_job=progress.pop("job", None),
        note=lambda **done: scope.run.execution.get("_resume", {}).setdefault("progress", {}).update(done),
        execution_arn=scope.run.execution["executionArn"],
    )
    _scheduled(scope, call, timeout, heartbeat)
    try:
        if waits_for_token:
            result = _callback(call, str(token), timeout, heartbeat, scope, resumed=resumed)
        else:
            result = _called(call, timeout, scope)
    except StateFailed as failure:
        stage = "TimedOut" if failure.error in (TIMEOUT, HEARTBEAT_TIMEOUT) else "Failed"
        _record(scope, call, stage, error=failure.error, cause=failure.cause)
        raise
    text = within_limit(result, f"state/task '{frame['State']['Name']}'")
    _record(scope, call, "Succeeded", output=text, outputDetails={"truncated": False})
    return result


def _called(call: Call, timeout: float | None, scope: Scope) -> Any:
    try:
        future = scope.run.call(lambda: integrations.invoke(call), timeout, scope)
    except BaseException:
        call.give_up()
        raise
    if not future.done():
        call.give_up()
        raise StateFailed(TIMEOUT, "")
    return future.result()


def _callback(
    call: Call, token: str, timeout: float | None, heartbeat: float | None, scope: Scope, *, resumed: bool
) -> Any:
    run = scope.run
    until = None if timeout is None else run.now() + timeout
    with tokens.expected(token, run.changed, machine_arn=run.execution["stateMachineArn"]) as answer:
        call.note(token=token)
        if not resumed:
            submitted = _called(call, timeout, scope)
            run.record("TaskSubmitted", {**call.names(), "output": json.dumps(submitted)})
        while True:
            limits = [run.now() + heartbeat] if heartbeat else []
            limits += [until] if until is not None else []
            beats = answer.beats
            ready = run.wait(
                lambda: answer.given or answer.beats != beats,  # noqa: B023 - used within this turn only
                min(limits) - run.now() if limits else None,
                scope,
            )
            if answer.given:
                return answer.result()
            if not ready and until is not None and run.now() >= until:
                raise StateFailed(TIMEOUT, "")
            if not ready:
                raise StateFailed(HEARTBEAT_TIMEOUT, "")


def _role(state: State, value: Any, frame: Frame) -> str | None:
    """The role of the Credentials field, which takes the state machine's own role's place."""
    credentials = state.get("Credentials")
    if not credentials:
        return None
    with data.bound(frame):
        found = data.template(credentials, value, frame)
    return str(found["RoleArn"])


def _scheduled(scope: Scope, call: Call, timeout: float | None, heartbeat: float | None) -> None:
    parameters = json.dumps(call.parameters)
    details: dict[str, Any] = {"timeoutInSeconds": int(timeout)} if timeout else {}
    if call.is_function:
        details |= {"resource": call.resource, "input": parameters, "inputDetails": {"truncated": False}}
    else:
        details |= {"region": scope.run.context.region, "parameters": parameters}
        details |= {"heartbeatInSeconds": int(heartbeat)} if heartbeat else {}
    _record(scope, call, "Scheduled", **details)
    _record(scope, call, "Started")


def _record(scope: Scope, call: Call, stage: str, **details: Any) -> None:
    """An event of an attempt; those of a function called by its ARN have names of their own."""
    if call.is_function:
        scope.run.record(f"LambdaFunction{stage}", details)
    else:
        scope.run.record(f"Task{stage}", {**call.names(), **details})
