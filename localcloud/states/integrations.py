"""What a Task's Resource stands for, and how it is called: always as the state machine's role."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from localcloud.context import Context
from localcloud.states import jobs, sdk
from localcloud.states.errors import RUNTIME, StateFailed

SYNC, SYNC2, TOKEN = ".sync", ".sync:2", ".waitForTaskToken"

# https://docs.aws.amazon.com/step-functions/latest/dg/integrate-optimized.html (read 2026-11), as far as the local
# cloud serves them: action -> the patterns, beside request-response, that it has.
OPTIMISED: dict[str, frozenset[str]] = {
    "lambda:invoke": frozenset({TOKEN}),
    "dynamodb:getItem": frozenset(),
    "dynamodb:putItem": frozenset(),
    "dynamodb:updateItem": frozenset(),
    "dynamodb:deleteItem": frozenset(),
    "sqs:sendMessage": frozenset({TOKEN}),
    "sns:publish": frozenset({TOKEN}),
    "events:putEvents": frozenset({TOKEN}),
    "states:startExecution": frozenset({SYNC, SYNC2, TOKEN}),
    "sagemaker:createTrainingJob": frozenset({SYNC}),
    "sagemaker:createProcessingJob": frozenset({SYNC}),
    "sagemaker:createTransformJob": frozenset({SYNC}),
    "sagemaker:createHyperParameterTuningJob": frozenset({SYNC}),
    "sagemaker:createModel": frozenset(),
    "sagemaker:createEndpointConfig": frozenset(),
    "sagemaker:createEndpoint": frozenset(),
    "sagemaker:updateEndpoint": frozenset(),
}
_RESOURCE = re.compile(r"arn:[\w-]+:states:::(?P<sdk>aws-sdk:)?(?P<service>\w+):(?P<action>\w+)(?P<pattern>\.[\w:]+)?")
_FUNCTION = re.compile(r"arn:[\w-]+:lambda:[\w-]+:\d+:function:[\w-]+(:[\w$-]+)?")
_STATES_SERVICES = {"states": "stepfunctions"}


@dataclass(slots=True)
class Call:
    """One attempt at a Task's resource."""

    context: Context
    resource: str
    parameters: Any
    role: str
    execution_arn: str
    note: Callable[..., None]
    resumed_job: str | None = None
    _abandoned: threading.Event = field(default_factory=threading.Event)

    def give_up(self) -> None:
        """Nobody waits for it any more: a job it waits for is stopped."""
        self._abandoned.set()

    def pause(self, seconds: float) -> bool:
        """Wait; False as soon as the call is given up."""
        return not self._abandoned.wait(seconds)

    @property
    def pattern(self) -> str:
        """.sync, .sync:2, .waitForTaskToken, or nothing."""
        found = _RESOURCE.fullmatch(self.resource)
        return (found["pattern"] or "") if found else ""

    @property
    def is_function(self) -> bool:
        """Whether the resource is a function's own ARN."""
        return _FUNCTION.fullmatch(self.resource) is not None

    def names(self) -> dict[str, str]:
        """The resource's type and name as the history shows them."""
        found = _RESOURCE.fullmatch(self.resource)
        if not found:
            return {"resourceType": "lambda", "resource": self.resource}
        kind = f"{found['sdk'] or ''}{found['service']}"
        return {"resourceType": kind, "resource": found["action"] + (found["pattern"] or "")}


def problem(resource: str) -> str | None:
    """Why a definition with this Resource is refused; None when it is fine."""
    if _FUNCTION.fullmatch(resource):
        return None
    found = _RESOURCE.fullmatch(resource)
    if not found:
        return f"The resource provided {resource} is not recognized: it is not a valid resource ARN."
    pattern = found["pattern"] or ""
    if found["sdk"]:
        service = sdk.service_name(found["service"])
        if service is None:
            return f"The resource provided {resource} is not recognized: there is no service {found['service']}."
        operation = sdk.operation_name(service, found["action"])
        if operation is None or not found["action"][0].islower():
            return f"The resource provided {resource} is not recognized: {service} has no action {found['action']}."
        return None if pattern in ("", TOKEN) else f"The resource {resource} does not support the pattern {pattern}."
    patterns = OPTIMISED.get(f"{found['service']}:{found['action']}")
    if patterns is None:
        return f"The resource provided {resource} is not recognized."
    return None if not pattern or pattern in patterns else f"The resource {resource} does not support {pattern}."


def invoke(call: Call) -> Any:
    """
    The result of the call; for .sync, of what it started.

    Raises
    ------
    StateFailed
        With the error name that AWS gives it.
    """
    if _FUNCTION.fullmatch(call.resource):
        return _invoke_function(call, call.resource, call.parameters)["Payload"]
    found = _RESOURCE.fullmatch(call.resource)
    if not found:
        raise StateFailed(RUNTIME, f"The resource {call.resource} is not recognized")
    if f"{found['service']}:{found['action']}" == "lambda:invoke" and not found["sdk"]:
        return _invoke_function(call, None, call.parameters)
    service = sdk.service_name(_STATES_SERVICES.get(found["service"], found["service"]))
    operation = sdk.operation_name(service or "", found["action"]) if service else None
    if service is None or operation is None:
        raise StateFailed(RUNTIME, f"The resource {call.resource} is not recognized")
    optimised = not found["sdk"]
    if optimised and found["pattern"] in (SYNC, SYNC2):
        return jobs.run(call, service, operation, parsed=found["pattern"] == SYNC2)
    answer = sdk.call(call.context, service, operation, call.parameters, role=call.role, optimised=optimised)
    if operation == "PutEvents" and optimised and answer.get("FailedEntryCount"):
        raise StateFailed("EventBridge.FailedEntry", json.dumps(answer))
    return answer


def _invoke_function(call: Call, function: str | None, parameters: Any) -> dict[str, Any]:
    if function is not None:
        parameters = {"FunctionName": function, "Payload": parameters}
    answer = sdk.call(call.context, "lambda", "Invoke", parameters, role=call.role, optimised=True)
    text = answer.pop("Payload", "") or "null"
    try:
        payload = json.loads(text)
    except ValueError:
        payload = text
    if answer.pop("FunctionError", None):
        kind = payload.get("errorType", "Unknown") if isinstance(payload, dict) else "Unknown"
        # https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html: time-outs and crashes of
        # the runtime show as States.Timeout's cousin Lambda.Unknown or under their own name.
        raise StateFailed(kind, text)
    answer.pop("LogResult", None)
    return {"ExecutedVersion": "$LATEST", **answer, "Payload": payload}
