"""Values that must not come twice in a file: the one check that needs the rows in their order."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.contract import Contract
from perennial.profile.hashing import hash_column
from perennial.validation.recent_ids import Ascent, IdIndex, RecentIds

__all__ = ["UniqueValues"]

Flags = NDArray[np.bool_]
Hashes = NDArray[np.uint64]

_NONE = np.zeros(0, np.bool_)


class UniqueValues:
    """Knows the unique values of all blocks so far; blocks must come in the order of the file."""

    def __init__(self, contract: Contract, recent_ids: RecentIds | None) -> None:
        self._record_id = contract.record_id
        # The record id comes last: its index then holds the ids of accepted rows and no others, and a row that only an
        # earlier batch makes a repetition still takes its place among the other unique values.
        self._names = sorted((n for n, c in contract.columns.items() if c.unique), key=contract.record_id.__eq__)
        self._indexes = {
            n: IdIndex([recent_ids] if recent_ids is not None and n == contract.record_id else ()) for n in self._names
        }
        self._ascents = {n: Ascent() for n in self._names}

    @property
    def record_ids(self) -> IdIndex | None:
        """Ids of every row that was good; None if ids need not be unique."""
        return self._indexes.get(self._record_id)

    def hashes(self, batch: Any) -> dict[str, Hashes]:
        """Hashes of the record id and of each column that `repeated` looks at; this part needs no order."""
        return {n: hash_column(batch.column(n)) for n in dict.fromkeys((self._record_id, *self._names))}

    def repeated(
        self, batch: Any, flagged: list[tuple[Flags, str]], hashes: dict[str, Hashes]
    ) -> list[tuple[Flags, str]]:
        """Repeated values among rows that are good otherwise: a bad row must not push out a good one."""
        found: list[tuple[Flags, str]] = []
        for name in self._names:
            every = hashes[name]
            rows = every.nonzero()[0]  # null has hash 0
            so_far = flagged + found
            if so_far:
                rows = rows[~np.logical_or.reduce([flags for flags, _ in so_far])[rows]]
            own = every if len(rows) == len(every) else every[rows]
            if self._ascents[name].goes_on(batch.column(name)):
                repeated, recent = _NONE, self._indexes[name].add_new(own)
            else:
                repeated, recent = self._indexes[name].add(own)
            for again, reason in (
                (repeated, f"{name} must be unique in the file"),
                (recent, f"{name} must not repeat a recent batch"),
            ):
                if again.any():
                    flags = np.zeros(batch.num_rows, np.bool_)
                    flags[rows[again]] = True
                    found.append((flags, reason))
        return found
