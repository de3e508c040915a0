"""
How far two binned distributions are from each other: effect sizes, and the classical tests where they apply.

A binned distribution is `values` (ascending; the middle of each occupied bin) and `counts` (rows in it). Both sides
come from the same grid, so equal bins have equal values. Distances say how much; whether that is more than usual
is for `perennial.drift.check` to say, since with a million rows a p-value calls any wiggle significant.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from perennial.drift.tails import chi2_sf, kolmogorov_sf

__all__ = [
    "Binned",
    "benjamini_hochberg",
    "chi_square",
    "cramers_v",
    "jensen_shannon",
    "kolmogorov_p_value",
    "kolmogorov_smirnov",
    "population_stability_index",
    "total_variation",
    "wasserstein",
]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Binned:
    """Occupied bins of a numeric column: their middles in ascending order and the rows in each, and in all of them."""

    values: Floats
    counts: Floats
    rows: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", float(self.counts.sum()))

    @classmethod
    def of(cls, values: ArrayLike, counts: ArrayLike) -> Self:
        """Sort the bins, add up equal ones and leave the empty ones out."""
        places, inverse = np.unique(np.asarray(values, float), return_inverse=True)
        weights = np.asarray(counts, float)
        summed = np.bincount(inverse.ravel(), weights=weights, minlength=len(places)).astype(float)
        return cls(places[summed > 0], summed[summed > 0])

    @property
    def median(self) -> float:
        """Middle of the bin that holds the middle row; nan when there is none."""
        if not len(self.values):
            return float("nan")
        return float(self.values[np.searchsorted(np.cumsum(self.counts), self.rows / 2)])

    @property
    def spread(self) -> float:
        """Standard deviation of the binned values; 0 when there is none."""
        if not len(self.values):
            return 0.0
        centred = self.values - self.values @ self.counts / self.rows
        return float(np.sqrt(centred**2 @ self.counts / self.rows))


def _aligned(reference: Binned, current: Binned) -> tuple[Floats, Floats, Floats]:
    """The union of both sides' bins, and each side's shares in it."""
    if reference.values.shape == current.values.shape and np.array_equal(reference.values, current.values):
        return reference.values, reference.counts / reference.rows, current.counts / current.rows
    found = np.minimum(np.searchsorted(reference.values, current.values), len(reference.values) - 1)
    if np.array_equal(reference.values[found], current.values):  # the usual case: the window brings no new bin
        share = np.zeros(len(reference.values))
        share[found] = current.counts / current.rows
        return reference.values, reference.counts / reference.rows, share
    places = np.union1d(reference.values, current.values)
    shares = []
    for side in (reference, current):
        share = np.zeros(len(places))
        share[np.searchsorted(places, side.values)] = side.counts / side.rows
        shares.append(share)
    return places, shares[0], shares[1]


def kolmogorov_smirnov(reference: Binned, current: Binned) -> float:
    """
    Largest gap between the two cumulative distributions, 0 to 1; nan when a side is empty.

    >>> kolmogorov_smirnov(Binned.of([1, 2], [5, 5]), Binned.of([1, 2], [9, 1]))
    0.4
    """
    return cumulative_gaps(reference, current)[0]


def kolmogorov_p_value(statistic: float, reference_rows: float, current_rows: float) -> float:
    """Chance of a larger KS statistic if both sides were rows of one distribution (asymptotic; rows independent)."""
    if not reference_rows or not current_rows or np.isnan(statistic):
        return 1.0
    return kolmogorov_sf(statistic * float(np.sqrt(reference_rows * current_rows / (reference_rows + current_rows))))


def wasserstein(reference: Binned, current: Binned) -> float:
    """
    Area between the two cumulative distributions, in the column's unit; nan when a side is empty.

    >>> round(wasserstein(Binned.of([0, 1], [5, 5]), Binned.of([2, 3], [5, 5])), 6)
    2.0
    """
    return cumulative_gaps(reference, current)[1]


def cumulative_gaps(reference: Binned, current: Binned) -> tuple[float, float]:
    """Both the KS statistic and the Wasserstein distance, in one go."""
    if not reference.rows or not current.rows:
        return float("nan"), float("nan")
    places, left, right = _aligned(reference, current)
    gaps = np.abs(np.cumsum(left - right))
    return float(np.clip(gaps.max(), 0, 1)), float(gaps[:-1] @ np.diff(places))


def population_stability_index(reference: Sequence[float] | Floats, current: Sequence[float] | Floats) -> float:
    """
    PSI over the same groups on both sides, in nats; half a row is added to each group so that empty ones count.

    >>> round(population_stability_index([50, 50], [90, 10]), 3)
    0.853
    """
    left, right = np.asarray(reference, float) + 0.5, np.asarray(current, float) + 0.5
    left, right = left / left.sum(), right / right.sum()
    return float(np.sum((right - left) * np.log(right / left)))


def jensen_shannon(reference: Sequence[float] | Floats, current: Sequence[float] | Floats) -> float:
    """
    Jensen-Shannon distance with base 2, 0 to 1 (the square root of the divergence); nan when a side is empty.

    >>> round(jensen_shannon([1, 0], [0, 1]), 6)
    1.0
    """
    left, right = np.asarray(reference, float), np.asarray(current, float)
    if not left.sum() or not right.sum():
        return float("nan")
    left, right = left / left.sum(), right / right.sum()
    middle = (left + right) / 2
    divergence = 0.0
    for side in (left, right):
        held = side > 0
        divergence += float(np.sum(side[held] * np.log2(side[held] / middle[held]))) / 2
    return float(np.sqrt(np.clip(divergence, 0, 1)))


def total_variation(reference: Sequence[float] | Floats, current: Sequence[float] | Floats) -> float:
    """Share of rows that would have to change group to make both sides equal, 0 to 1; nan when a side is empty."""
    left, right = np.asarray(reference, float), np.asarray(current, float)
    if not left.sum() or not right.sum():
        return float("nan")
    return float(np.abs(left / left.sum() - right / right.sum()).sum() / 2)


def chi_square(reference: Sequence[float] | Floats, current: Sequence[float] | Floats) -> tuple[float, int, float]:
    """
    Two-sample chi-square test of homogeneity: statistic, degrees of freedom, p-value.

    The reference is a sample as well: taking its shares for truth (a one-sample test) raises false alarms.

    >>> statistic, df, p = chi_square([50, 50], [60, 40])
    >>> round(statistic, 4), df, round(p, 4)
    (2.0202, 1, 0.1552)
    """
    table = np.array([reference, current], float)
    table = table[:, table.sum(axis=0) > 0]
    rows = table.sum(axis=1)
    if table.shape[1] < 2 or not rows.all():
        return 0.0, 0, 1.0
    expected = np.outer(rows, table.sum(axis=0)) / table.sum()
    statistic = float(np.sum((table - expected) ** 2 / expected))
    df = table.shape[1] - 1
    return statistic, df, chi2_sf(statistic, df)


def cramers_v(reference: Sequence[float] | Floats, current: Sequence[float] | Floats) -> float:
    """
    Strength of the association between side and group, 0 to 1, whatever the rows (two sides: phi).

    >>> round(cramers_v([50, 50], [60, 40]), 4)
    0.1005
    """
    total = float(np.sum(reference) + np.sum(current))
    statistic, _, _ = chi_square(reference, current)
    return float(np.sqrt(statistic / total)) if total else 0.0


def benjamini_hochberg(p_values: Sequence[float] | Floats, shares: Sequence[float] | Floats | None = None) -> Floats:
    """
    p-values adjusted so that calling those below q gives at most a share q of false ones (Benjamini-Hochberg 1995).

    `shares` of the budget, where they aren't equal (Genovese, Roeder and Wasserman 2006); none at all gives ones.

    >>> benjamini_hochberg([0.01, 0.02, 0.03, 0.5]).round(3)
    array([0.04, 0.04, 0.04, 0.5 ])
    >>> benjamini_hochberg([0.01, 0.02], shares=[0.5, 1.5]).round(3)
    array([0.02, 0.02])
    """
    p = np.asarray(p_values, float)
    if shares is not None:
        share = np.asarray(shares, float)
        if not share.any():
            return np.ones_like(p)
        p = np.where(share > 0, np.minimum(p * share.mean() / np.where(share > 0, share, 1), 1.0), 1.0)
    order = np.argsort(-p)
    ranks = np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(p[order] * len(p) / ranks)) if len(p) else p
    return adjusted


def aligned_categories(
    reference: Mapping[str, float], current: Mapping[str, float]
) -> tuple[list[str], Floats, Floats]:
    """The categories of both sides and each side's rows in them."""
    names = sorted(set(reference) | set(current))
    left = np.array([reference.get(name, 0) for name in names], float)
    right = np.array([current.get(name, 0) for name in names], float)
    return names, left, right
