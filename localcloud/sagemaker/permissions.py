"""
Which permissions a request needs: one that the fabric checks, and some that only SageMaker knows of.

Source: service authorization reference, "Actions, resources, and condition keys for Amazon SageMaker AI" (read
2026-11-24): CreateEndpoint and UpdateEndpoint need the endpoint configuration too, and whoever creates with tags needs
sagemaker:AddTags.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from localcloud.context import Request, Response
from localcloud.extension import require
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

    def __init__(self, state: State) -> None:
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
                return Response.of_error(
                    "AccessDeniedException",
                    f"User: {request.caller_arn} is not authorized to perform: {action} on resource: {arn} because no "
                    f"identity-based policy allows the {action} action",
                )
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
