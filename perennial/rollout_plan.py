"""
What a rollout is going to do, written down before it begins: slots, variants, steps.

The plan is plain data in the shapes of SageMaker's CreateModel and CreateEndpointConfig; nothing here calls AWS.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from perennial.artifact import MODEL_DIGEST
from perennial.errors import EndpointDiverged
from perennial.instance_types import check_hosting_type
from perennial.keys import resource_name
from perennial.policy import Policy, Seconds, Share, spelled

__all__ = [
    "FastGuardrails",
    "Live",
    "RolloutPlan",
    "RolloutPolicy",
    "Slot",
    "SlotState",
    "SlowGuardrails",
    "plan",
]

Slot = Literal["blue", "green"]
_PLANNED: Final = ("shadow", "ab")


class FastGuardrails(Policy):
    """
    `[rollout.fast]`: judged at each step, from service metrics.

    A ratio of latencies of a few milliseconds is noise: below `latency_floor_ms` no p99 is too slow. `max_error_share`
    is about server errors, `max_refused_share` about all that the caller gets instead of an answer: a request that the
    model refuses (4xx), fails at, or doesn't answer. Both are held against the challenger only beyond the champion's.
    """

    max_error_share: Share = 0.01
    max_refused_share: Share = 0.01
    max_latency_ratio: Annotated[float, Field(ge=1.0)] | None = 2.0
    latency_floor_ms: Annotated[float, Field(ge=0.0)] = 50.0
    max_latency_ms: Annotated[float, Field(gt=0.0)] | None = None
    max_prediction_shift: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = 0.99


class SlowGuardrails(Policy):
    """`[rollout.slow]`: judged where labels come early enough."""

    max_quality_drop: Annotated[float, Field(ge=0.0)] | None = None
    min_labelled: Annotated[int, Field(ge=2)] = 100


class RolloutPolicy(Policy):
    """`[rollout]`: shares of traffic, how long each bakes, and the guardrails."""

    strategy: Literal["canary", "linear", "blue_green"] = "canary"
    steps: tuple[Annotated[float, Field(gt=0.0, le=1.0)], ...] = ()
    linear_step: Annotated[float, Field(gt=0.0, le=1.0)] = 0.2
    bake_seconds: Seconds = spelled(600, "bake", "bake_seconds")
    min_samples: Annotated[int, Field(ge=1)] = 100
    max_holds: Annotated[int, Field(ge=0, le=100)] = 6
    fast: FastGuardrails = FastGuardrails()
    slow: SlowGuardrails = SlowGuardrails()
    assignment: Literal["request"] = "request"
    keep_previous: bool = False
    instance_type: Annotated[str, AfterValidator(check_hosting_type)] = "ml.m5.large"
    instance_count: Annotated[int, Field(ge=1, le=100)] = 1
    capture_share: Share = spelled(1.0, "capture", "capture_share")

    @field_validator("strategy", mode="before")
    @classmethod
    def _refuse_what_is_not_there(cls, given: Any) -> Any:
        if given in _PLANNED:
            known = '"canary", "linear" or "blue_green"'
            raise ValueError(f'strategy must be {known}. Got "{given}" instead: not implemented yet')
        return given

    @field_validator("steps")
    @classmethod
    def _steps_ascend(cls, steps: tuple[float, ...]) -> tuple[float, ...]:
        if any(later <= earlier for earlier, later in pairwise(steps)):
            raise ValueError(f"steps must ascend, such as [0.1, 0.5, 1.0]. Got {list(steps)} instead")
        return steps

    @property
    def shares(self) -> tuple[float, ...]:
        """The challenger's traffic share at each step."""
        if self.steps:
            return self.steps
        if self.strategy == "canary":
            return (0.1, 0.5, 1.0)
        if self.strategy == "blue_green":
            return (1.0,)
        count = int(1.0 / self.linear_step + 1e-9)
        rising = [round(self.linear_step * step, 6) for step in range(1, count + 1)]
        return tuple(rising) if rising[-1] >= 1.0 else (*rising, 1.0)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SlotState(_Part):
    """The model that a variant slot holds."""

    model_version: str
    model_name: str
    artifact_digest: str | None = None
    model_data_url: str | None = None


class Live(_Part):
    """
    The live pointer: which slot serves, what each slot holds.

    Attributes
    ----------
    endpoint_exists, endpoint_failed
        Whether there is an endpoint, and whether it is one that can only be deleted.
    """

    champion_slot: Slot | None = None
    slots: dict[Slot, SlotState] = {}
    endpoint_exists: bool = False
    endpoint_failed: bool = False

    @property
    def champion(self) -> SlotState | None:
        """The champion, where there is one."""
        return self.slots.get(self.champion_slot) if self.champion_slot is not None else None


class RolloutPlan(_Part):
    """Everything the rollout machine needs, ready for SageMaker's CreateModel and CreateEndpointConfig."""

    rollout_id: str
    fencing_token: int
    endpoint_name: str
    endpoint_exists: bool
    endpoint_failed: bool = False
    model_version: str
    artifact_digest: str
    model_name: str
    endpoint_config_name: str
    retired_config_name: str
    challenger_slot: Slot
    champion_slot: Slot | None
    model: dict[str, Any]
    production_variants: list[dict[str, Any]]
    data_capture: dict[str, Any]
    steps: tuple[float, ...]
    bake_seconds: int
    keep_previous: bool
    tags: list[dict[str, str]]


def plan(
    *,
    loop: str,
    stage: str,
    rollout_id: str,
    model_version: str,
    model_data_url: str,
    artifact_digest: str,
    model_digest: str,
    image_uri: str,
    live: Live,
    policy: RolloutPolicy,
    fencing_token: int,
    endpoint_name: str,
    capture_uri: str,
    environment: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> RolloutPlan:
    """
    The plan of one rollout: the challenger takes the slot that doesn't serve, at weight 0, and then steps.

    The first model of a loop gets one variant with all the weight and no steps.

    Parameters
    ----------
    model_digest
        Of what the archive holds: the container refuses to serve anything else.

    Raises
    ------
    EndpointDiverged
        The endpoint failed although a champion lives on it: deleting it is for a person to decide.
    """
    champion = live.champion
    if champion is not None and live.endpoint_failed:
        raise EndpointDiverged(
            f"endpoint {endpoint_name} must be InService, since champion {champion.model_version} lives on it. Got an "
            "endpoint that failed instead: a person must look, and delete it if it can't be mended."
        )
    champion_slot = live.champion_slot if champion is not None else None
    challenger_slot: Slot = "green" if champion_slot == "blue" else "blue"
    model_name = resource_name(loop, stage, rollout_id)
    variants = [_variant(challenger_slot, model_name, 0.0 if champion is not None else 1.0, policy)]
    if champion is not None and champion_slot is not None:
        variants.insert(0, _variant(champion_slot, champion.model_name, 1.0, policy))
    told = {"MODEL_VERSION": model_version, "ARTIFACT_DIGEST": artifact_digest, MODEL_DIGEST: model_digest}
    container = _container(image_uri, model_data_url, {**told, **(environment or {})})
    return RolloutPlan(
        rollout_id=rollout_id,
        fencing_token=fencing_token,
        endpoint_name=endpoint_name,
        endpoint_exists=live.endpoint_exists,
        endpoint_failed=live.endpoint_failed,
        model_version=model_version,
        artifact_digest=artifact_digest,
        model_name=model_name,
        endpoint_config_name=model_name,
        retired_config_name=resource_name(loop, stage, rollout_id, "r"),
        challenger_slot=challenger_slot,
        champion_slot=champion_slot,
        model={"primary_container": container},
        production_variants=variants,
        data_capture=_capture(capture_uri, policy),
        steps=policy.shares if champion is not None else (),
        bake_seconds=policy.bake_seconds,
        keep_previous=policy.keep_previous,
        tags=[{"Key": key, "Value": value} for key, value in sorted((tags or {}).items())],
    )


def _container(image_uri: str, model_data_url: str, environment: Mapping[str, str]) -> dict[str, Any]:
    return {
        "Image": image_uri,
        "ModelDataUrl": model_data_url,
        "Environment": {
            "SAGEMAKER_PROGRAM": "inference.py",
            "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
            # The container runs `pip install .` at start; without a package index that needs both.
            "PIP_NO_BUILD_ISOLATION": "0",
            "PIP_NO_INDEX": "1",
            **environment,
        },
    }


def _variant(slot: Slot, model_name: str, weight: float, policy: RolloutPolicy) -> dict[str, Any]:
    return {
        "VariantName": slot,
        "ModelName": model_name,
        "InstanceType": policy.instance_type,
        "InitialInstanceCount": policy.instance_count,
        "InitialVariantWeight": weight,
    }


def _capture(capture_uri: str, policy: RolloutPolicy) -> dict[str, Any]:
    return {
        "EnableCapture": policy.capture_share > 0,
        "InitialSamplingPercentage": max(round(policy.capture_share * 100), 1),
        "DestinationS3Uri": capture_uri,
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"], "CsvContentTypes": ["text/csv"]},
    }
