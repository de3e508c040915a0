"""
Amazon States Language (JSONPath) as plain data: the few shapes of state that our machines are made of.

Functions are called by their ARN, so that a state's result is what the function returned, without an envelope.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from perennial.failures import ENDPOINT_CHANGING

__all__ = [
    "TRANSIENT",
    "State",
    "States",
    "call",
    "caught",
    "choose",
    "describe_endpoint",
    "fail",
    "fail_with",
    "gone",
    "is_present",
    "note",
    "on",
    "retry",
    "sdk",
    "settle",
    "status_is",
    "task",
    "wait",
]

State = dict[str, Any]
States = dict[str, State]

# 3 3/4 hours, 15 seconds apart: no endpoint takes longer, and 11 events a look stay well below the 25,000 that an
# execution may have. Where waits are scaled down, the time that it really takes to start a server still fits.
LOOKS = 900

# What goes away by itself. AWS SDK integrations name what isn't modelled (throttling too) <Service>.<Service>Exception.
TRANSIENT = (
    *("Lambda.ServiceException", "Lambda.AWSLambdaException", "Lambda.SdkClientException"),
    *("Lambda.TooManyRequestsException", "Lambda.ClientExecutionTimeoutException", "States.Timeout"),
)
# A function that took all of its time, or died: once more, since all of ours are idempotent.
CUT_OFF = ("Sandbox.Timedout", "Lambda.Unknown")
THROTTLED_SDK = ("SageMaker.SageMakerException", "SageMaker.SdkClientException", "States.Timeout")


def retry(errors: Sequence[str], *, seconds: int = 2, attempts: int = 6, most_seconds: int = 60) -> State:
    """One retrier: exponential, with jitter, so that many executions don't come back at once."""
    return {
        "ErrorEquals": list(errors),
        "IntervalSeconds": seconds,
        "MaxAttempts": attempts,
        "BackoffRate": 2,
        "MaxDelaySeconds": most_seconds,
        "JitterStrategy": "FULL",
    }


# The CDK drops nulls from a definition, so `"ResultPath": null` would become "the result replaces the state's input".
UNUSED = "$.unused"


def caught(next_state: str, *errors: str, into: str | None = "$.error") -> State:
    """One catcher: all errors, if none is named."""
    return {"ErrorEquals": list(errors) or ["States.ALL"], "Next": next_state, "ResultPath": into or UNUSED}


def task(
    resource: str,
    *,
    parameters: Mapping[str, Any] | None = None,
    result: str | None,
    next_state: str | None,
    timeout_seconds: int,
    retries: Sequence[State],
    catches: Sequence[State],
    selector: Mapping[str, str] | None = None,
) -> State:
    """A task that always has a time-out, retries and a way out when they are used up."""
    state: State = {"Type": "Task", "Resource": resource, "TimeoutSeconds": timeout_seconds}
    if parameters is not None:
        state["Parameters"] = dict(parameters)
    if selector is not None:
        state["ResultSelector"] = dict(selector)
    state["ResultPath"] = result or UNUSED
    state["Retry"] = list(retries)
    state["Catch"] = list(catches)
    state |= {"Next": next_state} if next_state else {"End": True}
    return state


def call(
    function_arn: str,
    *,
    result: str | None,
    next_state: str,
    catches: Sequence[State],
    parameters: Mapping[str, Any] | None = None,
    retries: Sequence[State] = (),
    timeout_seconds: int = 150,
) -> State:
    """Call one of our functions, which must end by itself before the state gives it up."""
    return task(
        function_arn,
        parameters=parameters,
        result=result,
        next_state=next_state,
        timeout_seconds=timeout_seconds,
        retries=[*retries, retry(CUT_OFF, attempts=1), retry(TRANSIENT)],
        catches=catches,
    )


def sdk(
    partition: str,
    action: str,
    *,
    parameters: Mapping[str, Any],
    next_state: str,
    catches: Sequence[State],
    result: str | None = None,
    selector: Mapping[str, str] | None = None,
) -> State:
    """Call SageMaker's API itself."""
    return task(
        f"arn:{partition}:states:::aws-sdk:sagemaker:{action}",
        parameters=parameters,
        result=result,
        selector=selector,
        next_state=next_state,
        timeout_seconds=60,
        retries=[retry(THROTTLED_SDK, attempts=5)],
        catches=catches,
    )


def wait(next_state: str, *, seconds: int | None = None, path: str | None = None) -> State:
    """Wait for a time that is known, or that the input holds."""
    return {"Type": "Wait", **({"SecondsPath": path} if path else {"Seconds": seconds}), "Next": next_state}


def on(next_state: str, *tests: State) -> State:
    """A branch of a choice: all of the tests must hold."""
    return {**tests[0], "Next": next_state} if len(tests) == 1 else {"And": list(tests), "Next": next_state}


def choose(*branches: State, otherwise: str) -> State:
    """The first branch whose tests hold."""
    return {"Type": "Choice", "Choices": list(branches), "Default": otherwise}


def note(next_state: str | None, *, parameters: Mapping[str, Any], result: str = "$") -> State:
    """Put something into the execution's state."""
    state: State = {"Type": "Pass", "Parameters": dict(parameters), "ResultPath": result}
    return state | ({"Next": next_state} if next_state else {"End": True})


def fail(error: str, cause: str) -> State:
    """An end that isn't good."""
    return {"Type": "Fail", "Error": error, "Cause": cause}


def fail_with(path: str) -> State:
    """An end with the error that was caught into `path`, so that whoever started the machine learns it."""
    return {"Type": "Fail", "ErrorPath": f"{path}.Error", "CausePath": f"{path}.Cause"}


def is_present(path: str, *tests: State) -> State:
    """All of the tests, on a path that AWS's answers may lack: what compares a missing path fails the execution."""
    return {"And": [{"Variable": path, "IsPresent": True}, *tests]}


def settle(name: str, partition: str, *, then: str, settled: Sequence[State], lost: str, looks: int = LOOKS) -> States:
    """
    States that look every 15 seconds until the endpoint of `$.plan` is what it should be.

    Parameters
    ----------
    name
        Prefix of the states' names; enter at `<name>Begins`.
    then
        Where to go once all of the tests `settled` hold on `$.endpoint`: see `describe_endpoint`.
    lost
        Where to go when it failed, became something else, or took more than `looks`.
    """
    begins, waits, looked, settled_state = f"{name}Begins", f"{name}Waits", f"{name}Looks", f"{name}Settled"
    return {
        begins: note(waits, parameters={"looks": 0}, result="$.settling"),
        waits: wait(looked, seconds=15),
        looked: describe_endpoint(partition, next_state=settled_state, catches=[caught(lost)]),
        settled_state: choose(
            on(lost, {"Variable": "$.settling.looks", "NumericGreaterThanEquals": looks}),
            {"Or": status_is(*CHANGING), "Next": f"{name}Counts"},
            on(then, *status_is("InService"), *settled),
            otherwise=lost,
        ),
        f"{name}Counts": note(
            waits, parameters={"looks.$": "States.MathAdd($.settling.looks, 1)"}, result="$.settling"
        ),
    }


# RollingBack too: what came of an update, and why, is only known when that is over. An endpoint that goes is lost.
CHANGING = tuple(status for status in ENDPOINT_CHANGING if status != "Deleting")


def describe_endpoint(partition: str, *, next_state: str, catches: Sequence[State]) -> State:
    """
    Put the endpoint at `$.endpoint`: its status, its variants' weights, and all that was described.

    Most members of the answer may be missing, and a selector fails on a path that finds nothing; one with `[*]` gives
    an empty list.
    """
    return sdk(
        partition,
        "describeEndpoint",
        parameters={"EndpointName.$": "$.plan.endpoint_name"},
        selector={
            "status.$": "$.EndpointStatus",
            "current.$": "$.ProductionVariants[*].CurrentWeight",
            "desired.$": "$.ProductionVariants[*].DesiredWeight",
            "described.$": "$",
        },
        result="$.endpoint",
        next_state=next_state,
        catches=catches,
    )


def status_is(*words: str) -> list[State]:
    """Tests of the endpoint's status, one for each word."""
    return [{"Variable": "$.endpoint.status", "StringEquals": word} for word in words]


def gone(name: str, partition: str, *, then: str, lost: str, looks: int = LOOKS) -> States:
    """
    States that delete the endpoint of `$.plan` and look until there is none; enter at `<name>Begins`.

    DescribeEndpoint answers a ValidationException for an endpoint that isn't there, which has no name of its own among
    the errors: creating another one tells the two apart.
    """
    begins, waits, looked, still = f"{name}Begins", f"{name}Waits", f"{name}Looks", f"{name}Still"
    return {
        begins: sdk(
            partition,
            "deleteEndpoint",
            parameters={"EndpointName.$": "$.plan.endpoint_name"},
            result="$.deleted",
            selector={},
            next_state=f"{name}Counted",
            catches=[caught(f"{name}Counted", into="$.deleted")],
        ),
        f"{name}Counted": note(waits, parameters={"looks": 0}, result="$.settling"),
        waits: wait(looked, seconds=15),
        looked: describe_endpoint(partition, next_state=still, catches=[caught(then, into="$.deleted")]),
        still: choose(
            on(lost, {"Variable": "$.settling.looks", "NumericGreaterThanEquals": looks}),
            on(f"{name}Counts", *status_is("Deleting")),
            otherwise=lost,
        ),
        f"{name}Counts": note(
            waits, parameters={"looks.$": "States.MathAdd($.settling.looks, 1)"}, result="$.settling"
        ),
    }
