"""
Properties that ministack's resource handlers leave out, set through the service's own API after they are done.

A property of a bucket that neither sets fails the stack: a policy that is silently not there is worse than an error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from localcloud import services
from localcloud.cloudformation import bucket
from localcloud.context import Context
from localcloud.extension import require

Properties = dict[str, Any]
# What ministack's handler leaves out of a function's configuration, and the API's name for it.
_FUNCTION_SETTINGS = {"DeadLetterConfig": "DeadLetterConfig", "KmsKeyArn": "KMSKeyArn"}
_NONE: dict[str, Any] = {"DeadLetterConfig": {"TargetArn": ""}, "KmsKeyArn": ""}

Complete = Callable[[Context, str, Properties, Properties], None]
"""Of (context, physical id, properties, earlier properties): sets what is missing."""


def install(context: Context) -> None:
    """Complete the types below."""
    from ministack.services.cloudformation import provisioners

    require(provisioners, "_RESOURCE_HANDLERS")
    for type_name, complete in _COMPLETIONS.items():
        _complete(context, type_name, provisioners._RESOURCE_HANDLERS[type_name], complete)
    handlers = provisioners._RESOURCE_HANDLERS["AWS::S3::Bucket"]
    remove = handlers["delete"]
    handlers["delete"] = lambda name, properties: bucket.delete(context, name, remove, properties)


def _complete(context: Context, type_name: str, handlers: dict[str, Any], complete: Complete) -> None:
    make, change = handlers["create"], handlers["update"]
    check = _CHECKS.get(type_name, lambda properties: None)

    def create(logical_id: str, properties: Properties, stack: str) -> tuple[str, Properties]:
        check(properties)
        identity, attributes = make(logical_id, properties, stack)
        complete(context, identity, properties, {})
        return identity, attributes

    def update(identity: str, old: Properties, new: Properties, *rest: Any) -> tuple[str, Properties]:
        check(new)
        made, attributes = change(identity, old, new, *rest)
        complete(context, made, new, old if made == identity else {})
        return made, attributes

    handlers.update(create=create, update=update)
    services.run_in_threads(type_name)


def _table(context: Context, name: str, new: Properties, old: Properties) -> None:
    recovery = new.get("PointInTimeRecoverySpecification") or {}
    if recovery != (old.get("PointInTimeRecoverySpecification") or {}):
        enabled = _true(recovery.get("PointInTimeRecoveryEnabled"))
        specification = {"PointInTimeRecoveryEnabled": enabled}
        context.call(
            "dynamodb",
            "UpdateContinuousBackups",
            {"TableName": name, "PointInTimeRecoverySpecification": specification},
        )
    lifetime = new.get("TimeToLiveSpecification") or {}
    if lifetime and lifetime != old.get("TimeToLiveSpecification"):
        specification = {
            "AttributeName": lifetime["AttributeName"],
            "Enabled": _true(lifetime.get("Enabled", True)),
        }
        context.call("dynamodb", "UpdateTimeToLive", {"TableName": name, "TimeToLiveSpecification": specification})
    encryption = new.get("SSESpecification") or {}
    if encryption and encryption != old.get("SSESpecification"):
        specification = {
            "Enabled": _true(encryption.get("SSEEnabled")),
            "SSEType": encryption.get("SSEType", "KMS"),
            **({"KMSMasterKeyId": encryption["KMSMasterKeyId"]} if "KMSMasterKeyId" in encryption else {}),
        }
        context.call("dynamodb", "UpdateTable", {"TableName": name, "SSESpecification": specification})


def _function(context: Context, name: str, new: Properties, old: Properties) -> None:
    settings = {
        wire: new.get(given) or _NONE[given]
        for given, wire in _FUNCTION_SETTINGS.items()
        if new.get(given) != old.get(given)
    }
    if settings:
        context.call("lambda", "UpdateFunctionConfiguration", {"FunctionName": name, **settings})
    reserved = new.get("ReservedConcurrentExecutions")
    if reserved is not None:
        context.call(
            "lambda",
            "PutFunctionConcurrency",
            {"FunctionName": name, "ReservedConcurrentExecutions": int(reserved)},
        )
    elif old.get("ReservedConcurrentExecutions") is not None:
        context.call("lambda", "DeleteFunctionConcurrency", {"FunctionName": name})


def _topic(context: Context, arn: str, new: Properties, old: Properties) -> None:
    key = new.get("KmsMasterKeyId") or ""
    if key != (old.get("KmsMasterKeyId") or ""):
        attribute = {"TopicArn": arn, "AttributeName": "KmsMasterKeyId", "AttributeValue": key}
        context.call("sns", "SetTopicAttributes", attribute)


def _schedule(context: Context, name: str, new: Properties, old: Properties) -> None:
    from ministack.services import scheduler

    require(scheduler, "_schedules")
    for schedule in scheduler._schedules.values():
        if schedule["Name"] == name.rpartition("/")[2]:
            schedule["ScheduleExpressionTimezone"] = new.get("ScheduleExpressionTimezone", "UTC")
            for field in ("StartDate", "EndDate"):
                schedule[field] = new.get(field)


def _check_machine(properties: Properties) -> None:
    from ministack.services.cloudformation import provisioners

    from localcloud.states import definition

    require(provisioners, "_sfn_definition")
    found = definition.problems(provisioners._sfn_definition(properties))
    if found:
        listed = ", ".join(f"{code}: {message} at {where}" for code, message, where in found)
        raise ValueError(f"Invalid State Machine Definition: '{listed}' (Service: Sfn, Status Code: 400)")


def _machine(context: Context, arn: str, new: Properties, old: Properties) -> None:
    from ministack.services import stepfunctions

    require(stepfunctions, "_state_machines")
    machine = stepfunctions._state_machines[arn]
    given = new.get("LoggingConfiguration") or {}
    groups = [part["CloudWatchLogsLogGroup"]["LogGroupArn"] for part in given.get("Destinations", [])]
    machine["loggingConfiguration"] = {
        "level": given.get("Level", "OFF"),
        "includeExecutionData": _true(given.get("IncludeExecutionData", False)),
        "destinations": [{"cloudWatchLogsLogGroup": {"logGroupArn": group}} for group in groups],
    }
    machine["tracingConfiguration"] = {"enabled": _true((new.get("TracingConfiguration") or {}).get("Enabled", False))}


def _true(value: Any) -> bool:
    return str(value).lower() == "true"


_COMPLETIONS: dict[str, Complete] = {
    "AWS::S3::Bucket": bucket.complete,
    "AWS::DynamoDB::Table": _table,
    "AWS::Lambda::Function": _function,
    "AWS::SNS::Topic": _topic,
    "AWS::Scheduler::Schedule": _schedule,
    "AWS::StepFunctions::StateMachine": _machine,
}
_CHECKS: dict[str, Callable[[Properties], None]] = {"AWS::StepFunctions::StateMachine": _check_machine}
