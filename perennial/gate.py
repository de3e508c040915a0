"""
Whether a candidate may become a challenger: passed, failed or inconclusive, with every reason.

The gate trusts nothing it was not shown: no number, NaN, an empty test set, an equal or a worse candidate never passes,
and too little evidence is inconclusive, which keeps the champion.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Annotated, Final, Literal

from pydantic import Field

from perennial.evaluation import Evaluation, MetricValue, ModelEvaluation, Paired
from perennial.metrics import Direction, direction, gain, tolerance
from perennial.policy import Policy

__all__ = [
    "Check",
    "Evaluation",
    "FairnessPolicy",
    "GatePolicy",
    "MetricValue",
    "ModelEvaluation",
    "Paired",
    "SlicePolicy",
    "Verdict",
    "judge",
]

Outcome = Literal["passed", "failed", "inconclusive"]
Positive = Annotated[float, Field(gt=0.0)]
NotNegative = Annotated[float, Field(ge=0.0)]


class SlicePolicy(Policy):
    """`[gate.slices]`: no group of `data.segments` may lose more than this, beyond chance."""

    max_drop: NotNegative = 0.05
    min_rows: Annotated[int, Field(ge=2)] = 50


class FairnessPolicy(Policy):
    """`[gate.fairness]`: how far groups of `data.sensitive` may differ in the candidate's answers."""

    max_selection_gap: Annotated[float, Field(ge=0.0, le=1.0)] | None = 0.2
    max_metric_gap: NotNegative | None = 0.1
    min_rows: Annotated[int, Field(ge=2)] = 50


class GatePolicy(Policy):
    """
    `[gate]`: what a candidate must show.

    `min_gain` asks that the candidate be better by more than this, surely. `non_inferiority` instead asks that it be
    better at face value and surely not worse than by this margin. Floors are bounds on the candidate alone: at least,
    for metrics where higher is better; at most, for the others. Differences are in the metric's own unit; for mae and
    rmse they are shares of the champion's value.
    """

    metric: str = "accuracy"
    direction: Direction | None = Field(
        default=None, description="Only to be explicit: every metric knows its direction."
    )
    min_gain: NotNegative = 0.0
    non_inferiority: Positive | None = None
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = 0.95
    min_rows: Annotated[int, Field(ge=2)] = 100
    floors: dict[str, float] = Field(default_factory=dict)
    slices: SlicePolicy = SlicePolicy()
    fairness: FairnessPolicy = FairnessPolicy()
    max_forgetting: NotNegative | None = None
    max_calibration_error: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    max_latency_ms: Positive | None = None
    max_explanation_shift: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    max_feature_skew: NotNegative = 1e-6


@dataclass(frozen=True, slots=True)
class Check:
    """One question that the gate asked, its answer and the reason in a sentence."""

    name: str
    outcome: Outcome
    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The gate's answer. `reasons` are those of the worst outcome first; `checks` holds all."""

    verdict: Outcome
    reasons: tuple[str, ...]
    metric: str
    candidate: float | None
    champion: float | None
    artifact_digest: str
    checks: tuple[Check, ...] = ()


# Two ways of computing the same difference may differ by this much.
_ROUNDING: Final = 1e-6
CHANCE_AUC: Final = 0.5
_SEVERITY: Final[Mapping[Outcome, int]] = {"failed": 0, "inconclusive": 1, "passed": 2}


def judge(evaluation: Evaluation, policy: GatePolicy) -> Verdict:
    """
    The verdict on the candidate of `evaluation`.

    The first model of a loop has no champion to beat: the floors and the absolute checks decide alone.
    """
    checks = [*_sanity(evaluation, policy), *_floors(evaluation, policy)]
    if evaluation.champion is not None:
        checks += [_comparison(evaluation, evaluation.champion, policy), *_slices(evaluation, policy)]
        checks += [*_forgetting(evaluation, policy), *_explanations(evaluation, policy)]
        checks += _contradiction(evaluation.champion)
    checks += [*_baseline(evaluation, policy), *_fairness(evaluation, policy), *_absolute(evaluation, policy)]
    outcomes: list[Outcome] = [check.outcome for check in checks]
    worst: Outcome = min(outcomes, key=lambda outcome: _SEVERITY[outcome], default="inconclusive")
    ordered = sorted(checks, key=lambda check: _SEVERITY[check.outcome])
    champion = evaluation.champion.overall.get(policy.metric) if evaluation.champion else None
    return Verdict(
        verdict=worst,
        reasons=tuple(f"{check.name}: {check.reason}" for check in ordered if check.outcome == worst),
        metric=policy.metric,
        candidate=_number(evaluation.candidate.overall.get(policy.metric)),
        champion=_number(champion),
        artifact_digest=evaluation.artifact_digest,
        checks=tuple(ordered),
    )


def _number(found: MetricValue | None) -> float | None:
    if found is None or found.value is None or not math.isfinite(found.value) or found.rows <= 0:
        return None
    return found.value


def _sanity(evaluation: Evaluation, policy: GatePolicy) -> Iterable[Check]:
    found = evaluation.candidate.overall.get(policy.metric)
    value = _number(found)
    if found is None or found.rows <= 0:
        yield Check("evidence", "failed", f"{policy.metric} was not measured on any row")
    elif value is None:
        yield Check("evidence", "failed", f"{policy.metric} is not a number")
    elif found.rows < policy.min_rows:
        yield Check("evidence", "inconclusive", f"{found.rows} rows were judged, {policy.min_rows} are needed")
    else:
        yield Check("evidence", "passed", f"{policy.metric} {value:.4g} on {found.rows} rows")


def _floors(evaluation: Evaluation, policy: GatePolicy) -> Iterable[Check]:
    for metric, floor in sorted(policy.floors.items()):
        value = _number(evaluation.candidate.overall.get(metric))
        if value is None:
            yield Check("floor", "failed", f"{metric} was not measured, {floor:.4g} is required")
            continue
        kept = gain(metric, candidate=value, champion=floor) >= 0
        sign = "at least" if direction(metric) == "higher" else "at most"
        yield Check("floor", "passed" if kept else "failed", f"{metric} {value:.4g}, must be {sign} {floor:.4g}")


def _comparison(evaluation: Evaluation, champion: ModelEvaluation, policy: GatePolicy) -> Check:
    paired = evaluation.paired
    if paired is None:
        return _unfit("the candidate was not compared with the champion on the same rows")
    if paired.metric != policy.metric:
        return _unfit(f"{paired.metric} was compared, {policy.metric} must be")
    mine = _number(evaluation.candidate.overall.get(policy.metric))
    theirs = _number(champion.overall.get(policy.metric))
    numbers = [number for number in (paired.low, paired.difference, paired.high) if number is not None]
    if mine is None or theirs is None or len(numbers) < 3 or not all(math.isfinite(number) for number in numbers):
        return _unfit(f"{policy.metric} of candidate, champion or their difference is not a number")
    low, difference, high = numbers
    if not low <= difference <= high:
        return _unfit("the difference lies outside its own interval")
    apart = gain(policy.metric, candidate=mine, champion=theirs)
    if abs(apart - difference) > _ROUNDING * (1 + abs(apart)):
        return _unfit(f"the paired difference {difference:.4g} contradicts the two models' own values")
    if paired.rows < policy.min_rows:
        return Check("comparison", "inconclusive", f"{paired.rows} rows compared, {policy.min_rows} are needed")
    surely = _one_sided_low(difference, low, paired.confidence, policy.confidence)
    asked = policy.min_gain if policy.non_inferiority is None else -policy.non_inferiority
    return _compare(difference, surely, tolerance(policy.metric, asked, beside=theirs), policy)


def _unfit(reason: str) -> Check:
    return Check("comparison", "failed", reason)


def _compare(difference: float, low: float, required: float, policy: GatePolicy) -> Check:
    told = f"{policy.metric} better by {difference:.4g} (surely by {low:.4g} at {policy.confidence:.0%})"
    if difference <= max(required, 0.0):
        return Check("comparison", "failed", f"{told}, must be better by more than {max(required, 0.0):.4g}")
    if low <= required:
        return Check("comparison", "inconclusive", f"{told}, which may be chance: must surely exceed {required:.4g}")
    return Check("comparison", "passed", told)


def _one_sided_low(difference: float, low: float, given: float, wanted: float) -> float:
    """The lower bound at confidence `wanted`, one-sided, from a two-sided one at `given`."""
    quantile = NormalDist().inv_cdf
    return difference - (difference - low) * quantile(wanted) / quantile(0.5 + given / 2)


def _slices(evaluation: Evaluation, policy: GatePolicy) -> Iterable[Check]:
    assert evaluation.champion is not None
    for column, groups in sorted(evaluation.candidate.slices.items()):
        for group, metrics in sorted(groups.items()):
            mine = metrics.get(policy.metric)
            theirs = evaluation.champion.slices.get(column, {}).get(group, {}).get(policy.metric)
            if mine is None or theirs is None or min(mine.rows, theirs.rows) < policy.slices.min_rows:
                continue
            yield _slice(f"{column} = {group}", mine, theirs, policy)


def _slice(where: str, mine: MetricValue, theirs: MetricValue, policy: GatePolicy) -> Check:
    value, other = _number(mine), _number(theirs)
    if value is None:
        return Check("slice", "failed", f"{where}: {policy.metric} is not a number")
    if other is None:
        return Check("slice", "passed", f"{where}: the champion has no {policy.metric} to lose")
    drop = -gain(policy.metric, candidate=value, champion=other)
    noise = math.hypot(_half_width(mine), _half_width(theirs))
    worse = drop > tolerance(policy.metric, policy.slices.max_drop, beside=other) and drop > noise
    told = f"{where}: {policy.metric} {value:.4g}, champion {other:.4g}"
    return Check("slice", "failed" if worse else "passed", told)


def _half_width(found: MetricValue) -> float:
    if found.low is None or found.high is None or not math.isfinite(found.high - found.low):
        return 0.0
    return (found.high - found.low) / 2


def _contradiction(champion: ModelEvaluation) -> Iterable[Check]:
    """
    Labels that turn the champion's ranking upside down: rather the labels are wrong than the world.

    A model that knows nothing has an AUC of 0.5. A champion that is surely below it has learnt something, and the
    labels now say the opposite: a broken labelling job looks like that, and a candidate taught by it would pass.
    """
    found = champion.overall.get("auc")
    if found is None or found.high is None or found.rows <= 0 or not found.high < CHANCE_AUC:
        return
    told = f"the champion ranks the held-out rows upside down (AUC {found.value:.3g}, at most {found.high:.3g})"
    yield Check("labels", "inconclusive", f"{told}: look at the labels before you learn from them")


def _forgetting(evaluation: Evaluation, policy: GatePolicy) -> Iterable[Check]:
    assert evaluation.champion is not None
    if policy.max_forgetting is None:
        return
    mine = _number(evaluation.candidate.anchor.get(policy.metric))
    theirs = _number(evaluation.champion.anchor.get(policy.metric))
    if mine is None or theirs is None:
        yield Check("forgetting", "inconclusive", "no anchor set was scored")
        return
    drop = -gain(policy.metric, candidate=mine, champion=theirs)
    allowed = tolerance(policy.metric, policy.max_forgetting, beside=theirs)
    outcome: Outcome = "failed" if drop > allowed else "passed"
    yield Check("forgetting", outcome, f"{policy.metric} on the anchor set {mine:.4g}, champion {theirs:.4g}")


def _explanations(evaluation: Evaluation, policy: GatePolicy) -> Iterable[Check]:
    if policy.max_explanation_shift is None:
        return
    if not evaluation.importances or not evaluation.champion_importances:
        yield Check("explanation", "inconclusive", "importances of both models are needed")
        return
    shift = explanation_shift(evaluation.importances, evaluation.champion_importances)
    outcome: Outcome = "passed" if shift <= policy.max_explanation_shift else "failed"
    yield Check("explanation", outcome, f"{shift:.0%} of importance moved, at most {policy.max_explanation_shift:.0%}")


def explanation_shift(mine: Mapping[str, float], theirs: Mapping[str, float]) -> float:
    """
    The share of importance that lies on other columns than before: total variation distance, 0 to 1.

    >>> explanation_shift({"a": 1.0}, {"a": 0.5, "b": 0.5})
    0.5
    """
    sums = [sum(max(value, 0.0) for value in part.values()) for part in (mine, theirs)]
    if not all(total > 0 and math.isfinite(total) for total in sums):
        return 1.0
    columns = {*mine, *theirs}
    pairs = ((max(mine.get(c, 0.0), 0.0) / sums[0], max(theirs.get(c, 0.0), 0.0) / sums[1]) for c in columns)
    return math.fsum(abs(a - b) for a, b in pairs) / 2


def _baseline(evaluation: Evaluation, policy: GatePolicy) -> Iterable[Check]:
    mine = _number(evaluation.candidate.overall.get(policy.metric))
    simple = _number(evaluation.baseline.get(policy.metric))
    if mine is None or simple is None:
        return
    better = gain(policy.metric, candidate=mine, champion=simple) > 0
    told = f"{policy.metric} {mine:.4g}, a constant answer scores {simple:.4g}"
    yield Check("baseline", "passed" if better else "failed", told)


def _fairness(evaluation: Evaluation, policy: GatePolicy) -> Iterable[Check]:
    limits = {"positive_share": policy.fairness.max_selection_gap, policy.metric: policy.fairness.max_metric_gap}
    for column, groups in sorted(evaluation.candidate.groups.items()):
        for metric, limit in limits.items():
            values = {
                group: value
                for group, metrics in groups.items()
                if (found := metrics.get(metric)) is not None
                and found.rows >= policy.fairness.min_rows
                and (value := _number(found)) is not None
            }
            if limit is None or len(values) < 2:
                continue
            lowest, highest = min(values, key=values.__getitem__), max(values, key=values.__getitem__)
            gap = values[highest] - values[lowest]
            allowed = limit if metric == "positive_share" else tolerance(metric, limit, beside=values[lowest])
            told = f"{column}: {metric} {values[lowest]:.4g} for {lowest}, {values[highest]:.4g} for {highest}"
            yield Check("fairness", "passed" if gap <= allowed else "failed", told)


def _absolute(evaluation: Evaluation, policy: GatePolicy) -> Iterable[Check]:
    found = evaluation.candidate
    if policy.max_calibration_error is not None:
        yield _at_most("calibration", _number(found.overall.get("calibration_error")), policy.max_calibration_error)
    if policy.max_latency_ms is not None:
        yield _at_most("latency", found.latency_ms_p99, policy.max_latency_ms)
    if evaluation.feature_skew is not None:
        yield _at_most("skew", evaluation.feature_skew, policy.max_feature_skew)


def _at_most(name: str, value: float | None, limit: float) -> Check:
    if value is None or not math.isfinite(value):
        return Check(name, "inconclusive", f"not measured, at most {limit:.4g} is allowed")
    return Check(name, "passed" if value <= limit else "failed", f"{value:.4g}, at most {limit:.4g} is allowed")
