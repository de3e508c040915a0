"""
How a challenger gets traffic, step by step, and what sends it back.

Shares are endpoint variant weights. While a rollout lasts the champion keeps some weight, so going back is flipping
weights that exist. Silence, missing samples and unknown alarms hold; they never promote.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from perennial.rollout_plan import (
    FastGuardrails,
    Live,
    RolloutPlan,
    RolloutPolicy,
    Slot,
    SlotState,
    SlowGuardrails,
    plan,
)
from perennial.sequential import certainly_above, hardly_above

__all__ = [
    "CHAMPION_MIN_SHARE",
    "AlarmState",
    "Evidence",
    "FastGuardrails",
    "Live",
    "RolloutPlan",
    "RolloutPolicy",
    "Slot",
    "SlotState",
    "SlowGuardrails",
    "StepDecision",
    "VariantEvidence",
    "analyse",
    "begin",
    "observed_step",
    "plan",
    "promoted_weights",
    "roll_back_weights",
    "weights_for",
]

# While a rollout lasts, a share of 1.0 leaves the champion this much: it must stay a live variant with weight above 0.
CHAMPION_MIN_SHARE: Final = 0.01
# SageMaker keeps weights as 32-bit floats.
_SAME_SHARE: Final = 1e-4


@dataclass(frozen=True, slots=True)
class VariantEvidence:
    """
    What one variant did since the step began.

    Attributes
    ----------
    invocations, errors_5xx, unanswered
        Counts that go on growing while a step is held: the comparison is valid at every look. `unanswered` are all
        requests without a 2xx answer: refused (4xx), failed (5xx), timed out.
    latency_ms_p99
        ModelLatency, in milliseconds (CloudWatch has microseconds).
    labelled, quality_margin
        Rows of its traffic whose labels came already, and half the interval of the primary metric on them.
    """

    invocations: int = 0
    errors_5xx: int = 0
    unanswered: int = 0
    latency_ms_p99: float | None = None
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
    champion_overall
        The champion since the rollout began: in the last step it gets hardly any traffic to compare with.
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
    champion_overall: VariantEvidence = VariantEvidence()
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


def observed_step(weights: Mapping[str, float], rollout: RolloutPlan) -> int | None:
    """
    The step that an endpoint's weights belong to: -1 when the champion has all, None when they are of no step.

    After a crash between setting weights and recording them, this is the truth to go on from.
    """
    total = sum(weights.values())
    expected = {rollout.challenger_slot, *([rollout.champion_slot] if rollout.champion_slot else [])}
    if total <= 0 or set(weights) != expected:
        return None
    share = weights[rollout.challenger_slot] / total
    if share <= _SAME_SHARE:
        return -1
    for step, planned in enumerate(rollout.steps):
        if abs(share - min(planned, 1 - CHAMPION_MIN_SHARE)) <= _SAME_SHARE:
            return step
    return None


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
        f"rollout: {evidence.challenger.invocations} requests, {_bad(evidence.challenger)} without a good answer, "
        f"no guardrail touched at {share:.0%}",
    )
    if evidence.step + 1 >= len(rollout.steps):
        return _decision("finish", rollout, step=evidence.step, share=1.0, reasons=told)
    return _decision("advance", rollout, step=evidence.step + 1, share=rollout.steps[evidence.step + 1], reasons=told)


def _bad(variant: VariantEvidence) -> int:
    return max(variant.unanswered, variant.errors_5xx)


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
    reasons += [
        f"errors: {count} of {mine.invocations} requests {happened}, "
        f"at most {floor:.1%} or the champion's share is allowed"
        for happened, count, floor, champions in _failures(evidence, policy)
        if all(
            certainly_above((count, mine.invocations), champion, floor=floor, confidence=fast.confidence)
            for champion in champions
        )
    ]
    if mine.invocations >= policy.min_samples and mine.latency_ms_p99 is not None:
        if fast.max_latency_ms is not None and mine.latency_ms_p99 > fast.max_latency_ms:
            reasons.append(f"latency: p99 {mine.latency_ms_p99:.0f} ms, at most {fast.max_latency_ms:.0f} is allowed")
        champion_ms = _champion_latency_ms(evidence, policy)
        limit = (fast.max_latency_ratio or 0) * (champion_ms or 0)
        if champion_ms is not None and limit > 0 and mine.latency_ms_p99 > max(limit, fast.latency_floor_ms):
            reasons.append(f"latency: p99 {mine.latency_ms_p99:.0f} ms, champion {champion_ms:.0f} ms")
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
    else:
        reasons += [
            f"errors: {count} of {mine.invocations} requests {happened}: too many, but that may be chance"
            for happened, count, floor, champions in _failures(evidence, policy)
            if count > floor * mine.invocations and not _like(champions, count, mine.invocations, policy.min_samples)
        ]
    if fast.max_latency_ms is not None and mine.latency_ms_p99 is None:
        reasons.append("latency: not measured")
    slow = mine.latency_ms_p99 is not None and mine.latency_ms_p99 > fast.latency_floor_ms
    if slow and fast.max_latency_ratio is not None and _champion_latency_ms(evidence, policy) is None:
        reasons.append("latency: the champion has too few requests to compare with")
    return tuple(reasons)


_Counts = tuple[int, int]


def _failures(evidence: Evidence, policy: RolloutPolicy) -> list[tuple[str, int, float, tuple[_Counts, ...]]]:
    """What happened, to how many of the challenger's requests, the share that is allowed, and how the champion did."""
    mine, champions = evidence.challenger, (evidence.champion, evidence.champion_overall)
    return [
        (
            "failed",
            mine.errors_5xx,
            policy.fast.max_error_share,
            tuple((one.errors_5xx, one.invocations) for one in champions),
        ),
        (
            "got no good answer",
            mine.unanswered,
            policy.fast.max_refused_share,
            tuple((one.unanswered, one.invocations) for one in champions),
        ),
    ]


def _like(champions: tuple[_Counts, ...], count: int, invocations: int, min_samples: int) -> bool:
    """Whether a champion with enough traffic to tell does no better: what callers do wrong reaches both."""
    known = [champion for champion in champions if champion[1] >= min_samples]
    return any(hardly_above((count, invocations), champion) for champion in known)


def _champion_latency_ms(evidence: Evidence, policy: RolloutPolicy) -> float | None:
    """The champion's p99 in this step, else since the rollout began; None where too few requests say."""
    for champion in (evidence.champion, evidence.champion_overall):
        if champion.invocations >= policy.min_samples and champion.latency_ms_p99 is not None:
            return champion.latency_ms_p99
    return None
