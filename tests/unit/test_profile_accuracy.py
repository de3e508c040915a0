"""How close statistics from profiles come to the exact ones on raw data: KS within 0.005, Wasserstein within 1 %."""

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from perennial.contract import Contract
from perennial.profile import fit_grid, profile_table, shared_bins

N = 20_000


def spiky(rng, shift):
    return np.where(rng.random(N) < 0.6 - shift, 0.0, rng.lognormal(0, 1, N))


#: Reference and current samples; where the grid is not fitted on the reference, it is said.
DISTRIBUTIONS = {
    "normal": lambda r, d: r.normal(0.2 * d, 1, N),
    "normal, wider": lambda r, d: r.normal(0, 1 + 0.2 * d, N),
    "lognormal": lambda r, d: r.lognormal(0.1 * d, 0.8, N),
    "exponential": lambda r, d: r.exponential(3 + 0.3 * d, N),
    "uniform": lambda r, d: r.uniform(-5, 5 + d, N),
    "gamma": lambda r, d: r.gamma(2 + 0.3 * d, 1.7, N),
    "beta": lambda r, d: r.beta(2 + 0.3 * d, 5, N),
    "heavy tail, t with 3 degrees": lambda r, d: r.standard_t(3, N) * 10 + 2 * d,
    "heavy tail, t with 2 degrees": lambda r, d: r.standard_t(2, N) + 0.3 * d,
    "Pareto": lambda r, d: r.pareto(2.5, N) * (1 + 0.2 * d),
    "two humps": lambda r, d: np.where(r.random(N) < 0.4 + 0.1 * d, r.normal(-3, 1, N), r.normal(4, 2, N)),
    "spike of zeros": lambda r, d: spiky(r, 0.1 * d),
    "mostly zeros": lambda r, d: np.where(r.random(N) < 0.97 - 0.02 * d, 0.0, r.exponential(100, N)),
    "constant but for a few": lambda r, d: np.where(r.random(N) < 0.99 - 0.02 * d, 7.0, r.normal(7, 1, N)),
    "counts": lambda r, d: r.poisson(20 + d, N).astype(float),
    "few values": lambda r, d: r.choice([1.0, 2.0, 5.0, 10.0], N, p=[0.4 - 0.05 * d, 0.3, 0.2, 0.1 + 0.05 * d]),
    "rounded to cents": lambda r, d: np.round(r.gamma(2, 40 + 3 * d, N), 2),
    "ids": lambda r, d: 7e12 + r.integers(0, 1_000_000 + 100_000 * d, N).astype(float),
    "mean a million times the spread": lambda r, d: 1e6 + r.normal(0.2 * d, 1, N),
    "seconds since 1970": lambda r, d: 1.75e9 + r.uniform(0, 86_400, N) + 8_000 * d,
    "moves far off its centre": lambda r, d: r.normal(1000 * d, 1, N),
    "tiny": lambda r, d: r.normal(0.2 * d, 1, N) * 1e-9,
    "huge": lambda r, d: r.lognormal(0.1 * d, 1, N) * 1e15,
}


def wasserstein(edges, one, two):
    """Area between two distribution functions that are straight lines within bins."""
    gap = np.concatenate([[0], np.cumsum(one) / one.sum() - np.cumsum(two) / two.sum()])
    left, right, width = gap[:-1], gap[1:], np.diff(edges)
    same, both = left * right >= 0, np.abs(left) + np.abs(right)
    crossing = (left**2 + right**2) / np.where(both > 0, 2 * both, 1)
    return float((width * np.where(same, both / 2, crossing)).sum())


@pytest.mark.parametrize("fitted", [True, False], ids=["grid fitted", "no grid in the contract"])
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_statistics_from_profiles_are_those_of_the_raw_data(name, fitted):
    rng = np.random.default_rng(sum(map(ord, name)))
    reference, current = DISTRIBUTIONS[name](rng, 0), DISTRIBUTIONS[name](rng, 1)
    column = {"type": "number"}
    if fitted:
        column |= fit_grid(pa.array(reference)).model_dump()
    contract = Contract.model_validate(
        {"format": "csv", "record_id": "id", "event_time": "at", "columns": {"x": column}}
    )
    then, now = (profile_table(pa.table({"x": x}), contract).columns["x"].bins for x in (reference, current))
    edges, (a, b) = shared_bins(then, now)
    ks = np.abs(np.cumsum(a) / N - np.cumsum(b) / N).max()
    assert ks == pytest.approx(stats.ks_2samp(reference, current).statistic, abs=0.005)
    assert wasserstein(edges, a, b) == pytest.approx(stats.wasserstein_distance(reference, current), rel=0.01)
