"""
What every policy model shares: it is frozen, knows only its own keys, and takes durations as people write them.

>>> whole_seconds("7d"), whole_seconds("90m"), whole_seconds(30)
(604800, 5400, 30)
>>> format_duration(604800), format_duration(5400)
('7d', '90m')
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field

from perennial.contract import parse_duration

__all__ = ["Policy", "Seconds", "Share", "format_duration", "spelled", "whole_seconds"]


class Policy(BaseModel):
    """A frozen set of choices with defaults; an unknown key is a mistake, not a silent no-op."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)


def whole_seconds(value: Any) -> Any:
    """
    Whole seconds of a duration such as "30s", "90m", "12h", "7d"; None stays None.

    Raises
    ------
    ValueError
        It is no duration, or one with a fraction of a second.
    """
    if value is None:
        return None
    seconds = parse_duration(value)
    if seconds != int(seconds):
        raise ValueError(f"a duration must be whole seconds. Got {value!r} instead")
    return int(seconds)


def format_duration(seconds: float) -> str:
    """
    The shortest exact spelling of a number of seconds.

    >>> format_duration(45.0), format_duration(86400 * 3)
    ('45s', '3d')
    """
    whole = round(seconds)
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if whole and whole % size == 0:
            return f"{whole // size}{unit}"
    return f"{whole}s"


Seconds = Annotated[int, BeforeValidator(whole_seconds), Field(ge=0, le=3_660 * 86_400)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


def spelled(default: Any, *names: str, **bounds: Any) -> Any:
    """A field that a loop.toml spells by any of `names`; the first is the one that messages and docs use."""
    return Field(default, validation_alias=AliasChoices(*names), **bounds)
