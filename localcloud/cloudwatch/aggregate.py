"""A period's datapoints become one number, as CloudWatch computes each statistic."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

_PERCENTILE = re.compile(r"[pP](\d{1,2}(?:\.\d{1,10})?|100)")
_TRIMMED_MEAN = re.compile(r"[tT][mM](\d{1,2}(?:\.\d{1,10})?|100)")
BASIC = ("SampleCount", "Average", "Sum", "Minimum", "Maximum")


class Datapoint(NamedTuple):
    """What was published once: a value seen `samples` times, or a statistic set."""

    time: float
    samples: float
    total: float
    low: float
    high: float


def is_statistic(name: str) -> bool:
    """
    Whether `name` is one that this service computes.

    >>> [is_statistic(name) for name in ("Sum", "p99.9", "tm90", "Median")]
    [True, True, True, False]
    """
    return name in BASIC or bool(_PERCENTILE.fullmatch(name) or _TRIMMED_MEAN.fullmatch(name))


def statistic(points: Sequence[Datapoint], name: str) -> float | None:
    """
    One statistic over `points`.

    Returns
    -------
    None when there is no point, or when a percentile cannot be known: a negative value, or a statistic set that is
    more than one repeated value (GetMetricStatistics, "ExtendedStatistics").

    >>> statistic([Datapoint(0, 1, 4.0, 4.0, 4.0), Datapoint(1, 3, 6.0, 2.0, 2.0)], "Average")
    2.5
    >>> statistic([Datapoint(0, 1, v, v, v) for v in (1.0, 2.0, 3.0, 4.0)], "p50")
    2.5
    """
    count = sum(point.samples for point in points)
    if count <= 0:
        return None
    if name == "SampleCount":
        return count
    if name == "Sum":
        return sum(point.total for point in points)
    if name == "Average":
        return sum(point.total for point in points) / count
    if name == "Minimum":
        return min(point.low for point in points)
    if name == "Maximum":
        return max(point.high for point in points)
    if match := _PERCENTILE.fullmatch(name):
        return _percentile(points, float(match[1]))
    if match := _TRIMMED_MEAN.fullmatch(name):
        return _trimmed_mean(points, float(match[1]))
    raise ValueError(f"statistic must be one of {', '.join(BASIC)}, pNN or tmNN. Got {name}")


def _samples(points: Sequence[Datapoint]) -> list[tuple[float, float]] | None:
    for point in points:
        repeated = point.low == point.high and abs(point.total - point.low * point.samples) <= 1e-9 * abs(point.total)
        if point.low < 0 or not repeated:
            return None
    return sorted((point.low, point.samples) for point in points if point.samples > 0)


def _percentile(points: Sequence[Datapoint], percent: float) -> float | None:
    """Weighted, interpolated linearly between the two nearest ranks."""
    samples = _samples(points)
    if not samples:
        return None
    rank = percent / 100 * (sum(weight for _, weight in samples) - 1)
    low = int(rank)
    at_low, at_high = _at_rank(samples, low), _at_rank(samples, low + 1)
    return at_low + (rank - low) * (at_high - at_low)


def _at_rank(samples: Sequence[tuple[float, float]], rank: int) -> float:
    seen = 0.0
    for value, weight in samples:
        seen += weight
        if rank < seen:
            return value
    return samples[-1][0]


def _trimmed_mean(points: Sequence[Datapoint], percent: float) -> float | None:
    """Mean of the lowest `percent` of the samples."""
    samples = _samples(points)
    if not samples:
        return None
    left = percent / 100 * sum(weight for _, weight in samples)
    kept = total = 0.0
    for value, weight in samples:
        take = min(weight, left - kept)
        if take <= 0:
            break
        kept, total = kept + take, total + take * value
    return total / kept if kept else None
