"""What a plot of a column shows: rows of the reference and of the window, group by group."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from perennial.drift.distances import Binned
from perennial.drift.profiles import columns_of, common_resolution
from perennial.drift.scores import CategoryCounts, CategoryScorer, NumberCounts, build_scorer
from perennial.profile.model import Profile

__all__ = ["GroupShares", "compare_shares"]

Floats = NDArray[np.float64]

MOST_GROUPS = 24
OUTSIDE = 0.005
"""Share of either side's rows that the outermost groups of numbers may swallow at each end."""


@dataclass(frozen=True, slots=True)
class GroupShares:
    """
    Shares of rows that have a value, 0 to 1, on both sides.

    `labels` name the groups: ranges or values of numbers from low to high, or categories from frequent to rare.
    """

    kind: Literal["number", "category"]
    labels: tuple[str, ...]
    reference: tuple[float, ...]
    window: tuple[float, ...]


def compare_shares(reference: Profile, window: Profile, column: str) -> GroupShares:
    """
    One column's shares on both sides: numbers in ranges of equal width (the outer two open), categories one by one.

    `column` is a name as in a drift report's columns; KeyError when the profiles don't have it.
    """
    resolution = common_resolution([reference, window])
    old, new = (columns_of(profile, resolution)[column] for profile in (reference, window))
    if isinstance(old, NumberCounts) and isinstance(new, NumberCounts):
        return _numbers(old.binned, new.binned)
    scorer = build_scorer(old)
    assert isinstance(scorer, CategoryScorer)
    assert isinstance(old, CategoryCounts)
    assert isinstance(new, CategoryCounts)
    return GroupShares(
        "category", (*scorer.followed, "others"), _shares(scorer.groups(old)), _shares(scorer.groups(new))
    )


def _shares(counts: NDArray[Any]) -> tuple[float, ...]:
    return tuple((counts / max(float(counts.sum()), 1.0)).tolist())


def _numbers(old: Binned, new: Binned) -> GroupShares:
    """Each value by itself where there are few, else ranges between what nearly all rows of both sides lie in."""
    places = np.union1d(old.values, new.values)
    if len(places) <= MOST_GROUPS:
        counts = [np.bincount(np.searchsorted(places, s.values), s.counts, len(places)) for s in (old, new)]
        return GroupShares("number", tuple(f"{place:.4g}" for place in places), *(_shares(side) for side in counts))
    ends = [_middle(side) for side in (old, new) if len(side.values)]
    low, high = min(end[0] for end in ends), max(end[1] for end in ends)
    if low == high:  # nearly all rows have one value
        low, high = places[0], places[-1]
    bounds = np.linspace(low, high, min(MOST_GROUPS, len(places) // 2) - 1)
    counts = [np.bincount(np.searchsorted(bounds, s.values, "right"), s.counts, len(bounds) + 1) for s in (old, new)]
    named = [f"{bound:.4g}" for bound in bounds]
    inner = [f"{left} to {right}" for left, right in pairwise(named)]
    return GroupShares(
        "number", (f"below {named[0]}", *inner, f"{named[-1]} and above"), *(_shares(side) for side in counts)
    )


def _middle(side: Binned) -> tuple[float, float]:
    """The values between which all but the outermost rows lie."""
    below = np.cumsum(side.counts) / side.rows
    low, high = np.searchsorted(below, [OUTSIDE, 1 - OUTSIDE])
    return float(side.values[low]), float(side.values[min(high, len(side.values) - 1)])
