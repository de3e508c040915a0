"""Every datapoint that was published, in few bytes and with an upper bound."""

from __future__ import annotations

import base64
import threading
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from localcloud.cloudwatch.aggregate import Datapoint

MAX_POINTS = 20_000
"""Datapoints of one metric that keep their own time; beyond it the oldest half is rolled up to a point a minute."""
MAX_SERIES = 20_000
KEPT_SECONDS = 15 * 24 * 3600
_ROLL_UP_SECONDS = 60


@dataclass(frozen=True, slots=True)
class MetricKey:
    """A metric's identity: its dimensions are part of it, in no order (CloudWatch, "Dimensions")."""

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...] = ()


def dimensions_of(pairs: Sequence[dict[str, str]] | None) -> tuple[tuple[str, str], ...]:
    """
    The API's list of Name and Value, in the order of an identity.

    >>> dimensions_of([{"Name": "VariantName", "Value": "blue"}, {"Name": "EndpointName", "Value": "e"}])
    (('EndpointName', 'e'), ('VariantName', 'blue'))
    """
    return tuple(sorted((str(pair["Name"]), str(pair.get("Value", ""))) for pair in pairs or ()))


class Series:
    """One metric's datapoints in order of time, as five arrays of doubles."""

    __slots__ = ("_columns", "unit")

    def __init__(self, unit: str = "None") -> None:
        self.unit = unit
        self._columns = tuple(array("d") for _ in Datapoint._fields)

    def __len__(self) -> int:
        return len(self._columns[0])

    def add(self, point: Datapoint) -> None:
        """Put `point` in its place; the usual one, at the end, costs no search."""
        times = self._columns[0]
        if not times or point.time >= times[-1]:
            for column, value in zip(self._columns, point, strict=True):
                column.append(value)
        else:
            index = bisect_left(times, point.time)
            for column, value in zip(self._columns, point, strict=True):
                column.insert(index, value)
        if len(times) > MAX_POINTS:
            self._roll_up(len(times) // 2)

    def between(self, start: float, end: float) -> list[Datapoint]:
        """Points with start <= time < end."""
        times = self._columns[0]
        low, high = bisect_left(times, start), bisect_left(times, end)
        return [Datapoint(*values) for values in zip(*(column[low:high] for column in self._columns), strict=True)]

    def forget_before(self, moment: float) -> None:
        """Drop the points that are older than `moment`."""
        index = bisect_left(self._columns[0], moment)
        for column in self._columns:
            del column[:index]

    @property
    def newest(self) -> float:
        """Time of the last point; -inf without one."""
        return self._columns[0][-1] if len(self) else float("-inf")

    def _roll_up(self, count: int) -> None:
        old = [Datapoint(*values) for values in zip(*(column[:count] for column in self._columns), strict=True)]
        merged: dict[float, Datapoint] = {}
        for point in old:
            minute = point.time // _ROLL_UP_SECONDS * _ROLL_UP_SECONDS
            before = merged.get(minute)
            merged[minute] = point._replace(time=minute) if before is None else _merge(before, point)
        for index, column in enumerate(self._columns):
            column[:count] = array("d", (point[index] for point in merged.values()))

    def dump(self) -> list[str]:
        """All columns as text for JSON, compressed: most points are a value and nothing else."""
        return [base64.b64encode(zlib.compress(column.tobytes(), 1)).decode() for column in self._columns]

    @classmethod
    def load(cls, unit: str, columns: Sequence[str]) -> Series:
        """The reverse of `dump`."""
        series = cls(unit)
        for column, text in zip(series._columns, columns, strict=True):
            column.frombytes(zlib.decompress(base64.b64decode(text)))
        return series


def _merge(left: Datapoint, right: Datapoint) -> Datapoint:
    return Datapoint(
        left.time, left.samples + right.samples, left.total + right.total,
        min(left.low, right.low), max(left.high, right.high),
    )  # fmt: skip


class MetricStore:
    """All metrics; safe for use by many threads."""

    def __init__(self) -> None:
        self._series: dict[MetricKey, Series] = {}
        self._lock = threading.RLock()

    def add(self, key: MetricKey, points: Sequence[Datapoint], *, unit: str = "None") -> None:
        """Publish `points` of the metric `key`."""
        with self._lock:
            series = self._series.get(key)
            if series is None:
                self._make_room()
                series = self._series[key] = Series(unit)
            for point in points:
                series.add(point)
            if unit != "None":
                series.unit = unit

    def between(self, key: MetricKey, start: float, end: float) -> list[Datapoint]:
        """Points of exactly the metric `key` with start <= time < end."""
        with self._lock:
            series = self._series.get(key)
            return series.between(start, end) if series else []

    def unit(self, key: MetricKey) -> str:
        """The unit last published with `key`."""
        series = self._series.get(key)
        return series.unit if series else "None"

    def keys(self) -> list[tuple[MetricKey, float]]:
        """Every metric, with the time of its newest point."""
        with self._lock:
            return [(key, series.newest) for key, series in self._series.items()]

    def forget_before(self, moment: float) -> None:
        """Drop what is older than `moment`, and metrics that have nothing left."""
        with self._lock:
            for key, series in list(self._series.items()):
                series.forget_before(moment)
                if not len(series):
                    del self._series[key]

    def _make_room(self) -> None:
        if len(self._series) >= MAX_SERIES:
            del self._series[min(self._series, key=lambda key: self._series[key].newest)]

    def dump(self) -> list[dict[str, Any]]:
        """Everything, for JSON."""
        with self._lock:
            return [
                {
                    "key": [key.namespace, key.name, [list(pair) for pair in key.dimensions]],
                    "unit": series.unit,
                    "columns": series.dump(),
                }
                for key, series in self._series.items()
            ]

    def load(self, dumped: Sequence[dict[str, Any]]) -> None:
        """Put back what `dump` gave."""
        with self._lock:
            for entry in dumped:
                namespace, name, pairs = entry["key"]
                dimensions = tuple((first, second) for first, second in pairs)
                key = MetricKey(namespace, name, dimensions)
                self._series[key] = Series.load(entry["unit"], entry["columns"])
