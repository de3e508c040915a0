"""
CloudWatch's GetMetricData at botocore's seam: moto knows no percentiles and answers them with nothing.

Alarms stay moto's. Imitated (API reference): from StartTime to before EndTime, periods from the start, no datapoint
where there is no sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

__all__ = ["FakeMetrics"]


@dataclass(frozen=True)
class Sample:
    """Equal values of one metric of one variant at one moment."""

    metric: str
    dimensions: dict[str, str]
    at: datetime
    value: float
    count: int = 1


@dataclass
class FakeMetrics:
    """Samples, and the answers made of them."""

    samples: list[Sample] = field(default_factory=list)
    _asked: dict[str, Any] = field(default_factory=dict)

    def attach(self, session: Any) -> None:
        """Answer GetMetricData of clients that are made from a boto3 session from now on."""
        session.events.register_first("provide-client-params.cloudwatch.GetMetricData", self._hear)
        session.events.register_first("before-call.cloudwatch.GetMetricData", self._answer)

    def add(self, metric: str, dimensions: dict[str, str], at: datetime, value: float, count: int = 1) -> None:
        """Something was published."""
        self.samples.append(Sample(metric, dimensions, at, value, count))

    def _hear(self, params: dict[str, Any], **_: Any) -> None:
        self._asked = params

    def _answer(self, **_: Any) -> Any:
        class Http:
            status_code = 200

        results = [self._result(query) for query in self._asked["MetricDataQueries"]]
        return Http(), {"MetricDataResults": results, "ResponseMetadata": {"HTTPStatusCode": 200}}

    def _result(self, query: dict[str, Any]) -> dict[str, Any]:
        stat, start, end = query["MetricStat"], self._asked["StartTime"], self._asked["EndTime"]
        assert start < end
        wanted = {one["Name"]: one["Value"] for one in stat["Metric"]["Dimensions"]}
        times, values, period = [], [], timedelta(seconds=stat["Period"])
        while start < end:
            inside = [
                sample
                for sample in self.samples
                if (sample.metric, sample.dimensions) == (stat["Metric"]["MetricName"], wanted)
                and start <= sample.at < min(start + period, end)
            ]
            if inside:
                times.append(start)
                values.append(_statistic(inside, stat["Stat"]))
            start += period
        return {"Id": query["Id"], "Timestamps": times, "Values": values, "StatusCode": "Complete"}


def _statistic(samples: Sequence[Sample], name: str) -> float:
    ordered = sorted(value for sample in samples for value in [sample.value] * sample.count)
    if name == "Sum":
        return sum(ordered)
    if name == "SampleCount":
        return float(len(ordered))
    assert name.startswith("p")
    return ordered[min(int(len(ordered) * float(name[1:]) / 100), len(ordered) - 1)]
