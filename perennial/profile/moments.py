"""
Mean and variance that are exact under merge: sums of fixed-point numbers, kept as Python integers.

Each value on its column's grid, z = (x - center) / scale, is rounded once, alone, to a multiple of 2**-26; from there
on every sum is an exact integer, so that no order or grouping can change a bit of it. A mean is therefore within
2**-27 scales of the mean of the raw values, and a variance within a few 2**-26 scales of a standard deviation: far
below what a sample of any size can tell apart, as long as `scale` is of the order of the data's spread.

The fast path sums blocks in float64 without rounding: after splitting z into a multiple of 2**-6 and a remainder
(adding and subtracting a large constant rounds exactly, Rump, Ogita and Oishi 2008), each partial sum over a block
of at most 2**15 rows fits 53 bits while |z| <= 2**11. Values further out are summed one by one as integers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from perennial.contract import Grid

__all__ = ["FRACTION_BITS", "MomentBuilder", "Moments"]

Floats = NDArray[np.float64]

FRACTION_BITS = 26
_COARSE_BITS = 6
_ROUND_FINE = 1.5 * 2.0 ** (52 - FRACTION_BITS)
_ROUND_COARSE = 1.5 * 2.0 ** (52 - _COARSE_BITS)
_FAST_LIMIT = 2.0**11
_CLAMP = 2.0**100
BLOCK_LIMIT = 1 << 15
#: OpenBLAS starts threads above 10,000 numbers: they cost far more than they save here.
_DOT_ROWS = 1 << 13


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
        for i in range(0, len(z), BLOCK_LIMIT):
            part = z[i : i + BLOCK_LIMIT].copy()
            self.add_z(part, float(np.abs(part).max(initial=0.0)), np.empty(len(part)))

    def add_z(self, z: Floats, largest: float, scratch: Floats) -> None:
        """Sum a block of at most 2**15 values on the grid, none beyond `largest`; both arrays are overwritten."""
        self.count += len(z)
        if largest > _FAST_LIMIT:
            far = np.abs(z) > _FAST_LIMIT
            self._add_far(z[far])
            z[far] = 0.0
        coarse = np.add(z, _ROUND_COARSE, out=scratch[: len(z)])
        coarse -= _ROUND_COARSE
        z -= coarse
        z += _ROUND_FINE
        z -= _ROUND_FINE
        fine = z
        self._first += _units(coarse.sum(), FRACTION_BITS) + _units(fine.sum(), FRACTION_BITS)
        for i in range(0, len(z), _DOT_ROWS):
            c, f = coarse[i : i + _DOT_ROWS], fine[i : i + _DOT_ROWS]
            squares = _units(np.dot(c, c), 2 * FRACTION_BITS) + _units(np.dot(f, f), 2 * FRACTION_BITS)
            self._second += squares + 2 * _units(np.dot(c, f), 2 * FRACTION_BITS)

    def build(self) -> Moments:
        """The moments of all that was added."""
        return Moments(self._grid, self.count, self._first, self._second)

    def _add_far(self, z: Floats) -> None:
        clamped = np.clip(z, -_CLAMP, _CLAMP)
        for value in np.rint(clamped * 2.0**FRACTION_BITS).tolist():
            units = int(value)
            self._first += units
            self._second += units * units


def _units(total: np.floating | float, bits: int) -> int:
    """An exact float64 sum as an integer of 2**-bits."""
    return int(math.ldexp(float(total), bits))
