"""
Whether data has stayed away longer than the contract allows.

Freshness is about arrival, in wall time: old data that arrives late is still a sign of life.

>>> from datetime import UTC, datetime
>>> noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
>>> judge(noon.replace(hour=9), expected_every_seconds=3600, now=noon).reasons
('freshness: the last batch came 3h ago, one every 1h is expected',)
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from perennial.policy import format_duration

__all__ = ["Freshness", "judge"]


@dataclass(frozen=True, slots=True)
class Freshness:
    """Whether this is an outage, and how old the newest batch is; None where none ever came."""

    outage: bool
    age_seconds: float | None
    reasons: tuple[str, ...]


def judge(last_arrived_at: datetime | None, *, expected_every_seconds: float | None, now: datetime) -> Freshness:
    """
    Whether the newest arrival is older than the contract's `expected_every`.

    Before the first batch there is nothing to miss; without `expected_every` nothing is expected.
    """
    if last_arrived_at is None:
        return Freshness(False, None, ("freshness: no batch has come yet",))
    age = (now - last_arrived_at).total_seconds()
    told = f"freshness: the last batch came {format_duration(age)} ago"
    if expected_every_seconds is None or age <= expected_every_seconds:
        return Freshness(False, age, (told,))
    return Freshness(True, age, (f"{told}, one every {format_duration(expected_every_seconds)} is expected",))
