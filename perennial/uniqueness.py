"""
Record ids that must be new among recent batches: which earlier batches count, and what a batch becomes by them.

A batch whose file alone would be accepted is entered in a log, once, and so has a position for ever. It is held only
against batches of lower positions whose events are near its own. What it becomes then follows from the log: whoever
looks, whenever and however often, finds the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict

__all__ = ["MOST_BATCHES", "MOST_IDS", "LogEntry", "Standing", "earlier", "judge"]

# What one batch may cost: as many earlier batches are read, the latest ones, and as many of their ids, 8 bytes each.
MOST_BATCHES, MOST_IDS = 1_000, 200_000_000


class LogEntry(BaseModel):
    """
    A batch's place in the log, with all that its standing follows from.

    Attributes
    ----------
    ids_key, ids_count
        Where the ids of its rows are that its file alone would have accepted, and how many.
    rows, refused
        Of its file: rows that aren't blank, and those refused for what they are.
    max_invalid_rate, within_seconds
        The contract's limits when it was entered.
    """

    model_config = ConfigDict(frozen=True)

    position: int
    batch_id: str
    ids_key: str
    ids_count: int
    first_event_at: datetime
    last_event_at: datetime
    rows: int
    refused: int
    max_invalid_rate: float
    within_seconds: float


class Standing(BaseModel):
    """
    What a batch becomes by the batches before it.

    Attributes
    ----------
    repeated
        How many of its rows have ids that an earlier batch has.
    against
        Positions of those earlier batches.
    """

    model_config = ConfigDict(frozen=True)

    verdict: Literal["accepted", "rejected"]
    repeated: int = 0
    against: tuple[int, ...] = ()


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


def judge(entry: LogEntry, repeated: int) -> Literal["accepted", "rejected"]:
    """
    What the file becomes when `repeated` of its good rows are refused too.

    >>> from datetime import UTC
    >>> noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    >>> entry = LogEntry(position=2, batch_id="b", ids_key="ids/b", ids_count=95, first_event_at=noon,
    ...                  last_event_at=noon, rows=100, refused=5, max_invalid_rate=0.1, within_seconds=0)
    >>> judge(entry, 5), judge(entry, 6)
    ('accepted', 'rejected')
    """
    invalid = entry.refused + repeated
    return "rejected" if entry.rows and invalid / entry.rows > entry.max_invalid_rate else "accepted"
