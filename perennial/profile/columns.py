"""What a profile knows of one column, and of one pair of columns."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.contract import ColumnType
from perennial.errors import ProfileMismatch
from perennial.profile.categories import CategoryCounts
from perennial.profile.distinct import DistinctBuilder, DistinctSketch
from perennial.profile.hashing import hash_numbers
from perennial.profile.histogram import Histogram
from perennial.profile.moments import Moments

__all__ = ["FIRST_TIME", "LAST_TIME", "PAIR_CELLS", "ColumnProfile", "TextSummary", "to_datetime"]

Ints = NDArray[np.int64]

#: A pair of columns is counted on a square of this many cells a side; the last is for null.
PAIR_CELLS = 9
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Microseconds since 1970 of the first and the last time that a datetime can hold.
FIRST_TIME = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
LAST_TIME = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)


def to_datetime(microseconds: int) -> datetime:
    """Aware UTC time of microseconds since 1970; the nearest there is for times beyond the years 1 to 9999."""
    return _EPOCH + timedelta(microseconds=min(max(microseconds, FIRST_TIME), LAST_TIME))


@dataclass(frozen=True, eq=False)
class TextSummary:
    """Lengths in characters and in tokens, and counts of lower-cased, space-separated tokens."""

    characters: Moments
    tokens_per_text: Moments
    tokens: CategoryCounts

    def merge(self, other: TextSummary) -> TextSummary:
        """The summary of both sets of rows."""
        return TextSummary(
            self.characters.merge(other.characters),
            self.tokens_per_text.merge(other.tokens_per_text),
            self.tokens.merge(other.tokens),
        )

    def out_of_vocabulary_share(self, reference: TextSummary) -> float:
        """
        Share of this text's tokens that the reference never saw; nan without tokens.

        Estimated on the tokens of lowest hash that both keep: exact while the vocabularies have at most 1,024 words.
        """
        threshold = min(self.tokens.threshold, reference.tokens.threshold)
        own, known = self.tokens.below(threshold).counts, reference.tokens.below(threshold).counts
        total = sum(own.values())
        return sum(n for token, n in own.items() if token not in known) / total if total else math.nan


@dataclass(frozen=True, eq=False)
class ColumnProfile:
    """
    One column's summary: `count` values and `null_count` nulls; which parts it has depends on `kind`.

    number, integer: `bins` and `moments` · category, boolean: `categories` · text: `text` and `bins` of lengths in
    characters · timestamp: `hours_of_week`, 168 counts that begin on Monday at 00:00 UTC. `distinct` is there where
    the other parts don't hold every distinct value already. `minimum` and `maximum` are numbers, or microseconds
    since 1970 for timestamps, or characters of a text.
    """

    name: str
    kind: ColumnType
    count: int
    null_count: int
    minimum: float | int | None = None
    maximum: float | int | None = None
    moments: Moments | None = None
    bins: Histogram | None = None
    categories: CategoryCounts | None = None
    text: TextSummary | None = None
    hours_of_week: Ints | None = None
    distinct: DistinctSketch | None = None

    @property
    def rows(self) -> int:
        """Values and nulls."""
        return self.count + self.null_count

    @property
    def null_rate(self) -> float:
        """Share of nulls; nan without rows."""
        return self.null_count / self.rows if self.rows else math.nan

    @property
    def mean(self) -> float:
        """Mean of a numeric column (of a text's length in characters); nan otherwise."""
        return self._moments.mean if self._moments else math.nan

    @property
    def variance(self) -> float:
        """Sample variance; nan where there is no mean."""
        return self._moments.variance if self._moments else math.nan

    @property
    def std(self) -> float:
        """Sample standard deviation; nan where there is no mean."""
        return self._moments.std if self._moments else math.nan

    @property
    def histogram(self) -> tuple[NDArray[np.float64], Ints]:
        """`(edges ascending, counts)`; both empty where the kind has no histogram."""
        if self.bins is None:
            return np.empty(0), np.empty(0, np.int64)
        return self.bins.bins

    @property
    def category_counts(self) -> dict[str, int]:
        """Exact counts by value (booleans as "false" and "true"); empty for other kinds."""
        return dict(self.categories.counts) if self.categories else {}

    @property
    def first_at(self) -> datetime | None:
        """Earliest timestamp."""
        return to_datetime(int(self.minimum)) if self.kind == "timestamp" and self.minimum is not None else None

    @property
    def last_at(self) -> datetime | None:
        """Latest timestamp."""
        return to_datetime(int(self.maximum)) if self.kind == "timestamp" and self.maximum is not None else None

    @property
    def distinct_estimate(self) -> float:
        """Distinct values: exact where all are known, else within a few per cent."""
        if self.categories is not None:
            return self.categories.distinct_estimate
        if self.distinct is None and self.bins is not None:
            return float(len(self.bins.keys))
        return self.distinct.estimate if self.distinct is not None else math.nan

    def merge(self, other: ColumnProfile) -> ColumnProfile:
        """
        The profile of both sets of rows.

        Raises
        ------
        ProfileMismatch
            Another column, kind or grid.
        """
        if (self.name, self.kind) != (other.name, other.kind):
            raise ProfileMismatch(
                f"column profiles must be of one column. Got {self.name} ({self.kind}) and {other.name} ({other.kind})"
            )
        parts = ("moments", "bins", "categories", "text")
        merged: dict[str, Any] = {p: getattr(self, p) and getattr(self, p).merge(getattr(other, p)) for p in parts}
        one, two = self._sketch, other._sketch
        if one is not None and two is not None and not (merged["moments"] and merged["bins"].is_exact):
            merged["distinct"] = one.merge(two)
        hours = self.hours_of_week
        if hours is not None and other.hours_of_week is not None:
            hours = hours + other.hours_of_week
        return replace(
            self,
            count=self.count + other.count,
            null_count=self.null_count + other.null_count,
            minimum=_extreme(min, self.minimum, other.minimum),
            maximum=_extreme(max, self.maximum, other.maximum),
            hours_of_week=hours,
            **merged,
        )

    @property
    def _sketch(self) -> DistinctSketch | None:
        """The sketch of distinct values, made from the bins while these are exact."""
        if self.distinct is None and self.bins is not None:
            builder = DistinctBuilder()
            builder.add(hash_numbers(np.ascontiguousarray(self.bins.on_grid)))
            return builder.build()
        return self.distinct

    @property
    def _moments(self) -> Moments | None:
        return self.text.characters if self.text else self.moments


def _extreme(choose: Any, one: float | int | None, two: float | int | None) -> float | int | None:
    present = [v for v in (one, two) if v is not None]
    return choose(present) if present else None
