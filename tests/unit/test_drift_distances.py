"""Distances of binned columns agree with scipy's on the rows themselves, and behave as distances must."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from perennial.drift.distances import (
    Binned,
    benjamini_hochberg,
    chi_square,
    cramers_v,
    jensen_shannon,
    kolmogorov_p_value,
    kolmogorov_smirnov,
    population_stability_index,
    total_variation,
    wasserstein,
)

rows = st.lists(st.integers(-20, 20), min_size=1, max_size=60)
groups = st.integers(2, 8).flatmap(
    lambda k: st.tuples(*(st.lists(st.integers(0, 50), min_size=k, max_size=k) for _ in range(2)))
)


def binned(values: list[int]) -> Binned:
    """Each row in a bin of its own value."""
    return Binned.of(values, np.ones(len(values)))


@given(rows, rows)
def test_ks_and_wasserstein_are_scipys_on_the_rows(left: list[int], right: list[int]) -> None:
    assert kolmogorov_smirnov(binned(left), binned(right)) == pytest.approx(
        stats.ks_2samp(left, right, method="asymp").statistic
    )
    assert wasserstein(binned(left), binned(right)) == pytest.approx(stats.wasserstein_distance(left, right), abs=1e-9)


def test_the_ks_p_value_is_scipys_for_many_rows() -> None:
    rng = np.random.default_rng(1)
    left, right = rng.normal(size=4000).round(3), rng.normal(0.05, size=3000).round(3)
    ours = kolmogorov_p_value(kolmogorov_smirnov(binned(left), binned(right)), 4000, 3000)
    assert ours == pytest.approx(stats.ks_2samp(left, right, method="asymp").pvalue, rel=0.05)


@given(groups)
def test_chi_square_is_scipys_two_sample_test(table: tuple[list[int], list[int]]) -> None:
    held = np.array(table)[:, np.sum(table, axis=0) > 0]
    statistic, df, p_value = chi_square(*table)
    if held.shape[1] < 2 or not held.sum(axis=1).all():
        assert (statistic, df, p_value) == (0.0, 0, 1.0)
        return
    expected = stats.chi2_contingency(held, correction=False)
    assert (statistic, p_value) == pytest.approx((expected.statistic, expected.pvalue))
    assert df == expected.dof


@given(groups)
def test_jensen_shannon_is_scipys(table: tuple[list[int], list[int]]) -> None:
    if all(map(sum, table)):
        assert jensen_shannon(*table) == pytest.approx(jensenshannon(*table, base=2), abs=1e-7)
    else:
        assert math.isnan(jensen_shannon(*table))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_adjusted_p_values_are_scipys(p_values: list[float]) -> None:
    assert benjamini_hochberg(p_values) == pytest.approx(stats.false_discovery_control(p_values, method="bh"))


@given(rows, rows)
def test_distances_of_numbers_are_symmetric_and_zero_only_for_equal_shares(left: list[int], right: list[int]) -> None:
    a, b = binned(left), binned(right)
    for distance in (kolmogorov_smirnov, wasserstein):
        assert distance(a, b) == pytest.approx(distance(b, a))
        assert distance(a, a) == 0
        assert distance(a, b) >= 0


@given(groups)
def test_distances_of_groups_are_symmetric_and_zero_for_equal_shares(table: tuple[list[int], list[int]]) -> None:
    left, right = table
    if not all(map(sum, table)):
        return
    for distance in (jensen_shannon, total_variation, population_stability_index, cramers_v):
        assert distance(left, right) == pytest.approx(distance(right, left), abs=1e-9)
        assert distance(left, left) == pytest.approx(0, abs=1e-7)


@given(rows, st.integers(0, 30), st.integers(1, 30))
def test_a_larger_shift_is_never_nearer(values: list[int], shift: int, more: int) -> None:
    near, far = binned([v + shift for v in values]), binned([v + shift + more for v in values])
    assert kolmogorov_smirnov(binned(values), near) <= kolmogorov_smirnov(binned(values), far) + 1e-12
    assert wasserstein(binned(values), near) < wasserstein(binned(values), far)


def test_an_empty_side_has_no_distance() -> None:
    assert math.isnan(kolmogorov_smirnov(Binned.of([], []), binned([1])))
    assert math.isnan(wasserstein(binned([1]), Binned.of([], [])))
