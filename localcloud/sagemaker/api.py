"""Which operations there are, and what each of them needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from localcloud.context import Request, Response
from localcloud.sagemaker import shapes
from localcloud.sagemaker.endpoints import Endpoints
from localcloud.sagemaker.errors import SageMakerError, ValidationException
from localcloud.sagemaker.faults import Faults
from localcloud.sagemaker.invocation import PATH, Runtime
from localcloud.sagemaker.models import Models
from localcloud.sagemaker.permissions import Permissions
from localcloud.sagemaker.processing import ProcessingJobs
from localcloud.sagemaker.registry import Registry
from localcloud.sagemaker.state import Listing, State
from localcloud.sagemaker.training import TrainingJobs

Operation = Callable[[Mapping[str, Any]], Mapping[str, Any] | None]

LISTINGS = {
    "ListTrainingJobs": Listing("training-job", "TrainingJobSummaries", "TrainingJob"),
    "ListProcessingJobs": Listing("processing-job", "ProcessingJobSummaries", "ProcessingJob"),
    "ListModels": Listing("model", "Models", "Model", descending=True),
    "ListEndpointConfigs": Listing("endpoint-config", "EndpointConfigs", "EndpointConfig", descending=True),
    "ListEndpoints": Listing("endpoint", "Endpoints", "Endpoint", descending=True),
    "ListModelPackageGroups": Listing("model-package-group", "ModelPackageGroupSummaryList", "ModelPackageGroup"),
    "ListModelPackages": Listing(
        "model-package",
        "ModelPackageSummaryList",
        "ModelPackage",
        filters=("ModelPackageGroupName", "ModelApprovalStatus"),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What carries the operations out."""

    state: State
    registry: Registry
    models: Models
    training: TrainingJobs
    processing: ProcessingJobs
    endpoints: Endpoints
    runtime: Runtime
    permissions: Permissions
    faults: Faults

    def operations(self) -> dict[str, Operation]:
        """Every operation of the control plane by name."""
        return self._packages() | self._deployment() | self._jobs() | self._tags_and_lists()

    def _packages(self) -> dict[str, Operation]:
        registry = self.registry
        return {
            "CreateModelPackageGroup": registry.create_group,
            "DescribeModelPackageGroup": registry.describe_group,
            "DeleteModelPackageGroup": registry.delete_group,
            "CreateModelPackage": registry.create,
            "DescribeModelPackage": registry.describe,
            "UpdateModelPackage": registry.update,
            "DeleteModelPackage": registry.delete,
        }

    def _deployment(self) -> dict[str, Operation]:
        models, endpoints = self.models, self.endpoints
        return {
            "CreateModel": models.create,
            "DescribeModel": models.describe,
            "DeleteModel": models.delete,
            "CreateEndpointConfig": models.create_config,
            "DescribeEndpointConfig": models.describe_config,
            "DeleteEndpointConfig": models.delete_config,
            "CreateEndpoint": endpoints.create,
            "DescribeEndpoint": endpoints.describe,
            "UpdateEndpoint": endpoints.update,
            "UpdateEndpointWeightsAndCapacities": endpoints.update_weights,
            "DeleteEndpoint": endpoints.delete,
        }

    def _jobs(self) -> dict[str, Operation]:
        training, processing = self.training, self.processing
        return {
            "CreateTrainingJob": training.create,
            "DescribeTrainingJob": training.describe,
            "StopTrainingJob": training.request_stop,
            "CreateProcessingJob": processing.create,
            "DescribeProcessingJob": processing.describe,
            "StopProcessingJob": processing.request_stop,
        }

    def _tags_and_lists(self) -> dict[str, Operation]:
        state = self.state
        return {
            "AddTags": lambda p: {"Tags": state.tag(p["ResourceArn"], p["Tags"])},
            "ListTags": lambda p: {"Tags": state.tags_of(p["ResourceArn"])},
            "DeleteTags": lambda p: state.untag(p["ResourceArn"], p["TagKeys"]),
            **{name: partial(state.page, listing) for name, listing in LISTINGS.items()},
        }


class Api:
    """SageMaker's control plane and, on its own path, the runtime."""

    def __init__(self, parts: Parts) -> None:
        self._runtime = parts.runtime
        self._permissions = parts.permissions
        self._faults = parts.faults
        self.operations = parts.operations()

    def __call__(self, request: Request) -> Response:
        """Answer one request."""
        if PATH.fullmatch(request.path):
            return self._runtime.invoke(request)
        try:
            if refusal := self._permissions.refusal(request):
                return refusal
            return Response.of_json(self.call(request.action, request.json()))
        except SageMakerError as error:
            return Response.of_error(error.code, str(error), status=error.status)
        except ValueError as error:
            return Response.of_error("SerializationException", f"the body is no JSON: {error}")

    def call(self, action: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out an operation whose parameters may still be wrong."""
        if action not in self.operations:
            known = ", ".join(sorted(self.operations))
            raise ValidationException(f"not part of the local cloud: {action or 'no operation'}. It has {known}")
        operation = shapes.model().operation_model(action)
        given = shapes.typed(operation.input_shape, dict(params))
        shapes.check(operation, given)
        self._faults.refuse(action)
        result = self.operations[action](given)
        cut: dict[str, Any] = shapes.cut(operation.output_shape, result or {})
        return cut
