"""
Record ids that must be new among recent batches: which earlier batches a batch is held against.

A batch whose file alone is accepted is entered in a log, once, and so has a position for ever. It is held against the
batches of lower positions whose events are near its own, and these never change: whoever looks, whenever and however
often, finds the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict

__all__ = ["MOST_BATCHES", "MOST_IDS", "LogEntry", "earlier"]

# What one batch may cost: as many earlier batches are read, the latest ones, and as many of their ids, 8 bytes each.
MOST_BATCHES, MOST_IDS = 1_000, 200_000_000


class LogEntry(BaseModel):
    """
    A batch's place in the log.

    Attributes
    ----------
    ids_key, ids_count
        Where the ids of its rows are that its file alone would have accepted, and how many.
    within_seconds
        The contract's `unique_within` when it was entered.
    """

    model_config = ConfigDict(frozen=True)

    position: int
    batch_id: str
    ids_key: str
    ids_count: int
    first_event_at: datetime
    last_event_at: datetime
    within_seconds: float


def earlier(entry: LogEntry, others: Iterable[LogEntry]) -> tuple[LogEntry, ...]:
    """
    The batches that an entry is held against, the latest position first.

    Those of lower positions whose events are at most `within_seconds` away from its own, as far as the bounds of
    `MOST_BATCHES` and `MOST_IDS` go. A batch is never held against itself.
    """
    within = timedelta(seconds=entry.within_seconds)
    near = [
        other
        for other in others
        if other.position < entry.position
        and other.batch_id != entry.batch_id
        and other.first_event_at <= entry.last_event_at + within
        and other.last_event_at >= entry.first_event_at - within
    ]
    found, ids = [], 0
    for other in sorted(near, key=lambda other: -other.position)[:MOST_BATCHES]:
        ids += other.ids_count
        if ids > MOST_IDS:
            break
        found.append(other)
    return tuple(found)
