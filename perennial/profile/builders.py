"""One builder per kind of column: blocks of Arrow values in, a `ColumnProfile` out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from perennial.contract import Column, Grid
from perennial.profile.arrays import from_numbers, from_texts, numbers_of, one_text, present_numbers
from perennial.profile.categories import CategoryBuilder
from perennial.profile.columns import ColumnProfile, TextSummary
from perennial.profile.distinct import DistinctBuilder
from perennial.profile.hashing import hash_column, hash_numbers, hash_text
from perennial.profile.histogram import LARGEST, SMALLEST, HistogramBuilder
from perennial.profile.moments import MomentBuilder

__all__ = ["BLOCK_ROWS", "ColumnBuilder", "IdentityBuilder", "Scratch", "Seen", "column_builder"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Rows in a block: its scratch arrays stay in a core's cache, and numpy's overhead per call stays small.
BLOCK_ROWS = 1 << 15
#: Rows of a column's first blocks, which only show at which level its bins lie.
FIRST_ROWS = 1 << 12
_HOUR = 3_600_000_000
_WIDEST = 2**62
#: A centre this many scales from 0 leaves no value that is not 0 nearer to it than `SMALLEST`.
_CLEAR_CENTER = 2.0**-40


class Scratch:
    """Arrays that every column of a profile reuses: allocating them per block costs more than the arithmetic."""

    def __init__(self) -> None:
        self.z, self.work = np.empty(BLOCK_ROWS), np.empty(BLOCK_ROWS)
        self.bits, self.short = self.work.view(np.uint64), np.empty(BLOCK_ROWS, np.float32)
        self.below = np.empty(BLOCK_ROWS, np.bool_)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look at a numeric column has shown: its values without nulls, all finite, the least and the greatest."""

    numbers: NDArray[Any]
    least: float | int
    greatest: float | int


class ColumnBuilder(Protocol):
    """What all builders offer."""

    def add(self, values: Any, seen: Seen | None = None) -> None:
        """Take an Arrow array of the column's type, and what is known of it already."""

    def build(self) -> ColumnProfile:
        """The profile of all that was added."""


def column_builder(name: str, column: Column, scratch: Scratch, *, identifies: bool = False) -> ColumnBuilder:
    """The builder of a column's kind; a column that `identifies` rows gets counts only."""
    if identifies or (column.type == "text" and column.drift is False):
        return IdentityBuilder(name, column)
    if column.is_numeric:
        return _NumberBuilder(name, column, scratch)
    kinds: dict[str, Callable[[str, Column], ColumnBuilder]] = {
        "category": _CategoryBuilder,
        "boolean": _BooleanBuilder,
        "timestamp": _TimeBuilder,
        "text": _TextBuilder,
    }
    return kinds[column.type](name, column)


class _NumberBuilder:
    def __init__(self, name: str, column: Column, scratch: Scratch) -> None:
        self._name, self._column, self._scratch = name, column, scratch
        grid = column.grid
        self._center, self._inverse = grid.center, 1.0 / grid.scale
        self._whole = round(min(max(grid.center, -_WIDEST), _WIDEST))
        self._rest = grid.center - self._whole
        self._may_be_tiny = abs(grid.center) < _CLEAR_CENTER * grid.scale
        self._bins, self._moments = HistogramBuilder(grid), MomentBuilder(grid)
        self._distinct: DistinctBuilder | None = None
        self._nulls = self._count = 0
        self._is_wide = False
        self._low: float | int | None = None
        self._high: float | int | None = None

    def add(self, values: Any, seen: Seen | None = None) -> None:
        self._nulls += values.null_count
        x = seen.numbers if seen else present_numbers(values)
        if not len(x):
            return
        low, high = (seen.least, seen.greatest) if seen else (x.min().item(), x.max().item())
        if not (math.isfinite(low) and math.isfinite(high)):
            finite = x[np.isfinite(x)]
            self._nulls += len(x) - len(finite)
            self.add(from_numbers(finite))
            return
        self._count += len(x)
        self._note(low, high)
        ends = np.array([low, high], x.dtype)
        with np.errstate(over="ignore", under="ignore"):
            largest = float(np.abs(self._on_grid(ends, np.empty(2))).max())
            at = 0
            while at < len(x):
                block = x[at : at + (BLOCK_ROWS if self._bins.is_settled else FIRST_ROWS)]
                self._add_block(block, largest)
                at += len(block)

    def build(self) -> ColumnProfile:
        return ColumnProfile(
            name=self._name,
            kind=self._column.type,
            count=self._count,
            null_count=self._nulls,
            minimum=self._low,
            maximum=self._high,
            moments=self._moments.build(),
            bins=self._bins.build(),
            distinct=self._distinct.build() if self._distinct else None,
        )

    def _add_block(self, x: NDArray[Any], largest: float) -> None:
        """Everything that is made of z."""
        scratch, n = self._scratch, len(x)
        bits = scratch.bits[:n]
        z = self._on_grid(x, scratch.z[:n])
        if self._may_be_tiny or largest >= LARGEST:
            z = self._cleared(z, largest)
        self._bins.add_z(z, bits, scratch.short[:n])
        if not self._bins.is_exact:
            self._count_distinct(z, bits, scratch.below[:n])
        self._moments.add_z(z, largest, scratch.work)

    def _cleared(self, z: Floats, largest: float) -> Floats:
        """Values as they are counted (see `HistogramBuilder.sanitised`); most blocks need no change."""
        size = np.abs(z, out=self._scratch.work[: len(z)])
        if largest < LARGEST:
            if size.min() >= SMALLEST:
                return z
            z += 0.0  # makes 0.0 of -0.0
            tiny = np.less(size, SMALLEST, out=self._scratch.below[: len(z)])
            if not size[tiny].any():
                return z
        return self._bins.sanitised(z)

    def _note(self, low: float | int, high: float | int) -> None:
        # Adding 0 makes -0.0 into 0.0: which of the two comes first must not matter.
        self._low = low + 0 if self._low is None else min(self._low, low + 0)
        self._high = high + 0 if self._high is None else max(self._high, high + 0)
        self._is_wide = self._low < -_WIDEST or self._high > _WIDEST

    def _on_grid(self, x: NDArray[Any], z: Floats) -> Floats:
        if x.dtype.kind == "f":
            np.subtract(x, self._center, out=z)
            return np.multiply(z, self._inverse, out=z)
        # Whole numbers lose nothing to a large centre: it is taken off before they become floats.
        whole = x.astype(np.int64, copy=False)
        if self._is_wide:
            whole = np.clip(whole, -_WIDEST, _WIDEST)
        apart = np.subtract(whole, self._whole, out=self._scratch.work[: len(z)].view(np.int64))
        np.copyto(z, apart, casting="unsafe")
        if self._rest:
            z -= self._rest
        return np.multiply(z, self._inverse, out=z)

    def _count_distinct(self, z: Floats, bits: NDArray[np.uint64], below: NDArray[np.bool_]) -> None:
        """A sketch is needed only once the histogram no longer holds every value."""
        if self._distinct is None:
            self._distinct = DistinctBuilder()
            self._distinct.add(hash_numbers(self._bins.exact_values))
        self._distinct.add(hash_numbers(z, bits), below)


class _CategoryBuilder:
    def __init__(self, name: str, column: Column) -> None:
        self._name, self._column = name, column
        self._counts = CategoryBuilder()
        # Blocks of one Parquet row group share their dictionary: its values become Python objects once.
        self._dictionary: Any = None
        self._numbers: Ints = np.empty(0, np.int64)
        self._nulls = self._count = 0

    def add(self, values: Any, seen: Seen | None = None) -> None:
        encoded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
        nulls = encoded.indices.null_count
        index = present_numbers(encoded.indices)
        self._nulls += nulls
        self._count += len(index)
        numbers = np.bincount(index, minlength=len(encoded.dictionary))
        if self._dictionary is not None and self._dictionary.equals(encoded.dictionary):
            self._numbers += numbers
        else:
            self._flush()
            self._dictionary, self._numbers = encoded.dictionary, numbers

    def build(self) -> ColumnProfile:
        self._flush()
        counts = self._counts.build()
        return ColumnProfile(self._name, self._column.type, self._count, self._nulls, categories=counts)

    def _flush(self) -> None:
        if self._dictionary is not None:
            self._counts.add(self._dictionary, self._numbers)
            self._dictionary = None


class _BooleanBuilder:
    def __init__(self, name: str, column: Column) -> None:
        self._name = name
        self._true = self._false = self._nulls = 0

    def add(self, values: Any, seen: Seen | None = None) -> None:
        true = values.true_count
        self._true += true
        self._nulls += values.null_count
        self._false += len(values) - values.null_count - true

    def build(self) -> ColumnProfile:
        counts = CategoryBuilder()
        counts.add(from_texts(["false", "true"]), np.array([self._false, self._true], np.int64))
        return ColumnProfile(self._name, "boolean", self._true + self._false, self._nulls, categories=counts.build())


class _TimeBuilder:
    def __init__(self, name: str, column: Column) -> None:
        self._name = name
        self._hours = np.zeros(168, np.int64)
        self._nulls = self._count = 0
        self._low: int | None = None
        self._high: int | None = None

    def add(self, values: Any, seen: Seen | None = None) -> None:
        self._nulls += values.null_count
        at = seen.numbers if seen else present_numbers(values)
        if not len(at):
            return
        self._count += len(at)
        low, high = (int(seen.least), int(seen.greatest)) if seen else (int(at.min()), int(at.max()))
        self._low = low if self._low is None else min(self._low, low)
        self._high = high if self._high is None else max(self._high, high)
        self._hours += _hours_of_week(at, low, high)

    def build(self) -> ColumnProfile:
        return ColumnProfile(
            self._name, "timestamp", self._count, self._nulls, self._low, self._high, hours_of_week=self._hours.copy()
        )


def _hours_of_week(at: NDArray[np.int64], low: int, high: int) -> Ints:
    """Rows by hour of the week, Monday's first hour first, of times in microseconds between `low` and `high`."""
    # 1970-01-01 was a Thursday: three days on, hour 0 is Monday's first.
    first, hours = low // _HOUR + 72, high // _HOUR - low // _HOUR + 1
    if hours > len(at):
        return np.bincount((at // _HOUR + 72) % 168, minlength=168)
    # Few hours: to count them first and wrap them round the week then saves a remainder for each row.
    width = -(-hours // 168) * 168
    if (at[1:] >= at[:-1]).all():
        counts = np.zeros(width, np.int64)
        ends = np.searchsorted(at, (np.arange(1, hours) + low // _HOUR) * _HOUR)
        counts[:hours] = np.diff(ends, prepend=0, append=len(at))
    else:
        counts = np.bincount(at // _HOUR - low // _HOUR, minlength=width)
    return np.roll(counts.reshape(-1, 168).sum(axis=0), first % 168)


class _TextBuilder:
    def __init__(self, name: str, column: Column) -> None:
        self._name = name
        self._length, self._token_count = MomentBuilder(Grid()), MomentBuilder(Grid())
        self._bins, self._tokens, self._distinct = HistogramBuilder(Grid()), CategoryBuilder(), DistinctBuilder()
        self._nulls = self._count = 0

    def add(self, values: Any, seen: Seen | None = None) -> None:
        if pa.types.is_dictionary(values.type):
            values = values.cast(values.type.value_type)
        self._nulls += values.null_count
        values = values.drop_null() if values.null_count else values
        self._count += len(values)
        if not len(values):
            return
        lengths = numbers_of(pc.utf8_length(values)).astype(np.float64)
        self._length.add(lengths)
        self._bins.add(lengths)
        self._distinct.add(hash_text(values))
        tokens = pc.utf8_split_whitespace(pc.utf8_trim_whitespace(pc.utf8_lower(values)))
        flat = pc.list_flatten(tokens)
        flat = flat.filter(pc.not_equal(flat, one_text("")))
        per_text = numbers_of(pc.list_value_length(tokens)).astype(np.float64)
        per_text[lengths == 0] = 0
        self._token_count.add(per_text)
        encoded = flat.dictionary_encode()
        numbers = np.bincount(numbers_of(encoded.indices), minlength=len(encoded.dictionary))
        self._tokens.add(encoded.dictionary, numbers)

    def build(self) -> ColumnProfile:
        text = TextSummary(self._length.build(), self._token_count.build(), self._tokens.build())
        bins = self._bins.build()
        low, high = (int(bins.values[0]), int(bins.values[-1])) if len(bins.keys) and bins.is_exact else (None, None)
        return ColumnProfile(
            self._name,
            "text",
            self._count,
            self._nulls,
            low,
            high,
            bins=bins,
            text=text,
            distinct=self._distinct.build(),
        )


class IdentityBuilder:
    """Counts of a column that identifies rows."""

    def __init__(self, name: str, column: Column) -> None:
        self._name, self._column = name, column
        self._distinct = DistinctBuilder()
        self._nulls = self._count = 0

    def add(self, values: Any, seen: Seen | None = None) -> None:
        self.add_hashes(hash_column(values), values.null_count)

    def add_hashes(self, hashes: NDArray[np.uint64], nulls: int) -> None:
        """Count values by their hashes; null has hash 0."""
        self._nulls += nulls
        self._count += len(hashes) - nulls
        self._distinct.add(hashes[hashes != 0] if nulls else hashes)

    def build(self) -> ColumnProfile:
        return ColumnProfile(self._name, self._column.type, self._count, self._nulls, distinct=self._distinct.build())
