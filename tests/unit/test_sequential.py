import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from perennial.sequential import certainly_above, share_bounds


def test_no_requests_say_nothing():
    assert share_bounds(0, 0, alpha=0.05) == (0.0, 1.0)
    assert not certainly_above((0, 0), (0, 0), floor=0.0, confidence=0.99)


@given(st.integers(0, 300), st.integers(0, 300), st.floats(0.001, 0.4))
def test_the_bounds_enclose_what_was_seen_and_widen_with_certainty(errors, successes, alpha):
    trials = errors + successes
    low, high = share_bounds(errors, trials, alpha=alpha)
    assert 0 <= low <= (errors / trials if trials else 0) <= high <= 1
    surer = share_bounds(errors, trials, alpha=alpha / 10)
    assert surer[0] <= low
    assert high <= surer[1]


@pytest.mark.parametrize(("errors", "trials"), [(5, 100), (0, 50), (50, 50), (300, 1000)])
def test_the_bounds_are_wider_than_those_of_a_single_look(errors, trials):
    """Clopper-Pearson's interval is exact for one look; many looks cost more."""
    low, high = share_bounds(errors, trials, alpha=0.05)
    exact = stats.binomtest(errors, trials).proportion_ci(0.95)
    assert low <= exact.low + 1e-9
    assert exact.high - 1e-9 <= high


@pytest.mark.parametrize("share", [0.005, 0.05, 0.5])
def test_at_all_looks_together_the_true_share_is_missed_no_oftener_than_said(share):
    """What a fixed-sample interval gets wrong: it would miss in a third of these runs."""
    chance, missed, alpha = np.random.default_rng(7), 0, 0.1
    for _ in range(200):
        errors = np.cumsum(chance.random(2000) < share)
        looks = range(20, 2001, 60)
        missed += any(
            not low <= share <= high for low, high in (share_bounds(int(errors[n - 1]), n, alpha=alpha) for n in looks)
        )
    assert missed / 200 <= alpha


@given(st.integers(0, 5000), st.integers(0, 5000), st.floats(0, 0.2), st.floats(0.6, 0.999))
def test_a_challenger_like_the_champion_is_never_blamed(errors, successes, floor, confidence):
    both = (errors, errors + successes)
    assert not certainly_above(both, both, floor=floor, confidence=confidence)


def test_a_champion_that_fails_as_often_excuses_the_challenger():
    assert certainly_above((50, 500), (2, 4500), floor=0.01, confidence=0.99)
    assert not certainly_above((50, 500), (450, 4500), floor=0.01, confidence=0.99)


def test_five_failures_of_five_requests_are_enough():
    assert certainly_above((5, 5), (0, 100), floor=0.01, confidence=0.99)


def test_numbers_that_can_not_be_are_refused():
    with pytest.raises(ValueError, match="Got 3 of 2"):
        share_bounds(3, 2, alpha=0.05)
    assert math.isclose(1.0, share_bounds(4, 4, alpha=0.05)[1])
