"""
Our drift measures, from profiles alone, are the numbers that evidently, NannyML and frouros compute from the rows.

What they answered is kept in tests/data/peer_distances.json (`python -m benchmarks.differential` asks them again, in
their own environments). Where definitions agree:

| measure | whose | how near |
|---|---|---|
| KS statistic | NannyML, frouros | 0.001 (a histogram of about 1,000 bins holds the rows) |
| its p-value | evidently, frouros | a tenth, beside what 0.001 of KS makes; theirs is exact to 10,000 rows |
| Wasserstein, over the reference's deviation | evidently; NannyML and frouros without the division | 0.3 % |
| Jensen-Shannon of categories | NannyML; evidently times the root of ln 2 (it computes in nats) | rounding |
| chi-square and its p-value | NannyML, frouros | rounding |
| largest change of a share | NannyML (L-infinity) | rounding |
| Cramer's V | frouros' chi-square over the rows | rounding, to 30 categories (ours sums up the rest as others) |

Where they differ, why, and what is tested instead:

- **PSI and Jensen-Shannon of numbers.** Theirs use bins of equal width, as many as a rule says (evidently: Sturges on
  both sides, NannyML: Doane on the reference, frouros: 10), so that one outlier changes every bin; ours use 10 and 64
  groups of equal reference rows. Tested: counted in their bins, our profile gives their number, to 0.002 (evidently)
  and 0.005 (NannyML, whose outermost edges are the reference's extremes: a few rows move in or out).
- **PSI of categories.** evidently turns an empty one into a share of 0.0001, ours adds half a row to each. Tested
  where none is empty, to 2 %.
- **Chi-square of evidently** is a one-sample test: the reference is taken for truth. Ours is the two-sample test.
  Tested: its p-value follows from our counts, and is the smaller.
- **PSI of frouros** turns an empty bin into 2e-308, so that one row more or less decides; its Jensen-Shannon compares
  two histograms that were smoothed differently. Not compared.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from benchmarks.differential.samples import SAMPLES, Sample, digest_of
from perennial.contract import Contract
from perennial.drift import DriftPolicy, check
from perennial.drift.distances import (
    aligned_categories,
    chi_square,
    jensen_shannon,
    kolmogorov_p_value,
    population_stability_index,
)
from perennial.drift.profiles import columns_of, common_resolution
from perennial.drift.report import ColumnDrift
from perennial.drift.scores import CategoryCounts, NumberCounts
from perennial.profile import Profile, fit_grid, profile_table
from tests.unit.test_profile_accuracy import DISTRIBUTIONS

FOUND = json.loads((Path(__file__).parents[1] / "data" / "peer_distances.json").read_text())
NUMBERS = [sample for sample in SAMPLES if sample.kind == "number"]
CATEGORIES = [sample for sample in SAMPLES if sample.kind == "category"]
NATS = math.sqrt(math.log(2))
"""A Jensen-Shannon distance of base e over one of base 2."""


@dataclass(frozen=True)
class Ours:
    """What we know of a sample: its report, both sides' counts and bins, and the rows (peers' edges need them)."""

    column: ColumnDrift
    counts: tuple[NumberCounts | CategoryCounts, NumberCounts | CategoryCounts]
    rows: tuple[np.ndarray, np.ndarray]
    bins: tuple[tuple[np.ndarray, np.ndarray], ...]

    @property
    def shares(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows of each category on both sides."""
        _, left, right = aligned_categories(self.counts[0].counts, self.counts[1].counts)
        return left, right

    def in_bins(self, edges: np.ndarray) -> np.ndarray:
        """Rows between the edges of a peer, counted from our profile; a bin that straddles an edge is split there."""
        ends = [np.nextafter(edge, np.inf) if edge == edges[-1] else edge for edge in edges]
        below = [np.interp(ends, bounds, np.append(0, np.cumsum(counts))) for bounds, counts in self.bins]
        return np.diff(below, axis=1)


@pytest.fixture(scope="module", params=SAMPLES, ids=lambda sample: sample.name)
def any_sample(request):
    return request.param


def compared(columns: Sequence[pa.Array], column: dict[str, object]) -> tuple[list[Profile], ColumnDrift]:
    """Profiles of a reference and a current column, and what a check says of them."""
    contract = Contract.model_validate(
        {"format": "parquet", "record_id": "id", "event_time": "at", "columns": {"x": column}}
    )
    profiles = [profile_table(pa.table({"x": values}), contract) for values in columns]
    report = check(*profiles, calibration=None, policy=DriftPolicy())
    return profiles, next(found for found in report.columns if found.name == "x")


def ours(sample: Sample) -> Ours:
    columns = sample.columns()
    column = {"type": sample.kind, "nullable": True}
    if sample.kind == "number":
        column |= fit_grid(columns[0]).model_dump()
    profiles, report = compared(columns, column)
    resolution = common_resolution(profiles)
    return Ours(
        report,
        tuple(columns_of(profile, resolution)["x"] for profile in profiles),
        tuple(values.drop_null().to_numpy(zero_copy_only=False) for values in columns),
        tuple(p.columns["x"].bins.bins for p in profiles if p.columns["x"].bins is not None),
    )


def theirs(peer: str, sample: Sample, measure: str) -> float:
    return FOUND["peers"][peer]["answers"][sample.name][measure]


def test_the_peers_saw_the_samples_that_we_see(any_sample):
    seen = digest_of(pa.concat_arrays(any_sample.columns()))
    assert seen == FOUND["digests"][any_sample.name], "samples changed: run `python -m benchmarks.differential --write`"


@pytest.mark.parametrize("sample", NUMBERS, ids=lambda sample: sample.name)
def test_statistics_of_numbers_are_those_of_the_peers(sample):
    own = ours(sample)
    for peer, measure in (("nannyml", "kolmogorov_smirnov"), ("frouros", "ks")):
        assert own.column.ks == pytest.approx(theirs(peer, sample, measure), abs=0.001)
    moved = own.column.wasserstein_normed
    assert moved == pytest.approx(theirs("evidently", sample, "wasserstein"), rel=0.003)
    for peer, measure in (("nannyml", "wasserstein"), ("frouros", "emd")):
        assert moved * own.rows[0].std() == pytest.approx(theirs(peer, sample, measure), rel=0.003)


@pytest.mark.parametrize("fitted", [True, False], ids=["grid fitted", "no grid in the contract"])
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_a_check_of_profiles_gives_scipys_statistics_of_the_rows(name, fitted):
    rng = np.random.default_rng(sum(map(ord, name)))
    reference, current = DISTRIBUTIONS[name](rng, 0), DISTRIBUTIONS[name](rng, 1)
    grid = fit_grid(pa.array(reference)).model_dump() if fitted else {}
    _, found = compared([pa.array(reference), pa.array(current)], {"type": "number"} | grid)
    assert found.ks == pytest.approx(stats.ks_2samp(reference, current).statistic, abs=0.001)
    moved = stats.wasserstein_distance(reference, current) / reference.std()
    assert found.wasserstein_normed == pytest.approx(moved, rel=0.003)


@pytest.mark.parametrize("sample", NUMBERS, ids=lambda sample: sample.name)
def test_the_ks_p_value_is_that_of_the_peers(sample):
    own = ours(sample)
    rows = [len(side) for side in own.rows]
    smallest, largest = (kolmogorov_p_value(own.column.ks + step, *rows) for step in (0.001, -0.001))
    for peer, measure in (("evidently", "ks"), ("frouros", "ks p")):
        assert 0.9 * smallest <= theirs(peer, sample, measure) <= 1.1 * largest


@pytest.mark.parametrize("sample", NUMBERS, ids=lambda sample: sample.name)
def test_in_the_peers_own_bins_a_profile_gives_their_divergences(sample):
    own = ours(sample)
    both = own.in_bins(np.histogram_bin_edges(np.concatenate(own.rows), bins="sturges"))
    assert jensen_shannon(*both) * NATS == pytest.approx(theirs("evidently", sample, "jensenshannon"), abs=0.002)
    assert population_stability_index(*both) == pytest.approx(theirs("evidently", sample, "psi"), abs=0.002)
    edges = np.histogram_bin_edges(own.rows[0], bins="doane")
    outside = [max(left, 0) for left in [len(side) for side in own.rows] - own.in_bins(edges).sum(axis=1)]
    within = [np.append(side, left) for side, left in zip(own.in_bins(edges), outside, strict=True)]
    assert jensen_shannon(*within) == pytest.approx(theirs("nannyml", sample, "jensen_shannon"), abs=0.005)


@pytest.mark.parametrize("sample", CATEGORIES, ids=lambda sample: sample.name)
def test_distances_of_categories_are_those_of_the_peers(sample):
    own = ours(sample)
    assert own.column.jensen_shannon == pytest.approx(theirs("nannyml", sample, "jensen_shannon"), abs=1e-9)
    assert own.column.jensen_shannon * NATS == pytest.approx(theirs("evidently", sample, "jensenshannon"), abs=1e-9)
    left, right = own.shares
    largest = np.abs(left / left.sum() - right / right.sum()).max()
    assert largest == pytest.approx(theirs("nannyml", sample, "l_infinity"), abs=1e-9)
    if left.min() and right.min():
        assert population_stability_index(left, right) == pytest.approx(theirs("evidently", sample, "psi"), rel=0.02)


@pytest.mark.parametrize("sample", CATEGORIES, ids=lambda sample: sample.name)
def test_the_two_sample_chi_square_test_is_that_of_the_peers(sample):
    own = ours(sample)
    statistic, _, p_value = chi_square(*own.shares)
    for peer in ("nannyml", "frouros"):
        assert statistic == pytest.approx(theirs(peer, sample, "chi2"), rel=1e-9)
    assert p_value == pytest.approx(theirs("frouros", sample, "chi2 p"), rel=1e-6)
    if len(own.shares[0]) <= 30:
        strength = math.sqrt(theirs("frouros", sample, "chi2") / np.sum(own.shares))
        assert own.column.cramers_v == pytest.approx(strength, rel=1e-9)


@pytest.mark.parametrize("sample", CATEGORIES, ids=lambda sample: sample.name)
def test_evidently_takes_the_reference_for_truth_and_so_calls_more_significant(sample):
    left, right = ours(sample).shares
    expected = left * right.sum() / left.sum()
    with np.errstate(divide="ignore"):
        one_sample = stats.chi2.sf(np.sum((right - expected) ** 2 / expected), len(left) - 1)
    assert one_sample == pytest.approx(theirs("evidently", sample, "chisquare"), rel=1e-6, abs=1e-300)
    assert chi_square(left, right)[2] > one_sample
