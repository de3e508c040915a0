"""
How a challenger gets traffic, step by step, and what sends it back.

Shares are endpoint variant weights. While a rollout lasts the champion keeps some weight, so going back is flipping
weights that exist. Silence, missing samples and unknown alarms hold; they never promote.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from perennial.policy import Policy, Seconds, Share, spelled
from perennial.sequential import certainly_above

__all__ = [
    "AlarmState",
    "Evidence",
    "FastGuardrails",
    "Live",
    "RolloutPlan",
    "RolloutPolicy",
    "SlotState",
    "SlowGuardrails",
    "StepDecision",
    "VariantEvidence",
    "analyse",
    "begin",
    "plan",
    "roll_back_weights",
    "weights_for",
]

Slot = Literal["blue", "green"]
SLOTS: Final[tuple[Slot, Slot]] = ("blue", "green")
# While a rollout lasts, a share of 1.0 leaves the champion this much: it must stay a live variant with weight above 0.
CHAMPION_MIN_SHARE: Final = 0.01
_PLANNED = ("shadow", "ab")


class FastGuardrails(Policy):
    """`[rollout.fast]`: judged at each step, from service metrics."""

    max_error_share: Share = 0.01
    max_latency_ratio: Annotated[float, Field(ge=1.0)] | None = 2.0
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
    instance_type: Annotated[str, Field(pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9]+$")] = "ml.m5.large"
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
    """The live pointer: which slot serves, what each slot holds."""

    champion_slot: Slot | None = None
    slots: dict[Slot, SlotState] = {}
    endpoint_exists: bool = False

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
    rollout_id: str,
    model_version: str,
    model_data_url: str,
    artifact_digest: str,
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
    """
    champion = live.champion
    champion_slot = live.champion_slot if champion is not None else None
    challenger_slot: Slot = "green" if champion_slot == "blue" else "blue"
    model_name = f"{loop}-{rollout_id}"[:63].rstrip("-")
    variants = [_variant(challenger_slot, model_name, 0.0 if champion is not None else 1.0, policy)]
    if champion is not None and champion_slot is not None:
        variants.insert(0, _variant(champion_slot, champion.model_name, 1.0, policy))
    container = {
        "Image": image_uri,
        "ModelDataUrl": model_data_url,
        "Environment": {
            "SAGEMAKER_PROGRAM": "inference.py",
            "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
            # The container runs `pip install .` at start; without a package index that needs both.
            "PIP_NO_BUILD_ISOLATION": "0",
            "PIP_NO_INDEX": "1",
            "MODEL_VERSION": model_version,
            "ARTIFACT_DIGEST": artifact_digest,
            **(environment or {}),
        },
    }
    return RolloutPlan(
        rollout_id=rollout_id,
        fencing_token=fencing_token,
        endpoint_name=endpoint_name,
        endpoint_exists=live.endpoint_exists,
        model_version=model_version,
        artifact_digest=artifact_digest,
        model_name=model_name,
        endpoint_config_name=model_name,
        retired_config_name=f"{model_name[:60]}-r",
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


@dataclass(frozen=True, slots=True)
class VariantEvidence:
    """
    What one variant did since the rollout started.

    Attributes
    ----------
    invocations, errors_5xx
        Counts since the challenger got traffic (cumulative over steps: the comparison is valid at every look).
    latency_ms_p99
        ModelLatency, in milliseconds (CloudWatch has microseconds).
    quality, labelled
        The primary metric on labelled traffic, where labels came already, and its half interval.
    """

    invocations: int = 0
    errors_5xx: int = 0
    latency_ms_p99: float | None = None
    quality: float | None = None
    quality_margin: float = 0.0
    labelled: int = 0


@dataclass(frozen=True, slots=True)
class AlarmState:
    """One alarm of the challenger's slot."""

    name: str
    state: Literal["OK", "ALARM", "INSUFFICIENT_DATA"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """
    All that a step's analysis looks at.

    Attributes
    ----------
    status
        The rollout item's status: anything but "in progress" (an alarm or a person ended it) rolls back.
    endpoint_as_planned
        Whether the endpoint's configuration and weights are what the rollout set: a silent rollback is seen here.
    prediction_shift
        Distance between both variants' predictions on alike traffic, 0 to 1, where known.
    quality_gain
        Challenger's quality minus champion's, oriented so that positive is better, where known.
    """

    step: int
    holds: int
    challenger: VariantEvidence
    champion: VariantEvidence
    alarms: tuple[AlarmState, ...] = ()
    status: str = "in progress"
    endpoint_as_planned: bool = True
    prediction_shift: float | None = None
    quality_gain: float | None = None


@dataclass(frozen=True, slots=True)
class StepDecision:
    """What happens next, with the weights that make it so."""

    decision: Literal["advance", "hold", "roll back", "finish"]
    step: int
    traffic_share: float
    weights: tuple[dict[str, Any], ...]
    holds: int
    bake_seconds: int
    reasons: tuple[str, ...]
    cause: Literal["alarm", "analysis", "failure"] | None = None


def weights_for(share: float, *, challenger_slot: Slot, champion_slot: Slot | None) -> tuple[dict[str, Any], ...]:
    """
    Variant weights that give the challenger `share` of the traffic; the champion's is never 0 (see P22).

    >>> weights_for(1.0, challenger_slot="green", champion_slot="blue")[0]
    {'VariantName': 'blue', 'DesiredWeight': 0.01}
    """
    if champion_slot is None:
        return ({"VariantName": challenger_slot, "DesiredWeight": 1.0},)
    kept = max(round(1.0 - share, 6), CHAMPION_MIN_SHARE)
    return (
        {"VariantName": champion_slot, "DesiredWeight": kept},
        {"VariantName": challenger_slot, "DesiredWeight": round(1.0 - kept, 6)},
    )


def roll_back_weights(*, challenger_slot: Slot, champion_slot: Slot) -> tuple[dict[str, Any], ...]:
    """All traffic to the champion."""
    return weights_for(0.0, challenger_slot=challenger_slot, champion_slot=champion_slot)


def promoted_weights(*, challenger_slot: Slot, champion_slot: Slot | None) -> tuple[dict[str, Any], ...]:
    """All traffic to the promoted challenger; the former champion stays warm at weight 0."""
    if champion_slot is None:
        return weights_for(1.0, challenger_slot=challenger_slot, champion_slot=None)
    return roll_back_weights(challenger_slot=champion_slot, champion_slot=challenger_slot)


def begin(rollout: RolloutPlan) -> StepDecision:
    """The decision after the smoke test: the first step, or the end when there is no champion to compare with."""
    if rollout.champion_slot is None or not rollout.steps:
        return _decision("finish", rollout, step=0, share=1.0, reasons=("rollout: the first model takes all traffic",))
    share = rollout.steps[0]
    return _decision("advance", rollout, step=0, share=share, reasons=(f"rollout: {share:.0%} is the first step",))


def _decision(
    decision: Literal["advance", "hold", "roll back", "finish"],
    rollout: RolloutPlan,
    *,
    step: int,
    share: float,
    reasons: tuple[str, ...],
    holds: int = 0,
    cause: Literal["alarm", "analysis", "failure"] | None = None,
) -> StepDecision:
    slots: dict[str, Any] = {"challenger_slot": rollout.challenger_slot, "champion_slot": rollout.champion_slot}
    weights = promoted_weights(**slots) if decision == "finish" else weights_for(share, **slots)
    total = sum(weight["DesiredWeight"] for weight in weights)
    mine = next(w["DesiredWeight"] for w in weights if w["VariantName"] == rollout.challenger_slot)
    return StepDecision(decision, step, mine / total, weights, holds, rollout.bake_seconds, reasons, cause)


def analyse(evidence: Evidence, rollout: RolloutPlan, policy: RolloutPolicy) -> StepDecision:
    """
    What follows from a bake: advance, hold, roll back or finish.

    Whatever speaks against the challenger is asked first; only then whether there is enough to go on.
    """
    against = _against(evidence, policy)
    if against is not None:
        cause, reasons = against
        return _decision("roll back", rollout, step=evidence.step, share=0.0, reasons=reasons, cause=cause)
    share = rollout.steps[evidence.step]
    lacking = _lacking(evidence, policy)
    if lacking and evidence.holds >= policy.max_holds:
        given_up = (*lacking, f"rollout: held {evidence.holds} times, the limit: in doubt the champion stays")
        return _decision("roll back", rollout, step=evidence.step, share=0.0, reasons=given_up, cause="analysis")
    if lacking:
        return _decision("hold", rollout, step=evidence.step, share=share, reasons=lacking, holds=evidence.holds + 1)
    told = (
        f"rollout: {evidence.challenger.invocations} requests, {evidence.challenger.errors_5xx} errors, "
        f"no guardrail touched at {share:.0%}",
    )
    if evidence.step + 1 >= len(rollout.steps):
        return _decision("finish", rollout, step=evidence.step, share=1.0, reasons=told)
    return _decision("advance", rollout, step=evidence.step + 1, share=rollout.steps[evidence.step + 1], reasons=told)


def _against(
    evidence: Evidence, policy: RolloutPolicy
) -> tuple[Literal["alarm", "analysis", "failure"], tuple[str, ...]] | None:
    if evidence.status != "in progress":
        return "alarm", (f"rollout: it was already ended ({evidence.status})",)
    ringing = [alarm.name for alarm in evidence.alarms if alarm.state == "ALARM"]
    if ringing:
        return "alarm", tuple(f"alarm: {name}" for name in ringing)
    if not evidence.endpoint_as_planned:
        return "failure", ("endpoint: its configuration or weights are not what the rollout set",)
    broken = tuple(_broken(evidence, policy))
    return ("analysis", broken) if broken else None


def _broken(evidence: Evidence, policy: RolloutPolicy) -> list[str]:
    fast, slow, mine, theirs = policy.fast, policy.slow, evidence.challenger, evidence.champion
    reasons = []
    if certainly_above(
        (mine.errors_5xx, mine.invocations),
        (theirs.errors_5xx, theirs.invocations),
        floor=fast.max_error_share,
        confidence=fast.confidence,
    ):
        reasons.append(
            f"errors: {mine.errors_5xx} of {mine.invocations} requests failed, "
            f"at most {fast.max_error_share:.1%} or the champion's share is allowed"
        )
    if mine.invocations >= policy.min_samples and mine.latency_ms_p99 is not None:
        if fast.max_latency_ms is not None and mine.latency_ms_p99 > fast.max_latency_ms:
            reasons.append(f"latency: p99 {mine.latency_ms_p99:.0f} ms, at most {fast.max_latency_ms:.0f} is allowed")
        limit = (fast.max_latency_ratio or 0) * (theirs.latency_ms_p99 or 0)
        if limit and theirs.invocations >= policy.min_samples and mine.latency_ms_p99 > limit:
            reasons.append(f"latency: p99 {mine.latency_ms_p99:.0f} ms, champion {theirs.latency_ms_p99:.0f} ms")
    shift = evidence.prediction_shift
    if fast.max_prediction_shift is not None and shift is not None and shift > fast.max_prediction_shift:
        reasons.append(f"predictions: they moved by {shift:.2f}, at most {fast.max_prediction_shift:.2f} is allowed")
    lost = -(evidence.quality_gain or 0.0)
    noise = mine.quality_margin + theirs.quality_margin
    enough = min(mine.labelled, theirs.labelled) >= slow.min_labelled
    if slow.max_quality_drop is not None and enough and lost > slow.max_quality_drop and lost > noise:
        reasons.append(f"quality: worse by {lost:.4g} on labelled traffic, at most {slow.max_quality_drop:.4g}")
    return reasons


def _lacking(evidence: Evidence, policy: RolloutPolicy) -> tuple[str, ...]:
    mine, fast = evidence.challenger, policy.fast
    reasons = [f"alarm: {alarm.name} has insufficient data" for alarm in evidence.alarms if alarm.state != "OK"]
    if mine.invocations < policy.min_samples:
        reasons.append(f"samples: {mine.invocations} requests, {policy.min_samples} are needed")
    elif mine.errors_5xx > fast.max_error_share * mine.invocations and not _like_champion(evidence):
        reasons.append(
            f"errors: {mine.errors_5xx} of {mine.invocations} requests failed: too many, but that may be chance"
        )
    if fast.max_latency_ms is not None and mine.latency_ms_p99 is None:
        reasons.append("latency: not measured")
    return tuple(reasons)


def _like_champion(evidence: Evidence) -> bool:
    mine, theirs = evidence.challenger, evidence.champion
    return theirs.invocations > 0 and mine.errors_5xx * theirs.invocations <= theirs.errors_5xx * mine.invocations
