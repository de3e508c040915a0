"""Requests checked, and answers cut, by botocore's description of the API."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import botocore.session
from botocore.model import OperationModel, ServiceModel, Shape
from botocore.validate import ParamValidator

from localcloud.sagemaker.errors import ValidationException

LISTED_VIOLATIONS = 10


@functools.cache
def model() -> ServiceModel:
    """botocore's description of SageMaker."""
    return botocore.session.get_session().get_service_model("sagemaker")


def check(operation: OperationModel, params: Mapping[str, Any]) -> None:
    """
    Pass when `params` has all that is required, nothing unknown, and every value within its limits.

    Raises
    ------
    ValidationException
        With all violations, in AWS's words where botocore's model says enough.
    """
    shape = operation.input_shape
    if shape is None:
        return
    report = ParamValidator().validate(dict(params), shape)
    if report.has_errors():
        raise ValidationException(report.generate_report())
    found = list(_violations(shape, params, ""))[:LISTED_VIOLATIONS]
    if found:
        count = f"{len(found)} validation error{'s' if len(found) > 1 else ''} detected"
        raise ValidationException(f"{count}: {'; '.join(found)}")


def _violations(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if shape.type_name == "structure":
        for name, member in value.items():
            if name in shape.members:
                lowered = name[0].lower() + name[1:]
                yield from _violations(shape.members[name], member, f"{path}.{lowered}" if path else lowered)
        return
    if shape.type_name == "list":
        yield from _length(shape, value, path)
        for index, item in enumerate(value, 1):
            yield from _violations(shape.member, item, f"{path}.{index}.member")
    elif shape.type_name == "map":
        yield from _length(shape, value, path)
        for key, item in value.items():
            yield from _violations(shape.key, key, f"{path}.key")
            yield from _violations(shape.value, item, f"{path}.{key}")
    elif shape.type_name == "string":
        yield from _text(shape, value, path)
    elif shape.type_name in ("integer", "long", "float", "double") and value > shape.metadata.get("max", value):
        yield _failed(value, path, f"Member must have value less than or equal to {shape.metadata['max']}")


def _length(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if len(value) > shape.metadata.get("max", len(value)):
        yield _failed(value, path, f"Member must have length less than or equal to {shape.metadata['max']}")


def _text(shape: Shape, value: str, path: str) -> Iterator[str]:
    yield from _length(shape, value, path)
    pattern, allowed = shape.metadata.get("pattern"), shape.metadata.get("enum")
    if allowed and value not in allowed:
        yield _failed(value, path, f"Member must satisfy enum value set: [{', '.join(sorted(allowed))}]")
    elif pattern and not _matches(pattern, value):
        yield _failed(value, path, f"Member must satisfy regular expression pattern: {pattern}")


def _matches(pattern: str, value: str) -> bool:
    compiled = _compiled(pattern)
    return compiled is None or compiled.fullmatch(value) is not None


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str] | None:
    """None for the few patterns of the API that are not Python's: they go unchecked."""
    try:
        return re.compile(pattern.replace("\\p{L}", "\\w").replace("\\p{Z}", "\\s").replace("\\p{N}", "\\d"))
    except re.error:
        return None


def _failed(value: Any, path: str, constraint: str) -> str:
    return f"Value '{value}' at '{path}' failed to satisfy constraint: {constraint}"


def typed(shape: Shape | None, value: Any) -> Any:
    """JSON as the API writes it, with numbers of time as epoch seconds, whatever way a client wrote them."""
    if shape is None:
        return value
    if shape.type_name == "structure" and isinstance(value, dict):
        return {name: typed(shape.members.get(name), member) for name, member in value.items() if member is not None}
    if shape.type_name == "list" and isinstance(value, list):
        return [typed(shape.member, item) for item in value]
    if shape.type_name == "timestamp" and isinstance(value, str):
        return datetime.fromisoformat(value).timestamp()
    return value


def cut(shape: Shape | None, value: Any) -> Any:
    """Only what the output shape names, without members that are None."""
    if shape is None or value is None:
        return value
    if shape.type_name == "structure":
        kept = {name: member for name, member in value.items() if name in shape.members and member is not None}
        return {name: cut(shape.members[name], member) for name, member in kept.items()}
    if shape.type_name == "list":
        return [cut(shape.member, item) for item in value]
    return value


def in_milliseconds(value: Any, *, key: str = "") -> Any:
    """
    A description as events carry it: times are epoch milliseconds there.

    >>> in_milliseconds({"CreationTime": 1.5, "TrainingTimeInSeconds": 2})
    {'CreationTime': 1500, 'TrainingTimeInSeconds': 2}
    """
    if isinstance(value, dict):
        return {name: in_milliseconds(member, key=name) for name, member in value.items()}
    if isinstance(value, list):
        return [in_milliseconds(item) for item in value]
    return int(value * 1000) if key.endswith("Time") and isinstance(value, float) else value


def iso(moment: float) -> str:
    """
    A time as data capture writes it.

    >>> iso(0)
    '1970-01-01T00:00:00Z'
    """
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
