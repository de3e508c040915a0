"""
The log of record ids: every batch's ids in the lake, their order in the catalog, what a batch repeats.

One transaction gives a batch its position, its receipt and its place in time, so whoever has a position sees all lower
ones. A batch waits for no other: the ids of one count from its entry on, whatever becomes of the worker that made it,
since every delivery of its file comes to the same batch.
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
from perennial.uniqueness import LogEntry, earlier
from perennial.validation import RecentIds

__all__ = ["IdLog"]

# Others may enter at the same time; each round one of them wins.
MAX_ROUNDS = 25
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

    def repeated(self, entry: LogEntry, ids: RecentIds) -> RecentIds:
        """Those of a batch's ids that batches before it have; the same whenever it is asked."""
        found = RecentIds()
        for other in earlier(entry, self._near(entry)):
            found = found.merge(self._common(other.ids_key, ids))
        return found

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
                    (keys.id_log_item(self.loop, entry.position), {"batch_id": entry.batch_id}),
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

    def _near(self, entry: LogEntry) -> Iterator[LogEntry]:
        """Every entry whose events may be near those of `entry`, in the order of their last event."""
        longest = self.catalog.get(keys.id_span_item(self.loop)) or {}
        within = timedelta(seconds=entry.within_seconds)
        until = entry.last_event_at + within + timedelta(seconds=float(longest.get("seconds", 0)))
        times = keys.id_times_partition(self.loop)
        first, last = keys.sortable(entry.first_event_at - within), f"{keys.sortable(until)}~"
        for _, item in self.catalog.query(times, first=first, last=last):
            yield LogEntry.model_validate_json(item["entry"])

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
