"""
Schedule expressions as EventBridge Scheduler takes them, checked before anything is deployed.

Source: EventBridge Scheduler's user guide, "Schedule types" (read 2026-12): rate(value unit), and cron with six fields:
minutes, hours, day of month, month, day of week, year. One of the two days must be `?`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["check_schedule"]

_RATE: Final = re.compile(r"rate\(([0-9]+) (minute|hour|day)(s?)\)")
_CRON: Final = re.compile(r"cron\((.*)\)")
_EXAMPLE: Final = "cron(0 3 * * ? *) is every day at three, cron(0 3 ? * MON *) every Monday"
_MONTHS: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")


@dataclass(frozen=True, slots=True)
class _Field:
    """One field: what it is called, its numbers, words for them from the first on, and patterns of its own."""

    name: str
    first: int
    last: int
    words: tuple[str, ...] = ()
    special: str = r"(?!)"

    def number(self, text: str) -> int | None:
        if text.upper() in self.words:
            return self.first + self.words.index(text.upper())
        return int(text) if text.isascii() and text.isdigit() and self.first <= int(text) <= self.last else None

    def takes(self, text: str) -> bool:
        return text == "*" or all(self._takes_one(part) for part in text.split(","))

    def _takes_one(self, part: str) -> bool:
        if re.fullmatch(self.special, part, re.IGNORECASE):
            return True
        start, slash, step = part.partition("/")
        if slash and not (step.isascii() and step.isdigit() and 1 <= int(step) <= self.last):
            return False
        if slash and start == "*":
            return True
        low, dash, high = start.partition("-")
        if self.number(low) is None:
            return False
        return not dash or self.number(high) is not None


_FIELDS: Final = (
    _Field("minutes", 0, 59),
    _Field("hours", 0, 23),
    _Field("day of month", 1, 31, special=r"L|LW|(?:[1-9]|[12]\d|3[01])W"),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of week", 1, 7, _DAYS, special=r"L|(?:[1-7]|SUN|MON|TUE|WED|THU|FRI|SAT)(?:L|#[1-5])"),
    _Field("year", 1970, 2199),
)


def check_schedule(expression: str) -> str:
    """
    The expression, if EventBridge Scheduler takes it for something that happens again and again.

    Raises
    ------
    ValueError
        It doesn't; says which field must be what.

    >>> check_schedule("rate(7 days)"), check_schedule("cron(0 3 ? * MON-FRI *)")
    ('rate(7 days)', 'cron(0 3 ? * MON-FRI *)')
    """
    if rate := _RATE.fullmatch(expression):
        count, many = int(rate[1]), rate[3] == "s"
        if count < 1 or (count == 1) == many:
            least = max(count, 1)
            unit = rate[2] if least == 1 else f"{rate[2]}s"
            raise ValueError(f"schedule must be a rate such as rate({least} {unit}). Got {expression!r} instead")
        return expression
    cron = _CRON.fullmatch(expression)
    if cron is None:
        raise ValueError(
            f'schedule must be a duration such as "7d", rate(7 days), or cron with six fields ({_EXAMPLE}). '
            f"Got {expression!r} instead"
        )
    _check_cron(cron[1].split(), expression)
    return expression


def _check_cron(given: list[str], expression: str) -> None:
    if len(given) != len(_FIELDS):
        names = ", ".join(field.name for field in _FIELDS)
        raise ValueError(
            f"schedule must have six fields: {names} ({_EXAMPLE}). Got {len(given)} in {expression!r} instead"
        )
    days = (given[2], given[4])
    if days.count("?") != 1:
        raise ValueError(
            f"schedule must have ? as its day of month or as its day of week, and not as both ({_EXAMPLE}). "
            f"Got {days[0]!r} and {days[1]!r} in {expression!r} instead"
        )
    for field, text in zip(_FIELDS, given, strict=True):
        if not field.takes(text) and not (text == "?" and field.name.startswith("day")):
            words = f" or {field.words[0]} to {field.words[-1]}" if field.words else ""
            raise ValueError(
                f"schedule must have {field.first} to {field.last}{words}, a range, a list, * or a step such as */2 as "
                f"its {field.name}. Got {text!r} in {expression!r} instead"
            )
