"""
The loop's endpoint: what it serves, at which weights, and how to change those.

`InService` doesn't say that an update succeeded: a failed one is rolled back by SageMaker to InService with the old
configuration. So its configuration's name and each variant's current weight are compared with what was asked for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from perennial.errors import EndpointBusy
from perennial.failures import ENDPOINT_CHANGING

__all__ = ["DEPLOYMENT_TAG", "VERSION_TAG", "Endpoint", "EndpointState", "Variant", "missing"]

# Tags of everything that a rollout creates: by them a teardown knows what is its own.
DEPLOYMENT_TAG = "perennial:deployment"
VERSION_TAG = "perennial:model-version"

# "DeleteEndpoint is the only operation that can be performed on a failed endpoint" (API reference, read 2026-11).
_FAILED = ("Failed", "UpdateRollbackFailed", "OutOfService")


@dataclass(frozen=True, slots=True)
class Variant:
    """One production variant: the weight it has and the weight it shall have."""

    name: str
    current_weight: float
    desired_weight: float


@dataclass(frozen=True, slots=True)
class EndpointState:
    """What DescribeEndpoint says."""

    status: str
    config_name: str
    variants: tuple[Variant, ...]
    failure: str = ""

    @property
    def changing(self) -> bool:
        """Whether SageMaker refuses changes for now."""
        return self.status in ENDPOINT_CHANGING

    @property
    def failed(self) -> bool:
        """Whether it can't be updated any more."""
        return self.status in _FAILED

    def variant(self, name: str | None) -> Variant | None:
        """The variant of this name, if there is one."""
        return next((variant for variant in self.variants if variant.name == name), None)

    def settled_at(self, weights: Mapping[Any, float]) -> bool:
        """Whether traffic is split now as `weights` say, and not just about to be, within float32."""
        mine = {name: self.variant(name) for name in weights}
        total, wanted = sum(variant.current_weight for variant in self.variants), sum(weights.values())
        if self.changing or total <= 0 or wanted <= 0:
            return False
        return all(
            variant is not None and abs(variant.current_weight / total - weights[name] / wanted) < 1e-4
            for name, variant in mine.items()
        )


@dataclass(frozen=True)
class Endpoint:
    """One endpoint by name."""

    sagemaker: Any
    runtime: Any
    name: str

    def state(self) -> EndpointState | None:
        """
        What the endpoint is now; None where there is none.

        SageMaker says "Could not find endpoint" with a ValidationException: any other one is raised.
        """
        try:
            answer = self.sagemaker.describe_endpoint(EndpointName=self.name)
        except ClientError as error:
            if missing(error):
                return None
            raise
        return EndpointState(
            status=answer["EndpointStatus"],
            config_name=answer.get("EndpointConfigName", ""),
            variants=tuple(_variant(raw) for raw in answer.get("ProductionVariants", [])),
            failure=answer.get("FailureReason", ""),
        )

    def set_weights(self, weights: Mapping[Any, float]) -> None:
        """
        Asks for new traffic weights of existing variants.

        Raises
        ------
        EndpointBusy
            The endpoint is being changed; SageMaker takes no other change until that is over.
        """
        try:
            self.sagemaker.update_endpoint_weights_and_capacities(
                EndpointName=self.name,
                DesiredWeightsAndCapacities=[
                    {"VariantName": name, "DesiredWeight": weight} for name, weight in sorted(weights.items())
                ],
            )
        except ClientError as error:
            if _busy(error):
                raise EndpointBusy(
                    f"endpoint {self.name} must be InService. Got a change in progress instead."
                ) from error
            raise

    def predict(self, rows: Sequence[Mapping[str, Any]], *, variant: str | None = None) -> dict[str, Any]:
        """The answer of the endpoint, or of one variant whatever its weight, for rows of the contract."""
        target = {} if variant is None else {"TargetVariant": variant}
        answer = self.runtime.invoke_endpoint(
            EndpointName=self.name,
            ContentType="application/json",
            Accept="application/json",
            Body=json.dumps({"instances": list(rows)}).encode(),
            **target,
        )
        parsed: dict[str, Any] = json.loads(answer["Body"].read())
        return parsed


def _variant(raw: Mapping[str, Any]) -> Variant:
    current = float(raw.get("CurrentWeight", 0.0))
    return Variant(
        name=raw["VariantName"], current_weight=current, desired_weight=float(raw.get("DesiredWeight", current))
    )


def missing(error: ClientError) -> bool:
    """Whether SageMaker says that what was named isn't there: a ValidationException like any other, but its text."""
    described = error.response["Error"]
    said = str(described.get("Message", "")).lower()
    return described["Code"] in ("ResourceNotFound", "ResourceNotFoundException") or (
        described["Code"] == "ValidationException"
        and any(words in said for words in ("could not find", "does not exist", "cannot find"))
    )


def _busy(error: ClientError) -> bool:
    described = error.response["Error"]
    return described["Code"] in ("ResourceInUse", "ConflictException") or (
        described["Code"] == "ValidationException"
        and any(state.lower() in described.get("Message", "").lower() for state in ("updat", "creating", "rollingback"))
    )
