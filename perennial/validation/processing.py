"""What happens to one block, in any thread: read, checked, split, profiled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.contract import Contract
from perennial.profile import Profile, ProfileBuilder, merge
from perennial.profile.arrays import from_flags, present_numbers
from perennial.validation.blocks import Block
from perennial.validation.in_order import Turns
from perennial.validation.outcome import Limits
from perennial.validation.recent_ids import IdIndex, RecentIds
from perennial.validation.rows import CheckedRows, RowChecker
from perennial.validation.uniqueness import UniqueValues

__all__ = ["BlockProcessor", "Processed"]

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Processed:
    """
    A block, how many of its rows are good, and why others aren't.

    `curated` holds the good rows, if they are wanted; `event_range` is their first and last event
    time in microseconds, if there is one.
    """

    block: Block
    accepted: int
    flagged: list[tuple[Flags, str]]
    null_counts: dict[str, int]
    curated: Any
    event_range: tuple[int, int] | None


class _Station:
    """What a thread has for itself."""

    def __init__(self, contract: Contract, limits: Limits, optional: frozenset[str]) -> None:
        self.checker = RowChecker(contract, limits, optional)
        self.builder = ProfileBuilder(contract)


class BlockProcessor:
    """
    Takes blocks from several threads. Only the look for repeated values waits for the blocks before.

    Every thread adds to a profile of its own; these merge exactly, so that nothing tells how many there were.
    """

    def __init__(
        self, contract: Contract, limits: Limits, recent_ids: RecentIds | None, optional: frozenset[str], *, keep: bool
    ) -> None:
        self._contract, self._limits, self._optional, self._keep = contract, limits, optional, keep
        self._free: list[_Station] = []
        self._stations: list[_Station] = []
        self._turns, self._unique = Turns(), UniqueValues(contract, recent_ids)

    def process(self, number: int, read: Callable[[], Block]) -> Processed:
        """
        The block that `read` gives, the `number`-th of the file.

        Raises
        ------
        FileRejected
            It can't be read, or a check doesn't fit it.
        """
        with self._station() as station:
            try:
                block = read()
                rows = station.checker.check(block)
                hashes = self._unique.hashes(block.batch)
            except BaseException:
                self._turns.passed(number)
                raise
            with self._turns.turn(number):
                flagged = rows.flagged + self._unique.repeated(block.batch, rows.flagged, hashes)
            return self._split(block, rows, flagged, hashes[self._contract.record_id], station.builder)

    def profile(self) -> Profile:
        """The profile of all good rows."""
        return merge([station.builder.build() for station in self._stations or [self._new_station()]])

    @property
    def record_ids(self) -> IdIndex | None:
        """Ids of every row that was good; None if ids need not be unique."""
        return self._unique.record_ids

    def _split(
        self,
        block: Block,
        rows: CheckedRows,
        flagged: list[tuple[Flags, str]],
        ids: NDArray[np.uint64],
        builder: ProfileBuilder,
    ) -> Processed:
        good, seen = block.batch, rows.seen
        if flagged:
            keep = ~np.logical_or.reduce([flags for flags, _ in flagged])
            good, ids, seen = good.filter(from_flags(keep)), ids[keep], {}
        builder.add(good, seen=seen, ids=ids)
        name = self._contract.event_time
        at = seen[name].numbers if name in seen else present_numbers(good.column(name))
        times = (int(at.min()), int(at.max())) if len(at) else None
        return Processed(block, good.num_rows, flagged, rows.null_counts, good if self._keep else None, times)

    def _new_station(self) -> _Station:
        return _Station(self._contract, self._limits, self._optional)

    @contextmanager
    def _station(self) -> Iterator[_Station]:
        try:
            station = self._free.pop()
        except IndexError:
            station = self._new_station()
            self._stations.append(station)
        try:
            yield station
        finally:
            self._free.append(station)
