"""CloudFormation's AWS::CloudWatch::Alarm and AWS::CloudWatch::CompositeAlarm."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from botocore.model import Shape

from localcloud.cloudwatch.book import AlarmBook
from localcloud.cloudwatch.protocol import CloudWatchError, model
from localcloud.context import Context, ResourceType


def install(context: Context, book: AlarmBook) -> None:
    """Register both types."""
    context.register_resource("AWS::CloudWatch::Alarm", _alarm_type(context, book, "PutMetricAlarm", book.put_metric))
    context.register_resource(
        "AWS::CloudWatch::CompositeAlarm", _alarm_type(context, book, "PutCompositeAlarm", book.put_composite)
    )


def _alarm_type(
    context: Context, book: AlarmBook, operation: str, put: Callable[[dict[str, Any], float], None]
) -> ResourceType:
    def save(name: str, properties: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        params = {key: value for key, value in properties.items() if key != "AlarmName"}
        shape = model().operation_model(operation).input_shape
        typed = coerce(shape, params | {"AlarmName": name})
        try:
            put(typed, context.clock().timestamp())
        except CloudWatchError as error:
            raise ValueError(str(error)) from error
        alarm = book.alarms[name]
        alarm.tags = {tag["Key"]: tag["Value"] for tag in typed.get("Tags", ())}
        return name, {"Arn": alarm.arn}

    def create(logical_id: str, properties: dict[str, Any], stack: str) -> tuple[str, dict[str, Any]]:
        return save(properties.get("AlarmName") or generated_name(stack, logical_id, 255), properties)

    def update(physical_id: str, old: dict[str, Any], new: dict[str, Any], stack: str) -> tuple[str, dict[str, Any]]:
        created = save(new.get("AlarmName") or physical_id, new)
        if created[0] != physical_id:
            delete(physical_id, old)
        return created

    def delete(physical_id: str, properties: dict[str, Any]) -> None:
        try:
            book.delete([physical_id])
        except CloudWatchError as error:
            raise ValueError(str(error)) from error

    return ResourceType(create=create, update=update, delete=delete)


def generated_name(stack: str, logical_id: str, longest: int) -> str:
    """
    A physical name as CloudFormation makes them: stack, logical id and twelve characters, the same every time.

    >>> generated_name("stack", "Alarm", 63)
    'stack-Alarm-6660089D1E8F'
    """
    tail = hashlib.sha256(f"{stack}/{logical_id}".encode()).hexdigest()[:12].upper()
    return f"{stack}-{logical_id}"[: longest - 13] + f"-{tail}"


def coerce(shape: Shape | None, value: Any) -> Any:
    """Template values, where numbers and booleans may be strings, as the types of an API's shape."""
    if shape is None:
        return value
    kind = shape.type_name
    if kind == "structure" and isinstance(value, dict):
        return {name: coerce(shape.members.get(name), member) for name, member in value.items() if member is not None}
    if kind == "list" and isinstance(value, list):
        return [coerce(shape.member, item) for item in value]
    if kind in ("integer", "long") and isinstance(value, (str, float)):
        return int(float(value))
    if kind in ("double", "float") and isinstance(value, (str, int)):
        return float(value)
    if kind == "boolean" and isinstance(value, str):
        return value.lower() == "true"
    return value
