"""
The log of record ids: every batch's ids in the lake, their order in the catalog, what a batch repeats.

One transaction gives a batch its position, its receipt and its place in time, so whoever has a position sees all lower
ones. What a batch becomes by them is written down once it is found; until then anybody who needs it finds it by the
same rule, so that a worker that died keeps nobody waiting.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from perennial import keys
from perennial.aws.catalog import Catalog
from perennial.aws.lake import Lake
from perennial.errors import BatchUndecided
from perennial.uniqueness import LogEntry, Standing, earlier, judge
from perennial.validation import RecentIds

__all__ = ["IdLog"]

# Others may enter at the same time; each round one of them wins.
MAX_ROUNDS = 25
# A standing of another batch is found for it up to so many ids; a larger one finds its own.
MOST_IDS_FOR_OTHERS = 20_000_000
_WORD = 8
_HEADER = len(RecentIds().to_bytes())


@dataclass(frozen=True)
class IdLog:
    """The ids of one loop's batches."""

    catalog: Catalog
    lake: Lake
    loop: str

    def enter(self, batch_id: str, ids: RecentIds, scratch: Path, **facts: Any) -> LogEntry:
        """
        The batch's entry: the one that it has, or the next.

        Parameters
        ----------
        scratch
            Where the ids may lie until they are in the lake.
        facts
            The other fields of `LogEntry`.
        """
        stored = ids.to_bytes()
        digest = hashlib.sha256(stored).hexdigest()[:40]
        standing = self._entered(batch_id, digest)
        if standing is not None:
            return standing
        ids_key = keys.ids_key(batch_id, digest)
        scratch.write_bytes(stored)
        self.lake.put_file(ids_key, scratch)
        facts |= {"batch_id": batch_id, "ids_key": ids_key, "ids_count": len(ids)}
        return self._enter(digest, facts)

    def repeated(self, entry: LogEntry, ids: RecentIds) -> tuple[Standing, RecentIds]:
        """
        What a batch becomes by those before it, and which of its ids they have.

        Raises
        ------
        BatchUndecided
            A large batch before it, of which it has ids, isn't decided yet.
        """
        known = self._standing(entry)
        if known is None:
            return self._settle(entry, ids)
        # What it was held against is written down: the same again, whatever the log holds by now.
        found = RecentIds()
        for position in known.against:
            found = found.merge(self._common(self._ids_key(position), ids))
        return known, found

    def _entered(self, batch_id: str, digest: str) -> LogEntry | None:
        receipt = self.catalog.get(keys.id_receipt_item(self.loop, batch_id, digest))
        return LogEntry.model_validate_json(receipt["entry"]) if receipt else None

    def _enter(self, digest: str, facts: dict[str, Any]) -> LogEntry:
        """Position, receipt and place in time in one transaction, so that a batch never gets two."""
        self._stretch(facts["last_event_at"] - facts["first_event_at"])
        for _ in range(MAX_ROUNDS):
            newest = next(self.catalog.query(keys.id_log_partition(self.loop), newest_first=True, limit=1), None)
            entry = LogEntry(position=int(newest[0]) + 1 if newest else 1, **facts)
            said = {"entry": entry.model_dump_json()}
            written = self.catalog.put_all_new(
                [
                    (keys.id_log_item(self.loop, entry.position), {"ids_key": entry.ids_key}),
                    (keys.id_receipt_item(self.loop, entry.batch_id, digest), said),
                    (keys.id_time_item(self.loop, entry.last_event_at, entry.position), said),
                ]
            )
            if written:
                return entry
            # Somebody took the position, or this very batch has one; or our own write won and its answer was lost.
            standing = self._entered(entry.batch_id, digest)
            if standing is not None:
                return standing
        raise RuntimeError(f"a position must be free within {MAX_ROUNDS} rounds. Others were always faster.")

    def _stretch(self, span: timedelta) -> None:
        """Notes the longest batch: with it the batches near a time can be ranged by their last event."""
        told = f"{span.total_seconds():020.6f}"
        longest = self.catalog.get(keys.id_span_item(self.loop)) or {}
        if longest.get("seconds", "") < told:
            self.catalog.raise_to(keys.id_span_item(self.loop), "seconds", told, {})

    def _standing(self, entry: LogEntry) -> Standing | None:
        item = self.catalog.get(keys.id_standing_item(self.loop, entry.position))
        return Standing.model_validate_json(item["standing"]) if item else None

    def _settle(self, entry: LogEntry, ids: RecentIds) -> tuple[Standing, RecentIds]:
        """Finds a standing and writes it down; whoever finds it finds the same."""
        found, against = RecentIds(), []
        for other in earlier(entry, self._near(entry)):
            common = self._common(other.ids_key, ids)
            if len(common) and self._standing_of(other).verdict == "accepted":
                against.append(other.position)
                found = found.merge(common)
        standing = Standing(verdict=judge(entry, len(found)), repeated=len(found), against=tuple(against))
        item = {"standing": standing.model_dump_json(), "batch_id": entry.batch_id}
        self.catalog.put(keys.id_standing_item(self.loop, entry.position), item)
        return standing, found

    def _standing_of(self, other: LogEntry) -> Standing:
        """Another batch's standing; found for it where its own worker hasn't come so far."""
        standing = self._standing(other)
        if standing is not None:
            return standing
        if other.ids_count > MOST_IDS_FOR_OTHERS:
            raise BatchUndecided(f"batch {other.batch_id} must be held against earlier ones first. It isn't yet.")
        return self._settle(other, RecentIds.from_bytes(self.lake.get(other.ids_key)))[0]

    def _near(self, entry: LogEntry) -> Iterator[LogEntry]:
        """Every entry whose events may be near those of `entry`, in the order of their last event."""
        longest = self.catalog.get(keys.id_span_item(self.loop)) or {}
        within = timedelta(seconds=entry.within_seconds)
        until = entry.last_event_at + within + timedelta(seconds=float(longest.get("seconds", 0)))
        times = keys.id_times_partition(self.loop)
        first, last = keys.sortable(entry.first_event_at - within), f"{keys.sortable(until)}~"
        for _, item in self.catalog.query(times, first=first, last=last):
            yield LogEntry.model_validate_json(item["entry"])

    def _ids_key(self, position: int) -> str:
        item = self.catalog.get(keys.id_log_item(self.loop, position))
        if item is None:
            raise RuntimeError(f"position {position} of the id log must be in the catalog. It is gone.")
        return str(item["ids_key"])

    def _common(self, ids_key: str, ids: RecentIds) -> RecentIds:
        """Those of `ids` that a stored set has too; the set is streamed, never held as a whole."""
        found, rest = [np.empty(0, np.uint64)], b""
        for number, block in enumerate(self.lake.blocks(ids_key)):
            held = rest + (block if number else block[_HEADER:])
            whole = len(held) - len(held) % _WORD
            hashes = np.frombuffer(held[:whole], "<u8").astype(np.uint64)
            found.append(hashes[ids.contains_hashes(hashes)])
            rest = held[whole:]
        return RecentIds(np.concatenate(found))
