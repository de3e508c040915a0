"""
Metric math, composite rules and statistics, as functions.

Fact (2026-11-24): functions and operators of "Using math expressions with CloudWatch metrics",
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from localcloud.cloudwatch import cbor, rule
from localcloud.cloudwatch.aggregate import Datapoint, statistic
from localcloud.cloudwatch.expression import BadExpression, Column, evaluate
from localcloud.cloudwatch.queries import buckets
from localcloud.cloudwatch.store import MAX_POINTS, Series

UNHURRIED = settings(deadline=None)

A: Column = [1.0, None, 3.0, 4.0]
B: Column = [10.0, 20.0, None, 0.0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a + b", [11.0, None, None, 4.0]),
        ("a / b", [0.1, None, None, None]),
        ("-a * 2", [-2.0, None, -6.0, -8.0]),
        ("FILL(a, 0) + FILL(b, 5)", [11.0, 20.0, 8.0, 4.0]),
        ("FILL(a, REPEAT)", [1.0, 1.0, 3.0, 4.0]),
        ("FILL(a, LINEAR)", [1.0, 2.0, 3.0, 4.0]),
        ("a > 2", [0.0, None, 1.0, 1.0]),
        ("FILL(a, 0) > 2 AND FILL(b, 0) > 5", [0.0, 0.0, 0.0, 0.0]),
        ("FILL(a, 0) > 2 || FILL(b, 0) > 5", [1.0, 1.0, 1.0, 1.0]),
        ("IF(FILL(b, 0) > 0, 100 * FILL(a, 0) / b, 0)", [10.0, 0.0, 0.0, 0.0]),
        ("IF(a > 2, b)", [None, None, None, 0.0]),
        ("SUM(METRICS())", [11.0, 20.0, 3.0, 4.0]),
        ("SUM([a, b])", [11.0, 20.0, 3.0, 4.0]),
        ("MAX([a, b])", [10.0, 20.0, 3.0, 4.0]),
        ("MIN([a, b])", [1.0, 20.0, 3.0, 0.0]),
        ("AVG([a, b])", [5.5, 20.0, 3.0, 2.0]),
        ("SUM(a)", [8.0] * 4),
        ("MAX(a) - MIN(a)", [3.0] * 4),
        ("ABS(a - 4)", [3.0, None, 1.0, 0.0]),
        ("SUM(METRICS('b'))", [10.0, 20.0, None, 0.0]),
        ("DIFF(FILL(a, 0))", [None, -1.0, 3.0, 1.0]),
        ("a / PERIOD(a)", [1 / 60, None, 3 / 60, 4 / 60]),
        ("2 ^ 3", [8.0] * 4),
    ],
)
def test_an_expression_gives_awss_column(text: str, expected: Column) -> None:
    assert expected == pytest.approx(evaluate(text, {"a": A, "b": B}, metrics=["a", "b"]))


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')", "a.real", "a[0]", "lambda: 1", "(1 for x in a)", "open('x')",
        "a if a else b", "SUM(a", "a +", "unknown", "NOSUCH(a)", "a < b < 3", "'text'", "True", "f'{a}'", "a := 1",
        "sum(a)",
        "(" * 500 + "a" + ")" * 500,
    ],
)  # fmt: skip
def test_what_is_no_metric_math_is_refused_and_never_run(text: str) -> None:
    with pytest.raises(BadExpression):
        evaluate(text, {"a": A, "b": B}, metrics=["a", "b"])


NUMBERS = st.floats(-1e6, 1e6).map(lambda x: round(x, 3))


@UNHURRIED
@given(st.lists(NUMBERS, min_size=1, max_size=5), st.sampled_from("+-*/"), NUMBERS)
def test_arithmetic_with_a_number_is_pythons_and_a_division_by_zero_is_no_datapoint(
    column: list[float], operator: str, number: float
) -> None:
    got = evaluate(f"a {operator} ({number})", {"a": list(column)})
    if operator == "/" and number == 0:
        assert [None] * len(column) == got
    else:
        assert [eval(f"({x}) {operator} ({number})") for x in column] == pytest.approx(got)


@UNHURRIED
@given(st.text("abm12 +-*/()<>=,'[]ANDORIFSUM.", max_size=30))
def test_any_text_gives_a_column_or_a_plain_refusal(text: str) -> None:
    try:
        assert len(evaluate(text, {"a": A, "b": B}, metrics=["a", "b"])) == 4
    except BadExpression as error:
        assert str(error)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ALARM(bad)", True),
        ('ALARM("bad") AND OK("good")', True),
        ("ALARM(good) OR ALARM(bad) AND FALSE", False),
        ("(ALARM(good) OR ALARM(bad)) AND TRUE", True),
        ("NOT ALARM(bad)", False),
        ("NOT (INSUFFICIENT_DATA(new) AND ALARM(good))", True),
        ("ALARM(arn:aws:cloudwatch:us-east-1:123456789012:alarm:bad)", True),
        ("ALARM(no-such-alarm)", False),
    ],
)
def test_a_composite_rule_is_true_when_aws_says_so(text: str, expected: bool) -> None:
    """API reference, PutCompositeAlarm, AlarmRule (2026-11-24): NOT before AND before OR; a name or an ARN."""
    states = {"bad": "ALARM", "good": "OK", "new": "INSUFFICIENT_DATA"}
    assert expected == rule.parse(text).holds(lambda name: states.get(name.rpartition(":")[2], ""))


@pytest.mark.parametrize(
    "text", ["", "ALARM", "ALARM()", "ALARM(a) ALARM(b)", "AND ALARM(a)", "BROKEN(a)", "(TRUE", "NOT"]
)
def test_a_rule_that_makes_no_sense_says_where(text: str) -> None:
    with pytest.raises(rule.BadRule, match="at char"):
        rule.parse(text)


@UNHURRIED
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=40), st.sampled_from([0, 10, 50, 90, 99, 99.9, 100]))
def test_a_percentile_is_numpys_linear_one(values: list[float], percent: float) -> None:
    column = [Datapoint(0, 1, value, value, value) for value in values]
    assert float(np.percentile(values, percent)) == pytest.approx(statistic(column, f"p{percent}"))


@UNHURRIED
@given(st.lists(st.tuples(st.floats(0, 1e3), st.integers(1, 5)), min_size=1, max_size=10))
def test_values_with_counts_are_as_good_as_each_value_by_itself(pairs: list[tuple[float, int]]) -> None:
    counted = [Datapoint(0, n, v * n, v, v) for v, n in pairs]
    single = [Datapoint(0, 1, v, v, v) for v, n in pairs for _ in range(n)]
    for name in ("Sum", "Average", "SampleCount", "Minimum", "Maximum", "p50", "p99", "tm90"):
        assert statistic(single, name) == pytest.approx(statistic(counted, name))


def test_a_percentile_of_a_statistic_set_is_unknown() -> None:
    """API reference, GetMetricStatistics, ExtendedStatistics (2026-11-24): only raw values, or sets of one value."""
    assert statistic([Datapoint(0, 2, 3.0, 1.0, 2.0)], "p90") is None
    assert statistic([Datapoint(0, 2, 4.0, 2.0, 2.0)], "p90") == 2.0


@UNHURRIED
@given(st.lists(st.floats(0, 1000), max_size=30), st.floats(0, 1000), st.floats(0, 1000))
def test_a_series_gives_back_what_lies_between_whatever_the_order_of_arrival(
    times: list[float], start: float, end: float
) -> None:
    series = Series()
    for time in times:
        series.add(Datapoint(time, 1, time, time, time))
    assert sorted(t for t in times if start <= t < end) == [point.time for point in series.between(start, end)]


def test_a_series_that_grows_without_end_keeps_its_sums_in_bounded_memory() -> None:
    series = Series()
    for index in range(2 * MAX_POINTS):
        series.add(Datapoint(index / 10, 1, 1.0, 1.0, 1.0))
    assert len(series) <= MAX_POINTS
    assert sum(point.samples for point in series.between(0, math.inf)) == 2 * MAX_POINTS


@UNHURRIED
@given(st.floats(0, 1e5), st.floats(0.1, 1e4), st.sampled_from([10, 60, 300]))
def test_the_periods_of_a_request_cover_it_exactly_once(start: float, length: float, period: int) -> None:
    end = start + length
    assume(end > start)
    cuts = buckets(start, end, period)
    assert (start, end) == (cuts[0][1], cuts[-1][2])
    assert all(before[2] == after[1] for before, after in itertools.pairwise(cuts))
    assert all(low < high and high - low <= period for _, low, high in cuts)


JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@UNHURRIED
@given(JSON_LIKE)
def test_cbor_comes_back_as_it_went(value: object) -> None:
    assert value == cbor.decode(cbor.encode(value))


@UNHURRIED
@given(st.binary(max_size=40))
def test_bytes_that_are_no_cbor_are_refused(data: bytes) -> None:
    try:
        cbor.decode(data)
    except ValueError as error:
        assert str(error)
