"""
Asynchronous invocations: queued, tried again, and told to a destination or a dead-letter queue.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html and invocation-async-retain-records
.html (read 2026-11): two retries, a minute and then two minutes after a failure; OnSuccess and OnFailure get a record
of the invocation, a dead-letter queue gets the event itself; the function's own role sends them.
"""

from __future__ import annotations

import contextvars
import json
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from localcloud.context import Context
from localcloud.extension import replace, require

_AT_ONCE = 8
_RETRY_SECONDS = (60.0, 120.0)


def install(context: Context) -> None:
    """Take every asynchronous invocation: by Invoke, S3, SNS, EventBridge, or a schedule."""
    from ministack.services import lambda_svc

    require(lambda_svc, "_execute_function")
    require(lambda_svc, "_event_invoke_config")
    settings = replace(
        lambda_svc,
        "_event_invoke_config",
        # Settings of a function without a qualifier are those of $LATEST; CloudFormation gives the qualifier.
        lambda function, qualifier: settings(function, qualifier) or settings(function, _same(qualifier)),
    )
    queue = _Queue(context)
    replace(lambda_svc, "invoke_async_with_retry", queue.put)


@dataclass(slots=True)
class _Invocation:
    function: dict[str, Any]
    event: Any
    scope: contextvars.Context
    request_id: str
    queued_at: float
    attempts: int = 0


class _Queue:
    """Runs a few invocations at a time: a burst of events must not become a burst of processes."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="localcloud-async")

    def put(self, function: dict[str, Any], event: Any) -> None:
        """Take an event for `function`; returns at once."""
        now = self._context.pace.now()
        self._submit(_Invocation(function, event, contextvars.copy_context(), str(uuid.uuid4()), now))

    def _submit(self, invocation: _Invocation) -> None:
        if not self._context.stopping:
            self._pool.submit(invocation.scope.copy().run, self._attempt, invocation)

    def _attempt(self, invocation: _Invocation) -> None:
        try:
            with self._context.scope():
                self._run(invocation)
        except Exception:
            self._context.log.exception("asynchronous invocation failed")

    def _run(self, invocation: _Invocation) -> None:
        from ministack.services import lambda_svc

        result = lambda_svc._execute_function(invocation.function, invocation.event)
        if result.get("throttle"):
            self._later(1.0, invocation)
            return
        invocation.attempts += 1
        if not result.get("error"):
            self._tell(invocation, result, "Success", "OnSuccess")
            return
        settings = _settings(invocation.function)
        retries = settings.get("MaximumRetryAttempts")
        if invocation.attempts > (2 if retries is None else int(retries)):
            self._tell(invocation, result, "RetriesExhausted", "OnFailure")
            return
        wait = _RETRY_SECONDS[min(invocation.attempts, len(_RETRY_SECONDS)) - 1]
        age = (self._context.pace.now() - invocation.queued_at) * self._context.scales.waits + wait
        if age > int(settings.get("MaximumEventAgeInSeconds") or 21600):
            self._tell(invocation, result, "EventAgeExceeded", "OnFailure")
        else:
            self._later(self._context.scales.wait(wait), invocation)

    def _later(self, seconds: float, invocation: _Invocation) -> None:
        timer = threading.Timer(seconds, self._submit, (invocation,))
        timer.daemon = True
        timer.start()

    def _tell(self, invocation: _Invocation, result: dict[str, Any], condition: str, kind: str) -> None:
        config = invocation.function.get("config") or invocation.function
        destinations = _settings(invocation.function).get("DestinationConfig") or {}
        target = (destinations.get(kind) or {}).get("Destination")
        role = config.get("Role")
        if target:
            send(self._context, target, _record(invocation, config, result, condition), role, kind=kind)
        if kind == "OnFailure" and (dead_letters := (config.get("DeadLetterConfig") or {}).get("TargetArn")):
            body = result.get("body") if isinstance(result.get("body"), dict) else {}
            message = str((body or {}).get("errorMessage", ""))[:1024]
            attributes = {"RequestID": invocation.request_id, "ErrorCode": "200", "ErrorMessage": message or "-"}
            _send_message(self._context, dead_letters, json.dumps(invocation.event), role, attributes)


def _same(qualifier: str | None) -> str | None:
    return {None: "$LATEST", "": "$LATEST", "$LATEST": None}.get(qualifier, qualifier)


def _settings(function: dict[str, Any]) -> dict[str, Any]:
    from ministack.services import lambda_svc

    version = (function.get("config") or function).get("Version", "$LATEST")
    return dict(lambda_svc._event_invoke_config(function, version) or {})


def _record(invocation: _Invocation, config: dict[str, Any], result: dict[str, Any], condition: str) -> dict[str, Any]:
    arn, version = config.get("FunctionArn", ""), config.get("Version", "$LATEST")
    response: dict[str, Any] = {"statusCode": 200, "executedVersion": version}
    if result.get("error"):
        response["functionError"] = result.get("function_error") or "Unhandled"
    from datetime import UTC, datetime

    return {
        "version": "1.0",
        "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
        "requestContext": {
            "requestId": invocation.request_id,
            "functionArn": arn if arn.count(":") > 6 else f"{arn}:{version}",
            "condition": condition,
            "approximateInvokeCount": invocation.attempts,
        },
        "requestPayload": invocation.event,
        "responseContext": response,
        "responsePayload": result.get("body"),
    }


def send(context: Context, target: str, record: dict[str, Any], role: str | None, *, kind: str) -> None:
    """Send an invocation record to a destination as the function's role; what goes wrong is logged, as on AWS."""
    service = target.split(":")[2]
    if service in ("sqs", "sns"):
        _send_message(context, target, json.dumps(record), role, {})
    elif service == "lambda":
        params = {"FunctionName": target, "InvocationType": "Event", "Payload": json.dumps(record)}
        context.call("lambda", "Invoke", params, role=role)
    elif service == "events":
        outcome = "Success" if kind == "OnSuccess" else "Failure"
        detail_type = f"Lambda Function Invocation Result - {outcome}"
        bus = target.rpartition("/")[2]
        arn = str(record["requestContext"]["functionArn"])
        context.put_event("lambda", detail_type, record, [target, arn], bus=bus)
    else:
        raise ValueError(f"an invocation's destination must be SQS, SNS, Lambda or EventBridge. Got {target} instead")


def _send_message(context: Context, target: str, body: str, role: str | None, attributes: dict[str, str]) -> None:
    values = {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()}
    if target.split(":")[2] == "sns":
        params = {"TopicArn": target, "Message": body, "MessageAttributes": values}
        context.call("sns", "Publish", params, role=role)
        return
    url = f"{context.endpoint_url}/{target.split(':')[4]}/{target.rpartition(':')[2]}"
    context.call("sqs", "SendMessage", {"QueueUrl": url, "MessageBody": body, "MessageAttributes": values}, role=role)
