"""The .sync pattern: start a job or an execution, wait until it ends, give its description or fail."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ministack.services import stepfunctions as sf

from localcloud.states import sdk
from localcloud.states.errors import TASK_FAILED, StateFailed

if TYPE_CHECKING:
    from localcloud.states.integrations import Call

_POLL_SECONDS = 5.0
_LEAST_SECONDS = 0.05
_KINDS = ("TrainingJob", "ProcessingJob", "TransformJob", "HyperParameterTuningJob")


def run(call: Call, service: str, operation: str, *, parsed: bool) -> Any:
    """The finished job's description. `parsed`: an execution's Input and Output as JSON, not text."""
    if operation == "StartExecution":
        return _run_execution(call, parsed=parsed)
    kind = operation.removeprefix("Create")
    if kind not in _KINDS:
        raise StateFailed("States.Runtime", f"{service}:{operation} has no .sync pattern")
    return _run_job(call, service, kind)


def _run_job(call: Call, service: str, kind: str) -> Any:
    name = str(call.resumed_job or (call.parameters or {}).get(f"{kind}Name", ""))
    if call.resumed_job is None:
        sdk.call(call.context, service, f"Create{kind}", call.parameters, role=call.role, optimised=True)
        call.note(job=name)
    pause = max(_LEAST_SECONDS, min(_POLL_SECONDS, call.context.scales.wait(_POLL_SECONDS)))
    while True:
        found = sdk.call(
            call.context, service, f"Describe{kind}", {f"{kind}Name": name}, role=call.role, optimised=True
        )
        status = found[f"{kind}Status"]
        if status == "Completed":
            return found
        if status in ("Failed", "Stopped"):
            raise StateFailed(TASK_FAILED, json.dumps(found))
        if not call.pause(pause):
            _stop(call, service, f"Stop{kind}", {f"{kind}Name": name})
            raise StateFailed(TASK_FAILED, f"{kind} {name} was given up")


def _run_execution(call: Call, *, parsed: bool) -> Any:
    arn = call.resumed_job
    if arn is None:
        started = sdk.call(
            call.context, "stepfunctions", "StartExecution", call.parameters, role=call.role, optimised=True
        )
        arn = str(started["ExecutionArn"])
        call.note(job=arn)
    pause = 0.01
    while (record := sf._executions.get(arn)) is not None and record["status"] == "RUNNING":
        if not call.pause(pause):
            _stop(call, "stepfunctions", "StopExecution", {"ExecutionArn": arn})
            raise StateFailed(TASK_FAILED, f"execution {arn} was given up")
        pause = min(0.25, pause * 1.5)
    found = sdk.call(
        call.context, "stepfunctions", "DescribeExecution", {"ExecutionArn": arn}, role=call.role, optimised=True
    )
    if found["Status"] != "SUCCEEDED":
        raise StateFailed(TASK_FAILED, json.dumps(found))
    if parsed:
        for name in ("Input", "Output"):
            found[name] = json.loads(found[name]) if found.get(name) else None
    return found


def _stop(call: Call, service: str, operation: str, parameters: dict[str, Any]) -> None:
    if call.context.stopping:
        return
    try:
        sdk.call(call.context, service, operation, parameters, role=call.role, optimised=True)
    except StateFailed as failure:
        call.context.log.warning("%s failed: %s", operation, failure.cause)
