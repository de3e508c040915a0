"""What a plot of a drifted column shows: rows of the reference and of the window, group by group."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from perennial.drift.distances import Binned
from perennial.drift.profiles import columns_of, common_resolution
from perennial.drift.scores import CategoryCounts, CategoryScorer, NumberCounts, NumberScorer, build_scorer
from perennial.profile.model import Profile

__all__ = ["GroupShares", "compare_shares"]


@dataclass(frozen=True, slots=True)
class GroupShares:
    """Shares of rows that have a value, 0 to 1, on both sides; `labels` name the groups from low to high."""

    labels: tuple[str, ...]
    reference: tuple[float, ...]
    window: tuple[float, ...]


def compare_shares(reference: Profile, window: Profile, column: str) -> GroupShares:
    """
    One column's shares on both sides: numbers in about ten groups of equal reference rows, categories one by one.

    `column` is a name as in a drift report's columns; KeyError when the profiles don't have it.
    """
    resolution = common_resolution([reference, window])
    old, new = (columns_of(profile, resolution)[column] for profile in (reference, window))
    scorer = build_scorer(old)
    if isinstance(scorer, NumberScorer) and isinstance(old, NumberCounts) and isinstance(new, NumberCounts):
        left, right = (scorer.coarsen(scorer.groups(side.binned)) for side in (old, new))
        labels = _ranges(old.binned, scorer)
    else:
        assert isinstance(scorer, CategoryScorer)
        assert isinstance(old, CategoryCounts)
        assert isinstance(new, CategoryCounts)
        left, right = scorer.groups(old), scorer.groups(new)
        labels = (*scorer.followed, "others")
    return GroupShares(labels, *(tuple((side / max(side.sum(), 1)).tolist()) for side in (left, right)))


def _ranges(reference: Binned, scorer: NumberScorer) -> tuple[str, ...]:
    """Bounds of the coarse groups, the outer two open."""
    starts = np.flatnonzero(np.diff(scorer.coarse)) if len(reference.values) else np.empty(0, int)
    bounds = [f"{scorer.bounds[place]:.4g}" for place in starts]
    if not bounds:
        return ("all",)
    inner = [f"{low} to {high}" for low, high in pairwise(bounds)]
    return (f"below {bounds[0]}", *inner, f"{bounds[-1]} and above")
