"""
One payload to one target: permission, retries, dead-letter queue.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-retry-policy.html and eb-rule-dlq.html (read 2026-11):
24 hours and 185 attempts unless the target says otherwise; errors that a retry can't mend go to the queue at once.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError
from ministack.core import iam_evaluator
from ministack.core.arn import parse_arn
from ministack.services import eventbridge, lambda_svc, sns, sqs

from localcloud import encryption
from localcloud.context import Context
from localcloud.extension import require

_AT_ONCE = 8
_HOPELESS = ("AccessDenied", "NotFound", "DoesNotExist", "NonExistent", "Validation", "Invalid", "NoPermission")
_ACTIONS = {"sqs": "sqs:SendMessage", "sns": "sns:Publish", "lambda": "lambda:InvokeFunction"}
# What SNS and SQS tell KMS a data key is for.
_ENCRYPTION_CONTEXT = {"sns": "kms:encryptioncontext:aws:sns:topicarn", "sqs": "kms:encryptioncontext:aws:sqs:arn"}


class Undeliverable(Exception):
    """The target did not take it."""

    def __init__(self, code: str, message: str, *, hopeless: bool) -> None:
        super().__init__(message)
        self.code = code
        self.hopeless = hopeless


@dataclass(slots=True)
class Parcel:
    """
    A payload on its way.

    Attributes
    ----------
    service
        The principal that delivers: events.amazonaws.com or scheduler.amazonaws.com.
    source_arn
        The rule or schedule.
    role
        Whose permissions count; without one, the target's own policy must let `service` in.
    labels
        Message attributes that a dead letter carries, beside those about the error.
    """

    target: Mapping[str, Any]
    payload: str
    service: str
    source_arn: str
    role: str | None
    execution_name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    # By the clock that goes as fast as the machine does; set at the first attempt.
    started_at: float | None = None
    attempts: int = 0

    @property
    def arn(self) -> str:
        return str(self.target["Arn"])


class Courier:
    """Delivers parcels in the background, a few at a time."""

    def __init__(self, context: Context) -> None:
        require(lambda_svc, "invoke_async_with_retry", "_get_func_record_for_ref", "_execution_record_for_config")
        require(eventbridge, "_dispatch_to_sqs")
        require(iam_evaluator, "evaluate_resource_policy", "_resource_policy", "EvalContext")
        require(sqs, "_queue_by_arn")
        require(sns, "publish_internal")
        self._context = context
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="localcloud-events")

    def send(self, parcel: Parcel) -> None:
        """Deliver, some time soon."""
        if not self._context.stopping:
            self._pool.submit(self._attempt, parcel)

    def _attempt(self, parcel: Parcel) -> None:
        try:
            with self._context.scope():
                self._try(parcel)
        except Exception:
            self._context.log.exception("delivery to %s failed", parcel.arn)

    def _try(self, parcel: Parcel) -> None:
        parcel.attempts += 1
        if parcel.started_at is None:
            parcel.started_at = self._context.pace.now()
        try:
            self._deliver(parcel)
        except Undeliverable as error:
            self._again_or_never(parcel, error)
        except ClientError as error:
            details = error.response.get("Error", {})
            code = str(details.get("Code", "Unknown"))
            hopeless = any(part in code for part in _HOPELESS)
            self._again_or_never(parcel, Undeliverable(code, str(details.get("Message", "")), hopeless=hopeless))

    def _again_or_never(self, parcel: Parcel, error: Undeliverable) -> None:
        policy = parcel.target.get("RetryPolicy") or {}
        most = int(policy.get("MaximumRetryAttempts", 185))
        oldest = self._context.scales.wait(float(policy.get("MaximumEventAgeInSeconds", 86_400)))
        age = self._context.pace.now() - (parcel.started_at or 0.0)
        if not error.hopeless and parcel.attempts <= most and age < oldest:
            delay = self._context.scales.wait(min(2.0 ** (parcel.attempts - 1), 900.0))
            timer = threading.Timer(delay, self.send, (parcel,))
            timer.daemon = True
            timer.start()
            return
        why = "MaximumRetryAttempts" if parcel.attempts > most else "MaximumEventAgeInSeconds"
        self._bury(parcel, error, None if error.hopeless else why)

    def _bury(self, parcel: Parcel, error: Undeliverable, why: str | None) -> None:
        self._context.log.warning("%s not delivered to %s: %s %s", parcel.source_arn, parcel.arn, error.code, error)
        rule = parcel.source_arn.rpartition("/")[2]
        if parcel.service.startswith("events."):
            self._context.put_metric("AWS/Events", "FailedInvocations", 1, "Count", {"RuleName": rule})
        queue = (parcel.target.get("DeadLetterConfig") or {}).get("Arn")
        if not queue:
            return
        labels = {**parcel.labels, "TARGET_ARN": parcel.arn, "ERROR_CODE": error.code}
        labels["ERROR_MESSAGE"] = str(error)[:500]
        labels["RETRY_ATTEMPTS"] = str(parcel.attempts - 1)
        if why:
            labels["EXHAUSTED_RETRY_CONDITION"] = why
        if not parcel.role:
            self._permitted("sqs", queue, parcel)
        attributes = {key: {"DataType": "String", "StringValue": value or "-"} for key, value in labels.items()}
        url = f"{self._context.endpoint_url}/{queue.split(':')[4]}/{queue.rpartition(':')[2]}"
        message = {"QueueUrl": url, "MessageBody": parcel.payload, "MessageAttributes": attributes}
        self._context.call("sqs", "SendMessage", message, role=parcel.role)

    def _deliver(self, parcel: Parcel) -> None:
        service = parcel.arn.split(":")[2]
        deliver = getattr(self, f"_to_{service}", None)
        if deliver is None:
            raise Undeliverable("UNSUPPORTED_TARGET", f"the local cloud has no target {service}", hopeless=True)
        deliver(parcel)

    def _to_lambda(self, parcel: Parcel) -> None:
        if parcel.role:
            params = {"FunctionName": parcel.arn, "InvocationType": "Event", "Payload": parcel.payload}
            self._context.call("lambda", "Invoke", params, role=parcel.role)
            return
        function, config, _ = lambda_svc._get_func_record_for_ref(parcel.arn)
        if not function or not config:
            raise Undeliverable("RESOURCE_NOT_FOUND", f"{parcel.arn} does not exist", hopeless=True)
        self._permitted("lambda", parcel.arn, parcel)
        record = lambda_svc._execution_record_for_config(function, config)
        lambda_svc.invoke_async_with_retry(record, json.loads(parcel.payload))

    def _to_sqs(self, parcel: Parcel) -> None:
        parameters = dict(parcel.target.get("SqsParameters") or {})
        if parcel.role:
            url = f"{self._context.endpoint_url}/{parcel.arn.split(':')[4]}/{parcel.arn.rpartition(':')[2]}"
            message = {"QueueUrl": url, "MessageBody": parcel.payload, **parameters}
            self._context.call("sqs", "SendMessage", message, role=parcel.role)
            return
        if not sqs._queue_by_arn(parcel.arn):
            raise Undeliverable("RESOURCE_NOT_FOUND", f"{parcel.arn} does not exist", hopeless=True)
        self._permitted("sqs", parcel.arn, parcel)
        eventbridge._dispatch_to_sqs(parse_arn(parcel.arn), parcel.payload, parameters)

    def _to_sns(self, parcel: Parcel) -> None:
        if parcel.role:
            self._context.call("sns", "Publish", {"TopicArn": parcel.arn, "Message": parcel.payload}, role=parcel.role)
            return
        self._permitted("sns", parcel.arn, parcel)
        if sns.publish_internal(parcel.arn, parcel.payload, "EventBridge Notification") is None:
            raise Undeliverable("RESOURCE_NOT_FOUND", f"{parcel.arn} does not exist", hopeless=True)

    def _to_states(self, parcel: Parcel) -> None:
        if not parcel.role:
            raise Undeliverable("NO_PERMISSIONS", "a state machine as a target needs a RoleArn", hopeless=True)
        start = {"stateMachineArn": parcel.arn, "input": parcel.payload, "name": parcel.execution_name}
        try:
            self._context.call("stepfunctions", "StartExecution", start, role=parcel.role)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ExecutionAlreadyExists":
                raise

    def _to_logs(self, parcel: Parcel) -> None:
        group = parcel.arn.split(":log-group:")[1].removesuffix(":*")
        stream = hashlib.sha256(parcel.payload.encode()).hexdigest()[:32]
        self._context.put_log(group, stream, parcel.payload)

    def _permitted(self, service: str, arn: str, parcel: Parcel) -> None:
        """Let it pass when the resource's own policy lets the delivering service in."""
        source = {"aws:sourcearn": parcel.source_arn, "aws:sourceaccount": self._context.account}
        self._allowed(service, arn, _ACTIONS[service], parcel, source)
        key = encryption.key_of(service, arn)
        if key:
            # The classic trap: an encrypted queue takes no events unless the key's policy lets EventBridge use it. The
            # source isn't told to KMS: https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html (2026-11),
            # "not supported for EventBridge-to-encrypted topics".
            self._allowed("kms", key, "kms:GenerateDataKey", parcel, {_ENCRYPTION_CONTEXT[service]: arn})

    def _allowed(self, service: str, arn: str, action: str, parcel: Parcel, conditions: dict[str, str]) -> None:
        found = iam_evaluator._resource_policy(service, arn)
        request = iam_evaluator.EvalContext(
            principal_arn=parcel.service,
            principal_type="Service",
            principal_account=self._context.account,
            action=action,
            resource_arn=arn,
            region=self._context.region,
            service_context=conditions,
        )
        policy = found[0] if found else None
        if iam_evaluator.evaluate_resource_policy(policy, request, service=parcel.service).decision != "Allow":
            message = f"the policy of {arn} does not let {parcel.service} do {action}"
            raise Undeliverable("NO_PERMISSIONS", message, hopeless=True)
