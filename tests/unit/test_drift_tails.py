"""Our own tail probabilities agree with scipy's, which the Lambda doesn't carry."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from perennial.drift.tails import (
    chi2_sf,
    digamma,
    f_log_density,
    f_sf,
    inverse_trigamma,
    kolmogorov_sf,
    normal_quantile,
    t_sf,
    trigamma,
)


@given(st.floats(0.01, 8))
def test_the_kolmogorov_tail_is_scipys(x: float) -> None:
    assert kolmogorov_sf(x) == pytest.approx(special.kolmogorov(x), rel=1e-9, abs=1e-12)


@given(st.floats(0.01, 3000), st.integers(1, 2000))
def test_the_chi_square_tail_is_scipys(x: float, df: int) -> None:
    assert chi2_sf(x, df) == pytest.approx(stats.chi2.sf(x, df), rel=1e-8, abs=1e-14)


@given(st.floats(-40, 40), st.floats(1, 500))
def test_the_student_tail_is_scipys(x: float, df: float) -> None:
    assert t_sf(x, df) == pytest.approx(stats.t.sf(x, df), rel=1e-7, abs=1e-14)


@given(st.floats(0.001, 200), st.floats(1, 60), st.floats(1, 3000))
def test_the_f_tail_and_density_are_scipys(x: float, df1: float, df2: float) -> None:
    assert float(f_sf(x, df1, df2)) == pytest.approx(stats.f.sf(x, df1, df2), rel=1e-7, abs=1e-14)
    assert float(f_log_density(np.array(x), df1, df2)) == pytest.approx(stats.f.logpdf(x, df1, df2), rel=1e-7, abs=1e-9)


def test_infinitely_many_degrees_of_freedom_mean_a_known_variance() -> None:
    assert float(f_sf(9.0, 1, math.inf)) == pytest.approx(2 * stats.norm.sf(3.0), rel=5e-3)


def test_impossible_and_certain_statistics_have_tails_zero_and_one() -> None:
    assert kolmogorov_sf(0) == 1
    assert chi2_sf(0, 3) == 1
    assert f_sf([0.0, np.inf], 2, 5).tolist() == [1.0, 0.0]


@given(st.floats(0.05, 1e4))
def test_digamma_and_trigamma_are_scipys_and_invert(x: float) -> None:
    assert digamma(x) == pytest.approx(special.digamma(x), rel=1e-9, abs=1e-9)
    assert trigamma(x) == pytest.approx(special.polygamma(1, x), rel=1e-9)
    assert inverse_trigamma(trigamma(x)) == pytest.approx(x, rel=1e-6)


@given(st.floats(1e-6, 1 - 1e-6))
def test_normal_quantiles_are_scipys(probability: float) -> None:
    assert normal_quantile(probability)[0] == pytest.approx(stats.norm.ppf(probability), abs=1e-8)
