"""
Histograms that adapt their resolution to the data and still merge exactly.

A value x becomes z = (x - center) / scale on its column's grid. A bin of level m holds the z that share sign,
exponent and the first m bits of the mantissa, so that bins are log-linear around the centre (as in HDR histograms).
The level of a histogram is the finest one, at most 52, at which no more than `BIN_LIMIT` bins are occupied. Occupied
bins only grow in number with more rows and only shrink in number with a coarser level, so that level is a function of
the rows alone: building in any order and merging in any grouping give the same bins and the same counts. A column of
few distinct values keeps every value exactly (level 52), and values far off the centre but close together stay apart.

|z| below 2**-100 counts as 0 and |z| above 2**100 as 2**100: neither occurs in measured data, and 8 bits of exponent
keep the dense arrays small.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.contract import Grid
from perennial.errors import ProfileMismatch
from perennial.profile.bin_keys import (
    BIN_LIMIT,
    LARGEST,
    SMALLEST,
    clamped,
    coarsen,
    combine,
    count,
    excess,
    fold,
    from_ordered,
    on_grid,
    ordered,
)

__all__ = ["BIN_LIMIT", "FINEST_LEVEL", "LARGEST", "SMALLEST", "Histogram", "HistogramBuilder", "rebin", "shared_bins"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FINEST_LEVEL = 52
_DENSE_LEVEL = 7
_SLOT_BITS = 14
_SLOT_SHIFT, _SPREAD = np.uint64(64 - _SLOT_BITS), np.uint64(0x9E3779B97F4A7C15)
#: The bits of a nan: no value on a grid.
_NO_VALUE = np.uint64(0x7FFFFFFFFFFFFFFF)
#: Keeps sign, exponent and 23 bits of mantissa: what is left converts to float32 without rounding into another bin.
_FLOAT32_BITS = np.uint64(0xFFFFFFFFE0000000)
#: Biased float32 exponents of the smallest and the largest magnitude that count as themselves.
_TINY, _HUGE = 127 - 100, 127 + 100


@dataclass(frozen=True, eq=False)
class Histogram:
    """
    Rows per bin: `keys` (signed, ascending; 0 is the centre) at `level` bits of mantissa, `counts` above 0.

    >>> grid = Grid(center=10, scale=2)
    >>> h = HistogramBuilder(grid).add(np.array([9.0, 9.0, 12.5])).build()
    >>> h.total, h.values.tolist(), h.counts.tolist()
    (3, [9.0, 12.5], [2, 1])
    """

    grid: Grid
    level: int
    keys: Ints
    counts: Ints

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Histogram):
            return NotImplemented
        return (
            self.grid == other.grid
            and self.level == other.level
            and np.array_equal(self.keys, other.keys)
            and np.array_equal(self.counts, other.counts)
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def total(self) -> int:
        """Rows in all bins."""
        return int(self.counts.sum())

    @property
    def lower(self) -> Floats:
        """Lower edge of each bin, in the column's unit."""
        return self._to_unit(np.where(self.keys > 0, self._z(self.keys), self._z(self.keys - 1)))

    @property
    def upper(self) -> Floats:
        """Upper edge of each bin, in the column's unit; a bin of one value reaches to the next float."""
        upper = self._to_unit(np.where(self.keys >= 0, self._z(self.keys + (self.keys > 0)), self._z(self.keys)))
        return np.maximum(upper, np.nextafter(self.lower, np.inf))

    @property
    def values(self) -> Floats:
        """One value for each bin: the exact one where every bin holds one value (`is_exact`), else the middle."""
        if self.is_exact:
            return self._to_unit(self._z(self.keys))
        shift = FINEST_LEVEL - self.level
        magnitude = np.abs(self.keys)
        inner, outer = ((part << shift).view(np.float64) for part in (magnitude, magnitude + 1))
        sign = np.where(self.keys > 0, 0.5, -0.5)
        return self._to_unit((inner + outer) * sign)

    @property
    def is_exact(self) -> bool:
        """Whether each bin holds one distinct value, so that nothing was lost."""
        return self.level == FINEST_LEVEL

    @property
    def on_grid(self) -> Floats:
        """Each bin's key as a value on the grid: the exact one where `is_exact`."""
        return self._z(self.keys)

    @property
    def bins(self) -> tuple[Floats, Ints]:
        """`(edges, counts)`: ascending edges, one more than counts; empty stretches between bins have count 0."""
        edges, (counts,) = _fill([self])
        return edges, counts

    def at_level(self, level: int) -> Histogram:
        """The same rows on bins of a coarser level."""
        if level >= self.level:
            return self
        keys, counts = fold(coarsen(self.keys, self.level - level), self.counts)
        return Histogram(self.grid, level, keys, counts)

    def canonical(self) -> Histogram:
        """The finest level that keeps `BIN_LIMIT`."""
        return self.at_level(self.level - excess(self.keys))

    def merge(self, other: Histogram) -> Histogram:
        """
        The histogram of both sets of rows.

        Raises
        ------
        ProfileMismatch
            The grids differ: `rebin` one of them first.
        """
        if self.grid != other.grid:
            raise ProfileMismatch(f"histograms must share a grid. Got {self.grid} and {other.grid} instead; use rebin")
        level = min(self.level, other.level)
        one, two = self.at_level(level), other.at_level(level)
        keys, counts = combine(np.concatenate([one.keys, two.keys]), np.concatenate([one.counts, two.counts]))
        return Histogram(self.grid, level, keys, counts).canonical()

    def _z(self, keys: Ints) -> Floats:
        magnitude = (np.abs(keys) << (FINEST_LEVEL - self.level)).view(np.float64)
        return np.copysign(magnitude, keys)

    def _to_unit(self, z: Floats) -> Floats:
        return z * self.grid.scale + self.grid.center


def shared_bins(*histograms: Histogram) -> tuple[Floats, tuple[Ints, ...]]:
    """
    `(edges, counts of each)` of histograms on one grid: the coarsest level among them, so that counts are exact.

    >>> a, b = (HistogramBuilder(Grid()).add(np.array(v)).build() for v in ([1.0, 2.0], [2.0]))
    >>> edges, (in_a, in_b) = shared_bins(a, b)
    >>> in_a[in_a > 0].tolist(), int(in_b.sum())
    ([1, 1], 1)
    """
    level = min(h.level for h in histograms)
    if len({h.grid for h in histograms}) > 1:
        raise ProfileMismatch("histograms must share a grid. Use rebin first")
    return _fill([h.at_level(level) for h in histograms])


def rebin(histogram: Histogram, grid: Grid) -> tuple[Histogram, float]:
    """
    The histogram on another grid, and the largest distance that any row may have moved, in the column's unit.

    Rows move to the bin of their old bin's middle: counts stay whole, and later merges are exact again.
    """
    if grid == histogram.grid:
        return histogram, 0.0
    builder = HistogramBuilder(grid)
    z = on_grid(histogram.values, grid)
    builder.add_keys(ordered(z), histogram.counts)
    moved = builder.build()
    old = 0.0 if histogram.is_exact else float(np.max(histogram.upper - histogram.lower, initial=0.0)) / 2
    new = 0.0 if moved.is_exact else float(np.max(moved.upper - moved.lower, initial=0.0))
    return moved, old + new


class HistogramBuilder:
    """
    Adds blocks of values to one histogram.

    Sparse while few bins are occupied at a fine level; dense (an array over 8 bits of exponent) once the level has
    fallen to 7, which is where most continuous columns are after their first block.
    """

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._level = FINEST_LEVEL
        self._keys: Ints = np.empty(0, np.int64)
        self._counts: Ints = np.empty(0, np.int64)
        self._dense: Ints | None = None
        self._blocks = 0
        self._known: _KnownValues | None = None
        #: On the grid: every distinct value up to the block in which they became too many to keep.
        self.exact_values: Floats = np.empty(0)

    @property
    def is_exact(self) -> bool:
        """Whether every distinct value still has its own bin."""
        return self._level == FINEST_LEVEL

    @property
    def is_settled(self) -> bool:
        """Whether blocks are cheap by now; while it isn't, small blocks are better."""
        return self._dense is not None or self._known is not None

    def add(self, x: Floats) -> HistogramBuilder:
        """Count finite values."""
        z = self.sanitised((x - self._grid.center) * (1.0 / self._grid.scale))
        self.add_z(z, np.empty(len(x), np.uint64), np.empty(len(x), np.float32))
        return self

    def add_z(self, z: Floats, bits: NDArray[np.uint64], short: NDArray[np.float32]) -> None:
        """Count values that are on the grid and sanitised; the other arrays are scratch, as long as z."""
        if self._dense is None:
            if self._known is not None:
                z = self._known.count(z, bits)
            if len(z):
                self._add_sparse(z)
            return
        np.bitwise_and(z.view(np.uint64), _FLOAT32_BITS, out=bits)
        np.copyto(short, bits.view(np.float64), casting="same_kind")
        index = bits.view(np.int64)
        np.right_shift(short.view(np.uint32), np.uint32(23 - self._level), out=index, casting="unsafe")
        # Counts in place: `bincount` looks for the index's extremes first, and makes a new array of all bins.
        np.add.at(self._dense, index, 1)
        self._blocks += 1
        # `build` finds the level: on the way a coarser one only saves time, and is looked for less and less often.
        if self._blocks & (self._blocks - 1) == 0:
            self._shrink()

    @staticmethod
    def sanitised(z: Floats) -> Floats:
        """Values as they are counted: tiny ones and -0.0 as 0, huge ones at the limit."""
        return from_ordered(ordered(z))

    def _add_sparse(self, z: Floats) -> None:
        before = len(self._keys)
        self.add_keys(ordered(z), None)
        if self.is_exact and len(self._keys) > before:
            self._settle()
            self._known = _KnownValues(self._keys)

    def _settle(self) -> None:
        """Move what was counted in the table of known values to the sparse counts."""
        if self._known is not None:
            keys, counts = self._known.keys, self._known.counts
            self._keys, self._counts = combine(
                np.concatenate([self._keys, keys]), np.concatenate([self._counts, counts])
            )
            self._known = None

    def add_keys(self, finest: Ints, counts: Ints | None) -> None:
        """Count ordered keys of the finest level, `counts` rows each (1 where None)."""
        keys, weights = count(coarsen(finest, FINEST_LEVEL - self._level), counts)
        if self._dense is not None:
            self._add_dense(keys, weights)
            return
        keys, weights = combine(np.concatenate([self._keys, keys]), np.concatenate([self._counts, weights]))
        if self._known is not None and len(keys) > BIN_LIMIT:
            self._keys, self._counts = keys, weights
            self._settle()
            keys, weights = self._keys, self._counts
        drop = min(excess(keys), self._level - _DENSE_LEVEL)
        if drop and self.is_exact:
            self.exact_values = from_ordered(keys)
        self._level -= drop
        self._keys, self._counts = fold(coarsen(keys, drop), weights)
        if self._level == _DENSE_LEVEL:
            self._dense = np.zeros(2 << (8 + self._level), np.int64)
            self._add_dense(self._keys, self._counts)
            self._shrink()

    def build(self) -> Histogram:
        """The canonical histogram of all that was added."""
        self._settle()
        if self._dense is None:
            return Histogram(self._grid, self._level, self._keys, self._counts).canonical()
        half = len(self._dense) // 2
        index = np.flatnonzero(self._dense)
        magnitude, negative = index % half, index >= half
        keys = magnitude + ((1023 - 127) << self._level)
        bits = keys << (FINEST_LEVEL - self._level)
        keys = coarsen(clamped(bits), FINEST_LEVEL - self._level)
        keys, counts = combine(np.where(negative, -keys, keys), self._dense[index])
        return Histogram(self._grid, self._level, keys, counts).canonical()

    def _add_dense(self, keys: Ints, counts: Ints) -> None:
        assert self._dense is not None
        magnitude = np.maximum(np.abs(keys) - ((1023 - 127) << self._level), 0)
        np.add.at(self._dense, magnitude + np.where(keys < 0, len(self._dense) // 2, 0), counts)

    def _shrink(self) -> None:
        """Halve the dense array while its level is finer than the final level can be."""
        assert self._dense is not None
        while self._level > 0 and self._occupied() > BIN_LIMIT:
            self._dense = self._dense.reshape(-1, 2).sum(axis=1)
            self._level -= 1

    def _occupied(self) -> int:
        """Bins that `build` will leave, before it chooses a level: tiny values share one, huge ones one a side."""
        assert self._dense is not None
        sides = self._dense.reshape(2, -1)
        tiny, huge = _TINY << self._level, _HUGE << self._level
        middle = int(np.count_nonzero(sides[:, tiny:huge]))
        return middle + int(sides[:, :tiny].any()) + int(sides[0, huge:].any()) + int(sides[1, huge:].any())


class _KnownValues:
    """
    Counts values by a table of hashes while they are few: three times faster than sorting each block.

    Two values may want one slot: the later one stays unknown, and is counted by whoever asks.
    """

    def __init__(self, keys: Ints) -> None:
        bits = from_ordered(keys).view(np.uint64)
        slots = (bits * _SPREAD) >> _SLOT_SHIFT
        self._table = np.full(1 << _SLOT_BITS, _NO_VALUE, np.uint64)
        self._table[slots] = bits
        self._slots = slots[self._table[slots] == bits]
        self.keys = keys[self._table[slots] == bits]
        self._counts = np.zeros(1 << _SLOT_BITS, np.int64)

    @property
    def counts(self) -> Ints:
        """Rows of each of `keys`."""
        return np.asarray(self._counts[self._slots])

    def count(self, z: Floats, scratch: NDArray[np.uint64]) -> Floats:
        """Count the known ones among `z`, give back the others."""
        bits = z.view(np.uint64)
        slots = np.multiply(bits, _SPREAD, out=scratch)
        slots >>= _SLOT_SHIFT
        index = slots.view(np.int64)
        known = self._table[index] == bits
        if known.all():
            np.add.at(self._counts, index, 1)
            return z[:0]
        np.add.at(self._counts, index[known], 1)
        return np.asarray(z[~known])


def _fill(histograms: list[Histogram]) -> tuple[Floats, tuple[Ints, ...]]:
    """Edges over all bins of histograms of one level, with zero counts in the gaps."""
    keys = np.unique(np.concatenate([h.keys for h in histograms]))
    if len(keys) == 0:
        return np.empty(0), tuple(np.empty(0, np.int64) for _ in histograms)
    first = histograms[0]
    bins = Histogram(first.grid, first.level, keys, np.ones(len(keys), np.int64))
    edges, owner = np.unique(np.concatenate([bins.lower, bins.upper]), return_inverse=True)
    if len(edges) == 1:
        edges = np.array([edges[0], np.nextafter(edges[0], np.inf)])
    result = []
    for h in histograms:
        counts: Any = np.zeros(len(edges) - 1, np.int64)
        slot = np.minimum(owner[: len(keys)], len(counts) - 1)
        own = np.searchsorted(keys, h.keys)
        np.add.at(counts, slot[own], h.counts)
        result.append(counts)
    return edges, tuple(result)
