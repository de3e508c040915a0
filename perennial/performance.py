"""
Whether the champion scores worse on labelled traffic than it did when it was judged.

A window is scored test-then-train (prequentially): predictions were made before their labels were known. The scores
come from `perennial.scores`; here is only the decision.

Source: Gama, Sebastião, Rodrigues (2013), On evaluating stream learning algorithms, Machine Learning 90.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from statistics import NormalDist
from typing import Annotated, Literal

from pydantic import Field

from perennial.labels import Maturity
from perennial.metrics import gain, tolerance
from perennial.policy import Policy

__all__ = [
    "BusinessPolicy",
    "PerformanceDecision",
    "PerformancePolicy",
    "Score",
    "WindowValue",
    "decide",
    "decide_business",
]

Confidence = Annotated[float, Field(gt=0.5, lt=1.0)]


class PerformancePolicy(Policy):
    """
    `[triggers.performance]`: how large a fall of quality, how surely, from how many labelled rows.

    `max_drop` is in the metric's own unit; for mae and rmse it is a share of the expected value.
    """

    metric: str | None = Field(default=None, description="Default: the gate's primary metric.")
    max_drop: Annotated[float, Field(ge=0.0)] = 0.05
    min_rows: Annotated[int, Field(ge=2)] = 100
    confidence: Confidence = 0.99


class BusinessPolicy(Policy):
    """`[triggers.business]`: how far the business value per record may fall below what was expected."""

    max_drop_share: Annotated[float, Field(ge=0.0, le=1.0)] = 0.1
    min_rows: Annotated[int, Field(ge=2)] = 500
    confidence: Confidence = 0.99


@dataclass(frozen=True, slots=True)
class Score:
    """A metric's value with its interval, from `rows` rows."""

    metric: str
    value: float
    low: float
    high: float
    rows: int
    confidence: float = 0.95

    @property
    def standard_error(self) -> float:
        """Half the interval in units of the normal quantile that made it."""
        return (self.high - self.low) / 2 / NormalDist().inv_cdf(0.5 + self.confidence / 2)


@dataclass(frozen=True, slots=True)
class WindowValue:
    """Business value of a window: mean per record, its standard deviation, rows."""

    mean: float
    deviation: float
    rows: int
    as_of: datetime | None = None


@dataclass(frozen=True, slots=True)
class PerformanceDecision:
    """`fell`, `held` or `inconclusive`, and why."""

    outcome: Literal["fell", "held", "inconclusive"]
    reasons: tuple[str, ...]

    @property
    def fell(self) -> bool:
        """Whether a signal should go out."""
        return self.outcome == "fell"


def decide(
    window: Score, expected: Score, policy: PerformancePolicy, *, maturity: Maturity | None = None
) -> PerformanceDecision:
    """
    Whether quality in `window` fell below what was `expected` of the champion.

    It fell when the drop exceeds `max_drop` and the one-sided interval of the drop, at the policy's confidence, lies
    above zero. Too few rows, immature labels and NaN are inconclusive, never a fall and never health.
    """
    unfit = _unfit(window, expected, policy, maturity)
    if unfit is not None:
        return PerformanceDecision("inconclusive", unfit)
    name = window.metric
    drop = -gain(name, candidate=window.value, champion=expected.value)
    error = math.hypot(window.standard_error, _finite(expected.standard_error))
    surely = drop - NormalDist().inv_cdf(policy.confidence) * error
    told = f"performance: {name} {window.value:.4g} on {window.rows} rows, {expected.value:.4g} expected"
    allowed = tolerance(name, policy.max_drop, beside=expected.value)
    if drop > allowed and surely > 0:
        return PerformanceDecision("fell", (f"{told}: worse by {drop:.4g}, more than {allowed:.4g}",))
    if drop > allowed:
        return PerformanceDecision("inconclusive", (f"{told}: worse by {drop:.4g}, but that may be chance",))
    return PerformanceDecision("held", (told,))


def _unfit(
    window: Score, expected: Score, policy: PerformancePolicy, maturity: Maturity | None
) -> tuple[str, ...] | None:
    """Why the window says nothing, or None when it does."""
    if maturity is not None and not maturity.mature:
        return maturity.reasons
    if window.metric != expected.metric:
        return (f"performance: {window.metric} can't be compared with {expected.metric}",)
    lacking = policy.min_rows - window.rows
    if lacking > 0:
        return (f"performance: {window.rows} labelled rows, {policy.min_rows} are needed",)
    if not all(math.isfinite(number) for number in (window.value, expected.value, window.low, window.high)):
        return (f"performance: {window.metric} is not a number in this window",)
    return None


def _finite(error: float) -> float:
    return error if math.isfinite(error) else 0.0


def decide_business(window: WindowValue, expected: WindowValue, policy: BusinessPolicy) -> PerformanceDecision:
    """
    Whether the business value per record fell by more than the policy's share of the expected value.

    An expected mean of zero or below has no share: inconclusive.
    """
    if window.rows < policy.min_rows:
        return PerformanceDecision("inconclusive", (f"business: {window.rows} rows, {policy.min_rows} are needed",))
    numbers = (window.mean, window.deviation, expected.mean, expected.deviation)
    if not all(math.isfinite(number) for number in numbers) or expected.mean <= 0 or expected.rows < 1:
        return PerformanceDecision("inconclusive", ("business: no positive expected value to compare with",))
    drop = expected.mean - window.mean
    error = math.sqrt(window.deviation**2 / window.rows + expected.deviation**2 / expected.rows)
    told = f"business: value {window.mean:.4g} a record on {window.rows} rows, {expected.mean:.4g} expected"
    if drop <= policy.max_drop_share * expected.mean:
        return PerformanceDecision("held", (told,))
    if drop - NormalDist().inv_cdf(policy.confidence) * error > 0:
        return PerformanceDecision("fell", (f"{told}: {drop / expected.mean:.0%} lower",))
    return PerformanceDecision("inconclusive", (f"{told}: lower, but that may be chance",))
