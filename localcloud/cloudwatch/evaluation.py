"""
Which state an alarm has, from its datapoints: a pure function.

AWS's rules are in the CloudWatch user guide, "Configuring how CloudWatch alarms treat missing data" (read 2026-11-24);
its two tables are the known-answer tests of this module.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

State = Literal["OK", "ALARM", "INSUFFICIENT_DATA"]

EXTRA_PERIODS = 2
"""How much further back than its evaluation periods an alarm looks for real datapoints, as in AWS's tables."""

COMPARISONS: dict[str, tuple[Callable[[float, float], bool], str]] = {
    "GreaterThanThreshold": (operator.gt, "greater than"),
    "GreaterThanOrEqualToThreshold": (operator.ge, "greater than or equal to"),
    "LessThanThreshold": (operator.lt, "less than"),
    "LessThanOrEqualToThreshold": (operator.le, "less than or equal to"),
}
TREATMENTS = ("breaching", "notBreaching", "ignore", "missing")


@dataclass(frozen=True, slots=True)
class Policy:
    """
    What an alarm demands of its datapoints.

    Parameters
    ----------
    to_alarm
        M of "M out of N": datapoints that must breach.
    periods
        N, the evaluation periods.
    missing
        One of `TREATMENTS`.
    """

    comparison: str
    threshold: float
    periods: int
    to_alarm: int
    missing: str = "missing"

    @property
    def range(self) -> int:
        """Datapoints that an evaluation looks at, missing ones included."""
        return self.periods + EXTRA_PERIODS


@dataclass(frozen=True, slots=True)
class Verdict:
    """A state, the reason in AWS's words, and which datapoints (index into the range) it rests on."""

    state: State
    reason: str
    considered: tuple[int, ...] = ()


def evaluate(points: Sequence[float | None], policy: Policy, *, current: State) -> Verdict:
    """
    The state after one evaluation.

    Parameters
    ----------
    points
        One value for each period of the evaluation range, oldest first; None where there is no datapoint.
    current
        The state so far: an ignored silence keeps it.

    >>> policy = Policy("GreaterThanThreshold", 1.0, periods=3, to_alarm=2)
    >>> evaluate([None, 0.0, 5.0, 0.5, 7.0], policy, current="OK").state
    'ALARM'
    """
    breaches, _ = COMPARISONS[policy.comparison]
    real = [index for index, value in enumerate(points) if value is not None]
    breaching = {index for index in real if breaches(points[index], policy.threshold)}  # type: ignore[arg-type]
    if len(real) >= policy.periods:
        used = tuple(real[-policy.periods :])
        state: State = "ALARM" if len(breaching & set(used)) >= policy.to_alarm else "OK"
    else:
        used = tuple(real)
        state = _with_gaps(points, used, breaching, policy, current)
    return Verdict(state, _reason(points, used, breaching, state, policy, current), used)


def _with_gaps(
    points: Sequence[float | None], real: Sequence[int], breaching: set[int], policy: Policy, current: State
) -> State:
    filled = policy.periods - len(real)
    if policy.missing == "breaching":
        return "ALARM" if len(breaching) + filled >= policy.to_alarm else "OK"
    if policy.missing == "notBreaching" or len(breaching) >= policy.to_alarm:
        return "ALARM" if len(breaching) >= policy.to_alarm else "OK"
    if not real:
        return current if policy.missing == "ignore" else "INSUFFICIENT_DATA"
    if len(breaching) < len(real):
        return "OK"
    # Only breaching points, fewer than M. The oldest decides: AWS's "avoiding premature transitions".
    if policy.missing == "ignore":
        return current
    return "ALARM" if len(points) - real[0] >= policy.to_alarm else "OK"


def _reason(
    points: Sequence[float | None], used: Sequence[int], breaching: set[int], state: State, policy: Policy,
    current: State,
) -> str:  # fmt: skip
    absent = policy.periods - len(used)
    if state == "INSUFFICIENT_DATA":
        return f"Insufficient Data: {absent} datapoint{_s(absent)} {_were(absent)} unknown."
    if not used:
        if policy.missing == "ignore":
            return "Unchanged: no datapoint was received, and missing data is ignored."
        treated = "[Breaching]" if policy.missing == "breaching" else "[NonBreaching]"
        return (
            f"Threshold Crossed: no datapoints were received for {absent} period{_s(absent)} and "
            f"{absent} missing datapoint{_s(absent)} {_were(absent)} treated as {treated}."
        )
    shown = [index for index in used if (index in breaching) == (state == "ALARM")] or list(used)
    values = ", ".join(str(points[index]) for index in shown)
    negation = "" if state == "ALARM" else "not "
    edge = f" (minimum {policy.to_alarm} datapoint{_s(policy.to_alarm)} for OK -> ALARM transition)"
    edge = edge if state == "ALARM" and current != "ALARM" else ""
    return (
        f"Threshold Crossed: {len(shown)} out of the last {policy.periods} datapoint{_s(policy.periods)} [{values}] "
        f"{_were(len(shown))} {negation}{COMPARISONS[policy.comparison][1]} the threshold ({policy.threshold}){edge}."
    )


def _s(count: int) -> str:
    return "" if count == 1 else "s"


def _were(count: int) -> str:
    return "was" if count == 1 else "were"
