"""
Keys of histogram bins: the bits of a float, ordered as the floats are, with low bits dropped.

A key's sign is the value's sign and its magnitude the value's magnitude as bits; dropping low bits of the magnitude
joins neighbouring bins, towards the centre on both sides.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from perennial.contract import Grid

__all__ = [
    "BIN_LIMIT",
    "LARGEST",
    "SMALLEST",
    "clamped",
    "coarsen",
    "combine",
    "count",
    "excess",
    "fold",
    "from_ordered",
    "on_grid",
    "ordered",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: The most bins that a histogram occupies.
BIN_LIMIT = 1536
#: |z| below the first counts as 0, above the second as the second.
SMALLEST, LARGEST = 2.0**-100, 2.0**100
_SMALLEST_BITS = int(np.float64(SMALLEST).view(np.int64))
_LARGEST_BITS = int(np.float64(LARGEST).view(np.int64))
_MAGNITUDE = np.int64(0x7FFFFFFFFFFFFFFF)


def on_grid(x: Floats, grid: Grid) -> Floats:
    """Values in scales from the centre."""
    return (x - grid.center) * (1.0 / grid.scale)


def ordered(z: Floats) -> Ints:
    """Bit patterns that order as their values do, clamped."""
    bits = z.view(np.int64)
    magnitude = clamped(bits & _MAGNITUDE)
    return np.where(bits < 0, -magnitude, magnitude)


def clamped(magnitude: Ints) -> Ints:
    """Bit patterns of magnitudes: tiny ones become 0, huge ones the limit."""
    return np.where(magnitude < _SMALLEST_BITS, 0, np.minimum(magnitude, _LARGEST_BITS))


def from_ordered(keys: Ints) -> Floats:
    """The values of keys of the finest level."""
    return np.copysign(np.abs(keys).view(np.float64), keys)


def coarsen(keys: Ints, bits: int) -> Ints:
    """Drop low bits of the magnitude, keep the sign."""
    if bits == 0:
        return keys
    return np.where(keys < 0, -(-keys >> bits), keys >> bits)


def count(keys: Ints, counts: Ints | None) -> tuple[Ints, Ints]:
    """Ascending distinct keys and how many rows each has; one row a key where `counts` is None."""
    if counts is not None or len(keys) == 0:
        return combine(keys, np.ones(len(keys), np.int64) if counts is None else counts)
    low, high = int(keys.min()), int(keys.max())
    if high - low < 4 * BIN_LIMIT:
        number = np.bincount(keys - low)
        found = np.flatnonzero(number)
        return found + low, number[found]
    keys = np.sort(keys)
    first = _starts(keys)
    return keys[first], np.diff(first, append=len(keys))


def combine(keys: Ints, counts: Ints) -> tuple[Ints, Ints]:
    """Ascending distinct keys and the sum of their counts."""
    if (keys[1:] > keys[:-1]).all():
        return keys, counts
    order = np.argsort(keys, kind="stable")
    return fold(keys[order], counts[order])


def fold(keys: Ints, counts: Ints) -> tuple[Ints, Ints]:
    """The same for keys that ascend already."""
    if len(keys) == 0:
        return keys, counts
    first = _starts(keys)
    return keys[first], np.add.reduceat(counts, first)


def _starts(keys: Ints) -> Ints:
    return np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))


def excess(keys: Ints) -> int:
    """How many low bits ascending distinct keys must drop to leave at most `BIN_LIMIT` of them."""
    if len(keys) <= BIN_LIMIT:
        return 0
    apart = np.where((keys[1:] < 0) == (keys[:-1] < 0), np.abs(keys[1:]) ^ np.abs(keys[:-1]), _MAGNITUDE)
    # Two neighbours stay apart while the bits that are dropped are fewer than the place of their highest difference.
    apart &= ~(apart >> 1)  # so that rounding to float64 can not reach the next power of two
    places = np.sort(np.frexp(apart.astype(np.float64))[1])[::-1]
    return int(places[BIN_LIMIT - 1])
