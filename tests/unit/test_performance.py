import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.labels import LabelPolicy, judge_maturity
from perennial.performance import BusinessPolicy, PerformancePolicy, WindowValue, decide, decide_business
from tests.builders import make_score


def _decide(window, expected=0.8, maturity=None, **policy):
    return decide(window, make_score(expected, metric=window.metric), PerformancePolicy(**policy), maturity=maturity)


def test_a_sure_and_large_fall_is_a_signal():
    decision = _decide(make_score(0.6))
    assert decision.fell
    assert decision.reasons == ("performance: accuracy 0.6 on 1000 rows, 0.8 expected: worse by 0.2, more than 0.05",)


@pytest.mark.parametrize(
    ("value", "margin", "outcome"), [(0.79, 0.01, "held"), (0.7, 0.3, "inconclusive"), (0.9, 0.0, "held")]
)
def test_small_falls_hold_and_unsure_ones_are_inconclusive(value, margin, outcome):
    assert outcome == _decide(make_score(value, margin=margin)).outcome


def test_for_errors_a_rise_is_the_fall():
    assert _decide(make_score(0.9, metric="mae")).fell
    assert not _decide(make_score(0.6, metric="mae")).fell


def test_an_error_with_a_unit_falls_by_a_share_of_what_was_expected():
    assert not _decide(make_score(41.0, metric="mae"), 40.0).fell
    assert _decide(make_score(43.0, metric="mae"), 40.0).fell


@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 99))
def test_too_few_rows_never_say_anything(value, expected, rows):
    assert _decide(make_score(value, rows=rows), expected).outcome == "inconclusive"


def test_immature_labels_never_say_anything():
    """A window whose fast labels came first looks worse than it is."""
    maturity = judge_maturity(labelled_count=500, record_count=1000, policy=LabelPolicy())
    decision = _decide(make_score(0.1), maturity=maturity)
    assert ("inconclusive", maturity.reasons) == (decision.outcome, decision.reasons)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_no_number_is_neither_health_nor_a_fall(value):
    assert _decide(make_score(value)).outcome == "inconclusive"
    assert _decide(make_score(0.1), value).outcome == "inconclusive"


def test_another_metric_can_not_be_compared():
    expected = make_score(0.8, metric="auc")
    assert decide(make_score(0.1), expected, PerformancePolicy()).outcome == "inconclusive"


def test_business_value_falls_only_surely():
    expected, policy = WindowValue(10.0, 3.0, 5000), BusinessPolicy()
    assert decide_business(WindowValue(8.0, 3.0, 1000), expected, policy).outcome == "fell"
    assert decide_business(WindowValue(9.5, 3.0, 1000), expected, policy).outcome == "held"
    assert decide_business(WindowValue(8.0, 300.0, 1000), expected, policy).outcome == "inconclusive"
    assert decide_business(WindowValue(8.0, 3.0, 10), expected, policy).outcome == "inconclusive"
    assert decide_business(WindowValue(math.nan, 3.0, 1000), expected, policy).outcome == "inconclusive"
    assert decide_business(WindowValue(1.0, 1.0, 1000), WindowValue(0.0, 1.0, 9), policy).outcome == "inconclusive"
