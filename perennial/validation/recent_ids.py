"""
Sets of record ids, compact and mergeable: sorted 64-bit hashes, 8 bytes an id.

Two different ids share a hash with a chance of n / 2**64 for each new id among n: one in 18 million files of a million
rows that meet a million recent ids wrongly quarantines one row. An id is never wrongly accepted as new.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from perennial.errors import DataUnreadable
from perennial.profile.arrays import numbers_of
from perennial.profile.hashing import hash_column

__all__ = ["Ascent", "IdIndex", "RecentIds"]

Hashes = NDArray[np.uint64]
Flags = NDArray[np.bool_]

_MAGIC = b"PRNLIDS\x01"
_FIRST_BITS, _LAST_BITS, _MOST_RUNS = 21, 27, 24


@dataclass(frozen=True, eq=False)
class RecentIds:
    """
    A frozen set of ids.

    >>> ids = RecentIds.of(pa.array(["a", "b"]))
    >>> ids.contains(pa.array(["b", "c"])).tolist(), len(ids.merge(RecentIds.of(pa.array(["c"]))))
    ([True, False], 3)
    """

    hashes: Hashes = field(default_factory=lambda: np.empty(0, np.uint64))

    @classmethod
    def of(cls, ids: Any) -> RecentIds:
        """The set of an Arrow array's values."""
        return cls(_sorted_set(hash_column(ids)))

    def __len__(self) -> int:
        return len(self.hashes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RecentIds) and np.array_equal(self.hashes, other.hashes)

    __hash__ = None  # type: ignore[assignment]

    def contains(self, ids: Any) -> Flags:
        """Which values of an Arrow array are in the set."""
        return self.contains_hashes(hash_column(ids))

    def contains_hashes(self, hashes: Hashes) -> Flags:
        """The same for hashes."""
        return _found(self.hashes, hashes)

    def merge(self, *others: RecentIds) -> RecentIds:
        """The union."""
        return RecentIds(_sorted_set(np.concatenate([self.hashes, *(o.hashes for o in others)])))

    def to_bytes(self) -> bytes:
        """The stored form."""
        return _MAGIC + self.hashes.astype("<u8").tobytes()

    @classmethod
    def from_bytes(cls, stored: bytes) -> RecentIds:
        """
        The set of stored bytes.

        Raises
        ------
        DataUnreadable
            Not such bytes.
        """
        if stored[: len(_MAGIC)] != _MAGIC or (len(stored) - len(_MAGIC)) % 8:
            raise DataUnreadable(f"recent ids must begin with {_MAGIC!r} and be whole. Got {stored[:8]!r} instead")
        return cls(np.frombuffer(stored, "<u8", offset=len(_MAGIC)).astype(np.uint64))


class Ascent:
    """
    Whether the values of a column have ascended so far, block after block: what ascends can not repeat.

    >>> ascent = Ascent()
    >>> [ascent.goes_on(pa.array(block)) for block in ([1, 4], [5], [5, 6], [7])]
    [True, True, False, False]
    """

    def __init__(self) -> None:
        self._last: Any = None
        self._holds = True

    def goes_on(self, values: Any) -> bool:
        """Look at the next block; False from the first block on that breaks the ascent, or can't be compared."""
        if self._holds and len(values):
            self._holds = not values.null_count and self._ascends(values)
        return self._holds

    def _ascends(self, values: Any) -> bool:
        if pa.types.is_integer(values.type):
            x = numbers_of(values)
            first, last, inside = int(x[0]), int(x[-1]), bool((x[1:] > x[:-1]).all())
        elif pa.types.is_string(values.type):
            inside = pc.all(pc.less(values[:-1], values[1:]), min_count=0).as_py()
            first, last = values[0].as_py(), values[-1].as_py()
        else:
            return False
        follows = self._last is None or first > self._last
        self._last = last
        return bool(inside and follows)


class IdIndex:
    """
    The ids of one file as they come: tells which were there before.

    Ids that are known to be new are only kept; the index is built when there is something to look up.

    A table of flags, one for the leading bits of a hash, answers for most new ids; only ids whose flag is set are
    searched for in the sorted runs of earlier blocks. The table grows with the file up to 128 MB.
    """

    def __init__(self, known: Iterable[RecentIds] = ()) -> None:
        self._known = [k.hashes for k in known if len(k)]
        self._runs: list[Hashes] = []
        self._unsorted: list[Hashes] = []
        self._bits, self._count = _FIRST_BITS, 0
        self._flags = np.zeros(0, np.bool_)

    def add(self, hashes: Hashes) -> tuple[Flags, Flags]:
        """`(repeated in this file, repeated from a recent one)` for each hash; all of them are remembered."""
        for earlier in self._unsorted:
            self._earlier(np.sort(earlier))
        self._unsorted = []
        repeated = np.zeros(len(hashes), np.bool_)
        run = np.sort(hashes)
        if (run[1:] == run[:-1]).any():
            order = np.argsort(hashes, kind="stable")
            repeated[order[1:][hashes[order[1:]] == hashes[order[:-1]]]] = True
        earlier = self._earlier(run)
        if len(earlier):
            repeated |= _found(earlier, hashes)
        return repeated, self._recent(hashes)

    def add_new(self, hashes: Hashes) -> Flags:
        """Remember hashes of ids that differ from each other and all earlier ones; which are from a recent file."""
        self._unsorted.append(hashes)
        return self._recent(hashes)

    @property
    def hashes(self) -> Hashes:
        """All ids that were added, ascending."""
        return _sorted_set(np.concatenate([np.empty(0, np.uint64), *self._runs, *self._unsorted]))

    def _recent(self, hashes: Hashes) -> Flags:
        recent = np.zeros(len(hashes), np.bool_)
        for known in self._known:
            recent |= _found(known, hashes)
        return recent

    def _earlier(self, run: Hashes) -> Hashes:
        """Those of an ascending run that earlier ones hold; the run is remembered."""
        # In ascending order the flags are walked from their start to their end, which caches like.
        if not len(self._flags):
            self._flags = np.zeros(1 << self._bits, np.bool_)
        slots = (run >> np.uint64(64 - self._bits)).view(np.int64)
        suspects = run[np.flatnonzero(self._flags[slots])]
        held = np.zeros(len(suspects), np.bool_)
        for earlier in self._runs:
            held |= _found(earlier, suspects)
        self._flags[slots] = True
        self._runs.append(run)
        self._count += len(run)
        if len(self._runs) > _MOST_RUNS:
            self._runs = [np.sort(np.concatenate(self._runs))]
        if self._count > len(self._flags) // 8 and self._bits < _LAST_BITS:
            self._grow()
        return np.asarray(suspects[held])

    def _grow(self) -> None:
        self._bits = min(self._bits + 3, _LAST_BITS)
        self._flags = np.zeros(1 << self._bits, np.bool_)
        for run in self._runs:
            self._flags[(run >> np.uint64(64 - self._bits)).view(np.int64)] = True


def _sorted_set(hashes: Hashes) -> Hashes:
    """Ascending distinct hashes; numpy's `unique` builds a hash table for whole numbers, which takes far longer."""
    ordered = np.sort(hashes)
    return ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])] if len(ordered) else ordered


def _found(sorted_hashes: Hashes, hashes: Hashes) -> Flags:
    if not len(sorted_hashes) or not len(hashes):
        return np.zeros(len(hashes), np.bool_)
    place = np.minimum(np.searchsorted(sorted_hashes, hashes), len(sorted_hashes) - 1)
    return np.asarray(sorted_hashes[place] == hashes)
