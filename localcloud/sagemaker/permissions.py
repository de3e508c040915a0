"""
Which permissions a request needs: one that the fabric checks, and some that only SageMaker knows of.

Source: service authorization reference, "Actions, resources, and condition keys for Amazon SageMaker AI" (read
2026-11-24): CreateEndpoint and UpdateEndpoint need the endpoint configuration too, and whoever creates with tags needs
sagemaker:AddTags. What keys need stands in `dependencies`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from localcloud import encryption, permissions
from localcloud.context import Context, Request, Response
from localcloud.extension import require
from localcloud.sagemaker import dependencies
from localcloud.sagemaker.invocation import PATH
from localcloud.sagemaker.state import State

_NAMED = (
    ("ModelPackageGroup", "model-package-group"), ("ModelPackage", "model-package"), ("TrainingJob", "training-job"),
    ("ProcessingJob", "processing-job"), ("EndpointConfig", "endpoint-config"), ("Endpoint", "endpoint"),
    ("Model", "model"),
)  # fmt: skip
"""Longest names first: an operation is about the first that its own name contains."""


class Permissions:
    """What requests need."""

    def __init__(self, context: Context, state: State) -> None:
        self._context = context
        self._state = state

    def needed(self, request: Request) -> tuple[str, str]:
        """The IAM action of a request, and the ARN that it is about; `*` for lists."""
        if match := PATH.fullmatch(request.path):
            return "sagemaker:InvokeEndpoint", self._state.arn("endpoint", match[1])
        return f"sagemaker:{request.action}", self._resource(request.action, request.json())

    def refusal(self, request: Request) -> Response | None:
        """AccessDenied when the caller lacks what the request needs besides."""
        from ministack.core import iam_evaluator, router

        require(iam_evaluator, "enforce")
        require(router, "extract_access_key_id")
        access_key = router.extract_access_key_id(dict(request.headers), dict(request.query))
        for action, arn in self._also_needed(request.action, request.json()):
            if iam_evaluator.enforce(access_key, action, "sagemaker", request.region, resource_arn=arn):
                return _denied(request.caller_arn, action, arn)
        return self._refused_key(request, access_key)

    def _refused_key(self, request: Request, access_key: str) -> Response | None:
        """AccessDenied when nobody who would have to may use a key that the request names."""
        from ministack.core import iam_evaluator

        params = request.json()
        if config := self._state["endpoint-config"].get(str(params.get("EndpointConfigName"))):
            params = {**params, "KmsKeyId": config.get("KmsKeyId")}
        for dependency, named in dependencies.needed(request.action, params):
            key, role = encryption.arn_of_key(named), str(params.get("RoleArn"))
            who = role if dependency.of == "role" else request.caller_arn
            allowed = dependency.of != "caller" and permissions.role_may(
                self._context, role, dependency.action, key, dependency.context
            )
            if not allowed and dependency.of != "role":
                allowed = not iam_evaluator.enforce(
                    access_key,
                    dependency.action,
                    "kms",
                    request.region,
                    resource_arn=key,
                    service_context=dict(dependency.context),
                )
            if not allowed:
                return _denied(who, dependency.action, key)
        return None

    def _also_needed(self, action: str, params: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        if action in ("CreateEndpoint", "UpdateEndpoint") and "EndpointConfigName" in params:
            yield f"sagemaker:{action}", self._state.arn("endpoint-config", str(params["EndpointConfigName"]))
        if action.startswith("Create") and params.get("Tags"):
            yield "sagemaker:AddTags", self._resource(action, params)

    def _resource(self, action: str, params: Mapping[str, Any]) -> str:
        if "ResourceArn" in params:
            return str(params["ResourceArn"])
        if action == "CreateModelPackage" and "ModelPackageGroupName" in params:
            # A version that has no number yet.
            return self._state.arn("model-package", f"{str(params['ModelPackageGroupName']).rpartition('/')[2]}/*")
        for prefix, collection in _NAMED:
            if prefix in action and not action.startswith("List"):
                named = str(params.get(f"{prefix}Name") or params.get(f"{prefix}Arn") or "*")
                return named if named.startswith("arn:") else self._state.arn(collection, named)
        return "*"


def _denied(who: str, action: str, arn: str) -> Response:
    return Response.of_error(
        "AccessDeniedException",
        f"User: {who} is not authorized to perform: {action} on resource: {arn} because no identity-based policy "
        f"allows the {action} action",
    )
