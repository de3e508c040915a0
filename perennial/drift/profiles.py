"""
The columns of stored profiles, brought to where two of them can be compared bin by bin.

Numbers and lengths of texts become bins, categories, booleans and the words of texts become categories, timestamps
become the hour of the day. A text column gives two: its length under its own name, its words under `name (words)`.
A pair of columns (`[data] pairs`) gives one more, `a x b`: which cells of their cross table rows fall into.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from perennial.drift.distances import Binned
from perennial.drift.places import Resolution
from perennial.drift.policy import PAIR, WORDS
from perennial.drift.scores import CategoryCounts, ColumnCounts, NumberCounts
from perennial.profile.categories import CategoryCounts as ProfiledCategories
from perennial.profile.columns import ColumnProfile
from perennial.profile.histogram import Histogram
from perennial.profile.model import Profile

__all__ = ["columns_of", "common_resolution", "resolution_of"]


def common_resolution(profiles: Sequence[Profile]) -> Resolution:
    """The finest resolution that all of `profiles` have, column by column."""
    levels: dict[str, int] = {}
    thresholds: dict[str, int] = {}
    for profile in profiles:
        for name, column in profile.columns.items():
            if column.bins is not None:
                levels[name] = min(levels.get(name, column.bins.level), column.bins.level)
            counts = column.text.tokens if column.text is not None else column.categories
            if counts is not None:
                thresholds[name] = min(thresholds.get(name, counts.threshold), counts.threshold)
    return Resolution(levels, thresholds)


def resolution_of(profile: Profile, within: Resolution) -> Resolution:
    """What a profile's columns get at most: its own resolution, or a coarser one that is asked for."""
    own = common_resolution([profile])
    return Resolution(
        {name: min(level, within.levels.get(name, level)) for name, level in own.levels.items()},
        {name: min(limit, within.thresholds.get(name, limit)) for name, limit in own.thresholds.items()},
    )


def columns_of(
    profile: Profile, resolution: Resolution, leave_out: frozenset[str] = frozenset()
) -> dict[str, ColumnCounts]:
    """The comparable columns of a profile, at the given resolution where that is coarser than the profile's own."""
    columns: dict[str, ColumnCounts] = {}
    for name, column in profile.columns.items():
        if name in leave_out:
            continue
        if column.bins is not None:
            columns[name] = _numbers(column, column.bins, resolution.levels.get(name, column.bins.level))
        if column.categories is not None:
            columns[name] = _categories(column.categories, resolution.thresholds.get(name), column.null_count)
        if column.text is not None:
            columns[name + WORDS] = _categories(column.text.tokens, resolution.thresholds.get(name), 0)
        if column.hours_of_week is not None:
            hours = np.asarray(column.hours_of_week).reshape(7, 24).sum(axis=0)
            counts = {f"{hour:02d}:00": float(count) for hour, count in enumerate(hours.tolist()) if count}
            columns[name] = CategoryCounts(counts, 0.0, float(column.null_count))
    for pair, cells in profile.pairs.items():
        name = PAIR.join(pair)
        if name not in leave_out and leave_out.isdisjoint(pair):
            columns[name] = _crossed(cells)
    return columns


def _crossed(cells: NDArray[np.int64]) -> CategoryCounts:
    """Cells of a cross table as categories named by their parts, the last part of each column being its nulls."""
    parts = [str(part + 1) for part in range(len(cells) - 1)] + ["null"]
    counts = {
        f"part {parts[row]} with {parts[column]}": float(cells[row, column])
        for row, column in zip(*np.nonzero(cells), strict=True)
    }
    return CategoryCounts(counts, 0.0, 0.0)


def _numbers(column: ColumnProfile, bins: Histogram, level: int) -> NumberCounts:
    coarse = bins.at_level(level)
    return NumberCounts(Binned(coarse.values, coarse.counts.astype(float)), float(column.null_count))


def _categories(counts: ProfiledCategories, threshold: int | None, nulls: int) -> CategoryCounts:
    if threshold is not None and threshold < counts.threshold:
        counts = counts.below(threshold)
    return CategoryCounts(counts.counts, float(counts.remainder.sum()), float(nulls))
