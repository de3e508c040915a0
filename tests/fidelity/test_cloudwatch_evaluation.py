"""
When an alarm is in which state.

Fact (2026-11-24): the two tables of AWS's user guide, "Configuring how CloudWatch alarms treat missing data",
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
"""

from __future__ import annotations

import doctest
import importlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localcloud.cloudwatch.evaluation import TREATMENTS, Policy, State, evaluate

UNHURRIED = settings(deadline=None)

THRESHOLD = 1.0
SYMBOLS = {"0": 0.0, "X": 2.0, "-": None}
STATES: tuple[State, ...] = ("OK", "ALARM", "INSUFFICIENT_DATA")
ORDER = ("missing", "ignore", "breaching", "notBreaching")

THREE_OUT_OF_THREE = {
    "0 - X - X": ("OK", "OK", "OK", "OK"),
    "0 - - - -": ("OK", "OK", "OK", "OK"),
    "- - - - -": ("INSUFFICIENT_DATA", "kept", "ALARM", "OK"),
    "0 X X - X": ("ALARM", "ALARM", "ALARM", "ALARM"),
    "- - X - -": ("ALARM", "kept", "ALARM", "OK"),
}
TWO_OUT_OF_THREE = {
    "0 - X - X": ("ALARM", "ALARM", "ALARM", "ALARM"),
    "0 0 X 0 X": ("ALARM", "ALARM", "ALARM", "ALARM"),
    "0 - X - -": ("OK", "OK", "ALARM", "OK"),
    "- - - - 0": ("OK", "OK", "ALARM", "OK"),
    "- - - X -": ("ALARM", "kept", "ALARM", "OK"),
}
ROWS = [
    (row, to_alarm, treatment, expected)
    for to_alarm, table in ((3, THREE_OUT_OF_THREE), (2, TWO_OUT_OF_THREE))
    for row, states in table.items()
    for treatment, expected in zip(ORDER, states, strict=True)
]


def policy(*, periods: int = 3, to_alarm: int = 3, missing: str = "missing") -> Policy:
    return Policy("GreaterThanThreshold", THRESHOLD, periods, to_alarm, missing)


def points(row: str) -> list[float | None]:
    return [SYMBOLS[symbol] for symbol in row.split()]


@pytest.mark.parametrize(("row", "to_alarm", "treatment", "expected"), ROWS)
@pytest.mark.parametrize("current", STATES)
def test_every_row_of_awss_tables_gives_awss_state(
    row: str, to_alarm: int, treatment: str, expected: str, current: State
) -> None:
    verdict = evaluate(points(row), policy(to_alarm=to_alarm, missing=treatment), current=current)
    assert (current if expected == "kept" else expected) == verdict.state


@pytest.mark.parametrize("row", ["- - - - X", "- - - X -"])
def test_one_breach_after_silence_does_not_raise_a_three_out_of_three_alarm_at_once(row: str) -> None:
    """Same page, "Avoiding premature transitions to alarm state"."""
    assert evaluate(points(row), policy(), current="INSUFFICIENT_DATA").state != "ALARM"


VALUES = st.sampled_from([0.0, 1.0, 2.0])
MAYBE = st.one_of(st.none(), VALUES)


@st.composite
def cases(draw: st.DrawFn, values: st.SearchStrategy[float | None] = MAYBE) -> tuple[list[float | None], Policy, State]:
    periods = draw(st.integers(1, 6))
    rule = policy(periods=periods, to_alarm=draw(st.integers(1, periods)), missing=draw(st.sampled_from(TREATMENTS)))
    column = draw(st.lists(values, min_size=rule.range, max_size=rule.range))
    return column, rule, draw(st.sampled_from(STATES))


@UNHURRIED
@given(cases(VALUES))
def test_without_gaps_an_alarm_is_m_breaches_of_the_last_n(case: tuple[list[float], Policy, State]) -> None:
    column, rule, current = case
    breaches = sum(value > THRESHOLD for value in column[-rule.periods :])
    assert ("ALARM" if breaches >= rule.to_alarm else "OK") == evaluate(column, rule, current=current).state


@UNHURRIED
@given(cases())
def test_the_treatment_of_missing_data_matters_only_when_too_few_points_are_there(
    case: tuple[list[float | None], Policy, State],
) -> None:
    column, rule, current = case
    if sum(value is not None for value in column) < rule.periods:
        return
    states = {
        evaluate(column, policy(periods=rule.periods, to_alarm=rule.to_alarm, missing=t), current=current).state
        for t in TREATMENTS
    }
    assert len(states) == 1


@UNHURRIED
@given(cases())
def test_silence_treated_as_good_never_alarms_where_silence_treated_as_bad_does_not(
    case: tuple[list[float | None], Policy, State],
) -> None:
    column, rule, current = case
    good = evaluate(
        column, policy(periods=rule.periods, to_alarm=rule.to_alarm, missing="notBreaching"), current=current
    )
    bad = evaluate(column, policy(periods=rule.periods, to_alarm=rule.to_alarm, missing="breaching"), current=current)
    assert good.state == "OK" or bad.state == "ALARM"


@UNHURRIED
@given(cases())
def test_only_missing_as_missing_gives_insufficient_data_and_only_when_all_is_silent(
    case: tuple[list[float | None], Policy, State],
) -> None:
    column, rule, current = case
    state = evaluate(column, rule, current=current).state
    silent = all(value is None for value in column)
    if rule.missing == "ignore":
        assert state != "INSUFFICIENT_DATA" or current == "INSUFFICIENT_DATA"
    else:
        assert (silent and rule.missing == "missing") == (state == "INSUFFICIENT_DATA")


@UNHURRIED
@given(cases())
def test_a_verdict_rests_on_real_points_only_and_says_why(case: tuple[list[float | None], Policy, State]) -> None:
    column, rule, current = case
    verdict = evaluate(column, rule, current=current)
    assert all(column[index] is not None for index in verdict.considered)
    assert len(verdict.considered) <= rule.periods
    assert verdict.reason


@pytest.mark.parametrize(
    "name", ["aggregate", "alarm", "cbor", "evaluation", "expression", "queries", "resources", "rule", "store"]
)
def test_the_examples_in_cloudwatchs_modules_hold(name: str) -> None:
    module = importlib.import_module(f"localcloud.cloudwatch.{name}")
    assert doctest.testmod(module).failed == 0
