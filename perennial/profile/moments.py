"""
Mean and variance that are exact under merge: sums of fixed-point numbers, kept as Python integers.

Each value on its column's grid, z = (x - center) / scale, is rounded once, alone, to r, a multiple of 2**-26; from
there on every sum is an exact integer, so that no order or grouping can change a bit of it. A mean is within 2**-27
scales of the mean of the raw values; a variance within about 2**-26 square scales: far below what a sample of any
size can tell apart, as long as `scale` is of the order of the data's spread.

The fast path sums blocks in float64 without rounding (adding and subtracting a large constant rounds exactly; Rump,
Ogita and Oishi 2008). While |z| <= 2**7, r splits into a multiple c of 2**-13 and a rest f, and every partial sum of
r, c*c and c*f over a block of at most 2**13 rows fits 53 bits; f*f, below 2**-28, is left out. Values further out are
summed as integers, limb by limb.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.contract import Grid

__all__ = ["FRACTION_BITS", "MomentBuilder", "Moments"]

Floats = NDArray[np.float64]

FRACTION_BITS = 26
_COARSE_BITS = 13
_ROUND_FINE = 1.5 * 2.0 ** (52 - FRACTION_BITS)
_ROUND_COARSE = 1.5 * 2.0 ** (52 - _COARSE_BITS)
_FAST_LIMIT = 2.0**7
_LIMB_LIMIT = 2.0**36
_CLAMP = 2.0**100
#: OpenBLAS starts threads above 10,000 numbers: they cost far more than they save here.
_DOT_ROWS = 1 << 13
_LIMB = 21
#: A product with ones sums three times as fast as `sum` does; no order of addition rounds here.
_ONES = np.ones(_DOT_ROWS)


@dataclass(frozen=True, slots=True)
class Moments:
    """
    Sums over `count` values: `first` of z in units of 2**-26, `second` of z squared in units of 2**-52.

    >>> m = MomentBuilder(Grid(center=10, scale=2)); m.add(np.array([9.0, 11.0, 13.0]))
    >>> m.build().mean, m.build().variance
    (11.0, 4.0)
    """

    grid: Grid
    count: int
    first: int
    second: int

    def merge(self, other: Moments) -> Moments:
        """The moments of both sets of rows, exactly."""
        return Moments(self.grid, self.count + other.count, self.first + other.first, self.second + other.second)

    @property
    def mean(self) -> float:
        """Mean of the values; nan without values."""
        if not self.count:
            return math.nan
        return self.grid.center + self.grid.scale * float(Fraction(self.first, self.count << FRACTION_BITS))

    @property
    def variance(self) -> float:
        """Sample variance (n - 1); nan below two values."""
        if self.count < 2:
            return math.nan
        spread = Fraction(self.count * self.second - self.first * self.first, self.count * (self.count - 1))
        return self.grid.scale**2 * float(spread / (1 << (2 * FRACTION_BITS)))

    @property
    def std(self) -> float:
        """Sample standard deviation; nan below two values."""
        return math.sqrt(self.variance) if self.count > 1 else math.nan


class MomentBuilder:
    """Adds blocks of values to one set of moments."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self.count = self._first = self._second = 0

    def add(self, x: Floats) -> None:
        """Sum finite values."""
        z = (x - self._grid.center) * (1.0 / self._grid.scale)
        for i in range(0, len(z), _DOT_ROWS):
            part = z[i : i + _DOT_ROWS]
            self.add_z(part, float(np.abs(part).max(initial=0.0)), np.empty(len(part)))

    def add_z(self, z: Floats, largest: float, scratch: Floats) -> None:
        """Sum values on the grid, none beyond `largest`; both arrays are overwritten."""
        self.count += len(z)
        if largest > _FAST_LIMIT:
            far = np.abs(z) > _FAST_LIMIT
            self._add_far(z[far])
            z[far] = 0.0
        z += _ROUND_FINE
        z -= _ROUND_FINE
        coarse = np.add(z, _ROUND_COARSE, out=scratch[: len(z)])
        coarse -= _ROUND_COARSE
        whole = len(z) // _DOT_ROWS * _DOT_ROWS
        if whole:
            self._add_rows(z[:whole].reshape(-1, _DOT_ROWS), coarse[:whole].reshape(-1, _DOT_ROWS))
        if whole < len(z):
            self._add_rows(z[whole:].reshape(1, -1), coarse[whole:].reshape(1, -1))

    def build(self) -> Moments:
        """The moments of all that was added."""
        return Moments(self._grid, self.count, self._first, self._second)

    def _add_rows(self, fine: NDArray[Any], coarse: NDArray[Any]) -> None:
        """Sum blocks of at most `_DOT_ROWS` numbers, one a row of a matrix: few calls for many blocks."""
        self._first += _whole(np.vecdot(fine, _ONES[: fine.shape[1]]) * _FINE_UNIT)
        fine -= coarse
        self._second += _whole(np.vecdot(coarse, coarse) * _COARSE_UNIT) << 2 * (FRACTION_BITS - _COARSE_BITS)
        self._second += _whole(np.vecdot(coarse, fine) * _MIXED_UNIT) << (FRACTION_BITS - _COARSE_BITS + 1)

    def _add_far(self, z: Floats) -> None:
        within = np.abs(z) <= _LIMB_LIMIT
        units = np.rint(z[within] * _FINE_UNIT).astype(np.int64)
        # Three limbs of 21 bits: products have 42, and sums over a block stay below 63.
        low, middle, high = units & (2**_LIMB - 1), (units >> _LIMB) & (2**_LIMB - 1), units >> (2 * _LIMB)
        limbs = (low, middle, high)
        for i, one in enumerate(limbs):
            self._first += int(one.sum()) << (_LIMB * i)
            for j, two in enumerate(limbs):
                self._second += int((one * two).sum()) << (_LIMB * (i + j))
        for value in np.rint(np.clip(z[~within], -_CLAMP, _CLAMP) * _FINE_UNIT).tolist():
            self._first += int(value)
            self._second += int(value) ** 2


_FINE_UNIT = 2.0**FRACTION_BITS
_COARSE_UNIT = 2.0 ** (2 * _COARSE_BITS)
_MIXED_UNIT = 2.0 ** (FRACTION_BITS + _COARSE_BITS)


def _whole(sums: Floats) -> int:
    """The sum of a few whole numbers, as one: together they may need more than 53 bits."""
    return sum(map(int, sums.tolist()))
