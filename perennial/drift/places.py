"""Where batches lie in time and season, and how finely they are read: what calibration and checks must agree on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from perennial.drift.policy import Season
from perennial.drift.spans import Span

__all__ = ["NO_RESOLUTION", "Resolution", "cadence", "place_in_time", "reference_spans", "season_of"]


@dataclass(frozen=True, slots=True)
class Resolution:
    """How fine columns can be compared: bits of mantissa of bins, and the hash below which values are counted."""

    levels: Mapping[str, int]
    thresholds: Mapping[str, int]


NO_RESOLUTION = Resolution({}, {})


def season_of(at: datetime, season: Season) -> str:
    """
    The label that batches of one season share.

    >>> season_of(datetime(2026, 11, 24, 5, tzinfo=UTC), "weekday")
    'Tuesday'
    """
    moment = at.astimezone(UTC)
    if season == "none":
        return ""
    return moment.strftime({"hour": "%H:00", "weekday": "%A", "month": "%B"}[season])


def cadence(times: Sequence[datetime]) -> float | None:
    """Usual seconds from one batch to the next: the median gap; None when there is none."""
    stamps = np.array([at.timestamp() for at in times])
    gaps = np.diff(stamps)
    gaps = gaps[gaps > 0]
    return float(np.median(gaps)) if len(gaps) else None


def place_in_time(at: datetime, origin: datetime, cadence_seconds: float) -> float:
    """How many batches after `origin` a batch at `at` comes, at the usual cadence."""
    return (at.timestamp() - origin.timestamp()) / cadence_seconds


def reference_spans(
    rows: Sequence[int], seasons: Sequence[str] | None, times: Sequence[datetime] | None, season: Season
) -> tuple[tuple[Span, ...], float | None]:
    """The spans of a reference's batches, and the cadence in seconds where times are given."""
    every = cadence(times) if times is not None else None
    spans = []
    for place, count in enumerate(rows):
        position = float(place)
        if times is not None and every is not None:
            position = place_in_time(times[place], times[0], every)
        label = seasons[place] if seasons is not None else ""
        if seasons is None and times is not None:
            label = season_of(times[place], season)
        spans.append(Span((position,), (label,), count))
    return tuple(spans), every
