"""
When a schedule is due, on a clock that may run faster than the real one.

A schedule's clock starts at its creation and runs `scale` times as fast: `rate(1 hour)` at a scale of 3600 is due every
second, and so is an hourly cron.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from ministack.services import eventbridge

_RATE = re.compile(r"rate\(\s*(\d+)\s+(minute|hour|day)s?\s*\)")
_AT = re.compile(r"at\(\s*([\d:T-]+)\s*\)")
_SECONDS = {"minute": 60, "hour": 3600, "day": 86_400}


class Due:
    """
    The moments at which one schedule is due.

    Parameters
    ----------
    expression
        rate(...), cron(...) or at(...).
    created_at
        Epoch seconds at which it began.
    scale
        How much faster than real its clock runs.
    zone
        The time zone in which cron and at are meant.

    Raises
    ------
    ValueError
        The expression is none of the three.
    """

    def __init__(self, expression: str, *, created_at: float, scale: float, zone: str = "UTC") -> None:
        self._created_at = created_at
        self._scale = scale
        self._zone = ZoneInfo(zone or "UTC")
        self._rate = _rate_seconds(expression)
        self._at = self._moment(expression)
        self._cron: Any = eventbridge._parse_cron_fields(expression) if not self._rate and not self._at else None
        if not (self._rate or self._at or self._cron):
            raise ValueError(f"a schedule must be rate(...), cron(...) or at(...). Got {expression!r} instead")

    @property
    def once(self) -> bool:
        """Whether it is due only once."""
        return self._at is not None

    def after(self, moment: float) -> float | None:
        """
        The first time after `moment` (epoch seconds, both) that it is due; None when it never is again.

        >>> due = Due("rate(1 hour)", created_at=1000.0, scale=3600)
        >>> due.after(1000.0), due.after(1002.5)
        (1001.0, 1003.0)
        """
        if self._rate:
            step = self._rate / self._scale
            turns = max(0, int((moment - self._created_at) / step + 1e-9))
            return self._created_at + (turns + 1) * step
        if self._at is not None:
            due = self._created_at + max(0.0, self._at - self._created_at) / self._scale
            return due if due > moment else None
        virtual = self._created_at + (moment - self._created_at) * self._scale
        # ministack's search begins at the minute after the one it is given.
        local = datetime.fromtimestamp(virtual, UTC).astimezone(self._zone).replace(tzinfo=UTC)
        found: datetime | None = eventbridge._cron_next_fire(self._cron, local)
        if found is None:
            return None
        real = found.replace(tzinfo=self._zone).timestamp()
        return self._created_at + (real - self._created_at) / self._scale

    def _moment(self, expression: str) -> float | None:
        found = _AT.fullmatch(expression.strip())
        return datetime.fromisoformat(found[1]).replace(tzinfo=self._zone).timestamp() if found else None


def _rate_seconds(expression: str) -> int | None:
    found = _RATE.fullmatch(expression.strip())
    return int(found[1]) * _SECONDS[found[2]] if found else None
