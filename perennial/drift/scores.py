"""
A batch's column in a few numbers whose sampling variance is one over the rows: what the calibration works on.

Numeric columns are read through the reference's own distribution: a value counts as the normal score of its rank
in the reference, so a heavy tail or a wild unit doesn't dominate, and nothing is lost when the column is normal.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from perennial.drift.distances import Binned
from perennial.drift.tails import normal_quantile

__all__ = [
    "CategoryCounts",
    "CategoryScorer",
    "ColumnCounts",
    "NumberCounts",
    "NumberScorer",
    "Scorer",
    "Scores",
    "build_scorer",
    "share_score",
]

Floats = NDArray[np.float64]
Scores = dict[str, Floats]
"""Scores by aspect: location, scale, shape, shares, nulls, novelty."""

FINE_GROUPS = 64
COARSE_GROUPS = 10
FARTHEST = 4.0
"""Normal score of what lies outside of all that the reference has seen."""
OTHERS = "\x00others"


@dataclass(frozen=True, slots=True, eq=False)
class NumberCounts:
    """A numeric (or time, or text-length) column of a batch: its bins and how many rows have no value."""

    binned: Binned
    nulls: float

    @property
    def rows(self) -> float:
        """Rows with and without a value."""
        return self.binned.rows + self.nulls


@dataclass(frozen=True, slots=True, eq=False)
class CategoryCounts:
    """A categorical column of a batch: rows of each category, of those too rare to be listed, and of none."""

    counts: Mapping[str, float]
    unlisted: float
    nulls: float

    @property
    def rows(self) -> float:
        """Rows with and without a category."""
        return float(sum(self.counts.values())) + self.unlisted + self.nulls


def share_score(part: float, whole: float) -> float:
    """
    Twice the arc sine of the root of a share: its sampling variance is one over `whole`, whatever the share.

    >>> round(share_score(50, 100), 3)
    1.571
    """
    return 2 * float(np.arcsin(np.sqrt(np.clip(part / whole, 0, 1)))) if whole else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class NumberScorer:
    """
    Reads batches of a numeric column through the reference: bounds between groups, and each group's score.

    `shapes`: orthonormal directions (rows) of the coarse groups' roots that location and scale don't move. `filled`:
    root of the reference's share of rows with a value, so that scores vary as if every row had one.
    """

    bounds: Floats
    marks: Floats
    coarse: NDArray[np.int64]
    location_scale: float
    scale_scale: float
    shapes: Floats
    filled: float = 1.0

    def groups(self, binned: Binned) -> Floats:
        """Rows in each fine group."""
        below = np.concatenate([[0.0], np.cumsum(binned.counts)])
        edges = np.concatenate([[0.0], below[np.searchsorted(binned.values, self.bounds)], below[-1:]])
        return np.asarray(edges[1:] - edges[:-1])

    def location(self, groups: Floats) -> float:
        """Mean normal score of rows in the fine groups; 0 without rows."""
        return float(groups @ self.marks / max(groups.sum(), 1))

    def coarsen(self, groups: Floats) -> Floats:
        """Rows in each of about ten groups of equal reference rows, from those in the fine groups."""
        return np.bincount(self.coarse, weights=groups).astype(float)

    def score(self, column: NumberCounts) -> Scores:
        """Location, scale and shape as far as the column has them, and nulls; nan where there are no values."""
        scores: Scores = {"nulls": np.array([share_score(column.nulls, column.rows)])}
        rows = column.binned.rows
        shares = self.groups(column.binned) / rows if rows else np.full(len(self.marks), np.nan)
        location = float(shares @ self.marks)
        scores["location"] = np.array([location * self.filled / self.location_scale])
        if self.scale_scale:
            variance = float(shares @ self.marks**2) - location**2
            floored = np.log(np.maximum(variance, 1e-6))
            scores["scale"] = np.array([floored * self.filled / self.scale_scale])
        if len(self.shapes):
            scores["shape"] = self.shapes @ (2 * np.sqrt(self.coarsen(shares))) * self.filled
        return scores


@dataclass(frozen=True, slots=True)
class CategoryScorer:
    """Reads batches of a categorical column: the categories that are followed one by one."""

    followed: tuple[str, ...]
    filled: float = 1.0

    def groups(self, column: CategoryCounts) -> Floats:
        """Rows of each followed category, then of all others."""
        followed = np.array([column.counts.get(name, 0.0) for name in self.followed])
        rest = float(sum(column.counts.values())) + column.unlisted - followed.sum()
        return np.append(followed, max(rest, 0.0))

    def score(self, column: CategoryCounts) -> Scores:
        """Shares of categories, and nulls."""
        groups = self.groups(column)
        total = groups.sum()
        shares = groups / total if total else np.full(len(groups), np.nan)
        return {
            "shares": 2 * np.sqrt(shares) * self.filled,
            "nulls": np.array([share_score(column.nulls, column.rows)]),
        }


ColumnCounts = NumberCounts | CategoryCounts
Scorer = NumberScorer | CategoryScorer


def build_scorer(reference: ColumnCounts) -> Scorer:
    """The scorer that reads a column's batches through its reference."""
    filled = float(np.sqrt(1 - reference.nulls / reference.rows)) if reference.rows else 1.0
    if isinstance(reference, CategoryCounts):
        return replace(_category_scorer(reference), filled=filled)
    return replace(_number_scorer(reference.binned), filled=filled)


def _category_scorer(reference: CategoryCounts, most: int = 30, least_share: float = 0.002) -> CategoryScorer:
    total = sum(reference.counts.values()) + reference.unlisted
    ranked = sorted(reference.counts.items(), key=lambda item: (-item[1], item[0]))
    return CategoryScorer(tuple(name for name, count in ranked[:most] if count >= least_share * total))


def _number_scorer(reference: Binned) -> NumberScorer:
    if not len(reference.values):
        return NumberScorer(np.array([0.0]), np.array([-1.0, 1.0]), np.array([0, 1]), 1.0, 0.0, np.empty((0, 2)))
    owner = _equal_groups(reference.counts, FINE_GROUPS)
    shares = np.bincount(owner, weights=reference.counts) / reference.rows
    last = np.flatnonzero(np.diff(owner))
    between = (reference.values[last] + reference.values[last + 1]) / 2
    lowest, highest = reference.values[0], reference.values[-1]
    bounds = np.concatenate([[np.nextafter(lowest, -np.inf)], between, [np.nextafter(highest, np.inf)]])
    ranks = np.cumsum(shares) - shares / 2
    marks = np.concatenate([[-FARTHEST], normal_quantile(np.clip(ranks, 1e-6, 1 - 1e-6)), [FARTHEST]])
    middle = float(shares @ marks[1:-1])
    centred = marks[1:-1] - middle
    variance = float(shares @ centred**2)
    kurtosis = float(shares @ centred**4) / variance**2 if variance > 1e-9 else 1.0
    coarse = _equal_groups(shares, COARSE_GROUPS)
    return NumberScorer(
        bounds=bounds,
        marks=marks,
        coarse=np.concatenate([[coarse[0]], coarse, [coarse[-1]]]),
        location_scale=float(np.sqrt(max(variance, 0.05))),
        scale_scale=float(np.sqrt(max(kurtosis - 1, 0.2))) if len(shares) > 2 else 0.0,
        shapes=_shapes(shares, centred, coarse),
    )


def _shapes(shares: Floats, marks: Floats, coarse: NDArray[np.int64]) -> Floats:
    """
    Directions in which the roots of the coarse groups' shares move with neither location, scale nor their sum.

    What location does to the groups is told by its own score, and varies with it from batch to batch.
    """
    roots = np.sqrt(np.bincount(coarse, weights=shares))
    moved = [np.bincount(coarse, weights=shares * marks**power) / roots for power in range(3)]
    basis, sizes, _ = np.linalg.svd(np.column_stack(moved))
    return np.ascontiguousarray(basis[:, int(np.sum(sizes > 1e-6)) :].T)


def _equal_groups(counts: Floats, most: int) -> NDArray[np.int64]:
    """Group of each bin, ascending from 0 without gaps, so that groups hold about equal counts."""
    total = counts.sum()
    middles = (np.cumsum(counts) - counts / 2) / total
    wanted = np.minimum((middles * most).astype(np.int64), most - 1)
    return np.concatenate([[0], np.cumsum(np.diff(wanted) > 0)]).astype(np.int64)
