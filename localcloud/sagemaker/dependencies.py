"""
Permissions that a request needs besides its own, because of what it names: as data.

Sources: developer guide, "How to use SageMaker AI execution roles" (sections CreateTrainingJob, CreateProcessingJob)
and "Amazon SageMaker AI API permissions" (read 2026-11): a volume key needs kms:CreateGrant of the job's role or of the
caller, an output key kms:Encrypt of the job's role, an endpoint whose configuration has a key kms:CreateGrant of the
caller. SageMaker says with each grant that it is for a resource of AWS.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

__all__ = ["DEPENDENCIES", "Dependency", "needed"]

_FOR_AWS: Mapping[str, str] = MappingProxyType({"kms:grantisforawsresource": "true"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """
    One permission that comes with a member of a request.

    Attributes
    ----------
    operation, member
        The API's operation, and the path of the member whose value is the resource that the permission is about.
    of
        Who must have it: the request's role, its caller, or one of the two.
    context
        Condition keys that SageMaker sends along.
    """

    operation: str
    member: str
    action: str
    of: Literal["role", "caller", "either"]
    context: Mapping[str, str] = field(default_factory=dict)


DEPENDENCIES = (
    Dependency(
        operation="CreateTrainingJob",
        member="ResourceConfig.VolumeKmsKeyId",
        action="kms:CreateGrant",
        of="either",
        context=_FOR_AWS,
    ),
    Dependency(
        operation="CreateProcessingJob",
        member="ProcessingResources.ClusterConfig.VolumeKmsKeyId",
        action="kms:CreateGrant",
        of="either",
        context=_FOR_AWS,
    ),
    Dependency(operation="CreateTrainingJob", member="OutputDataConfig.KmsKeyId", action="kms:Encrypt", of="role"),
    Dependency(
        operation="CreateProcessingJob", member="ProcessingOutputConfig.KmsKeyId", action="kms:Encrypt", of="role"
    ),
    # Of the configuration that the request names.
    Dependency(operation="CreateEndpoint", member="KmsKeyId", action="kms:CreateGrant", of="caller", context=_FOR_AWS),
    Dependency(operation="UpdateEndpoint", member="KmsKeyId", action="kms:CreateGrant", of="caller", context=_FOR_AWS),
)


def needed(operation: str, request: Mapping[str, Any]) -> Iterator[tuple[Dependency, str]]:
    """
    The permissions that a request needs besides, each with the resource that it is about.

    >>> [(one.action, key) for one, key in needed("CreateTrainingJob", {"OutputDataConfig": {"KmsKeyId": "k"}})]
    [('kms:Encrypt', 'k')]
    """
    for dependency in DEPENDENCIES:
        if dependency.operation == operation and (value := _value(request, dependency.member)):
            yield dependency, value


def _value(request: Mapping[str, Any], path: str) -> str:
    found: Any = request
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return str(found or "")
