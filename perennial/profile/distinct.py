"""
How many distinct values a column has: HyperLogLog (Flajolet et al. 2007) with the linear-counting correction.

2,048 registers: a standard error of 2.3 %. Registers only grow and merge by their maximum, so the sketch is a function
of the set of values. Ranks come from the leading 32 bits of a hash: fair up to some hundred million values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perennial.profile.hashing import mix

__all__ = ["DistinctBuilder", "DistinctSketch"]

_BITS = 11
_REGISTERS = 1 << _BITS
_INDEX_SHIFT = np.uint64(64 - _BITS)


@dataclass(frozen=True, eq=False)
class DistinctSketch:
    """`registers[i]`: the longest run of leading zeros, plus one, of the hashes of register i; 0 if none."""

    registers: NDArray[np.uint8]

    def merge(self, other: DistinctSketch) -> DistinctSketch:
        """The sketch of the union."""
        return DistinctSketch(np.maximum(self.registers, other.registers))

    @property
    def estimate(self) -> float:
        """Distinct values, within a few per cent; close to exact below a few hundred."""
        m = _REGISTERS
        zeros = int(np.count_nonzero(self.registers == 0))
        raw = 0.7213 / (1 + 1.079 / m) * m * m / float(np.sum(np.ldexp(1.0, -self.registers.astype(np.int32))))
        return m * math.log(m / zeros) if zeros and raw <= 2.5 * m else raw


class DistinctBuilder:
    """Adds hashes to one sketch."""

    def __init__(self) -> None:
        self._registers = np.zeros(_REGISTERS, np.uint8)
        # A hash can raise a register only if it is below 2**(64 - the lowest register).
        self._loosest: np.uint64 | None = None

    def add(self, hashes: NDArray[np.uint64], below: NDArray[np.bool_] | None = None) -> None:
        """Note the hashes of a block of values; `below`, if given, is scratch as long as they are."""
        if self._loosest is not None:
            hashes = hashes[np.flatnonzero(np.less(hashes, self._loosest, out=below))]
        if not len(hashes):
            return
        rank = (33 - np.frexp((hashes >> np.uint64(32)).astype(np.float64))[1]).astype(np.uint8)
        # Leading bits make the rank; the index must not depend on them.
        index = mix(hashes) >> _INDEX_SHIFT
        higher = np.flatnonzero(rank > self._registers[index])
        if not len(higher):
            return
        np.maximum.at(self._registers, index[higher], rank[higher])
        lowest = int(self._registers.min())
        self._loosest = np.uint64(1 << (64 - lowest)) if lowest else None

    def build(self) -> DistinctSketch:
        """The sketch of all that was added."""
        return DistinctSketch(self._registers.copy())
