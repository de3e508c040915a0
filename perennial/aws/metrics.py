"""Metrics out (embedded in the log) and in (per-variant figures and alarm states from CloudWatch)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

__all__ = ["AlarmStates", "Metrics", "VariantFigures", "alarm_states", "variant_figures"]

_ENDPOINT_NAMESPACE = "AWS/SageMaker"
_MICROSECONDS = 1000.0


@dataclass
class Metrics:
    """
    Metrics of one loop, written when flushed in CloudWatch's embedded metric format: no API call, no permission.

    The dimensions are exactly what dashboards and alarms ask for: `loop`, or `loop` and `variant`. Powertools would
    add `service`, and an alarm on `loop` alone would then never see a value.
    """

    namespace: str
    loop: str
    _values: dict[str | None, list[tuple[str, str, float]]] = field(default_factory=dict)

    def add(self, name: str, value: float, unit: str = "Count", *, variant: str | None = None) -> None:
        """One value, under the loop's dimension or that of one of its variants."""
        self._values.setdefault(variant, []).append((name, unit, value))

    def flush(self) -> None:
        """Writes what was added, one embedded object for each set of dimensions."""
        from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import AmazonCloudWatchEMFProvider

        values, self._values = self._values, {}
        for variant, entries in values.items():
            provider = AmazonCloudWatchEMFProvider(namespace=self.namespace)
            provider.service = ""
            provider.add_dimension("loop", self.loop)
            if variant is not None:
                provider.add_dimension("variant", variant)
            for name, unit, value in entries:
                provider.add_metric(name, unit, value)
            provider.flush_metrics()


@dataclass(frozen=True, slots=True)
class VariantFigures:
    """One variant's traffic between two moments; latencies in milliseconds, None without traffic."""

    variant: str
    invocations: int
    errors: int
    latency_ms_mean: float | None
    latency_ms_max: float | None

    @property
    def error_share(self) -> float | None:
        """Server errors per invocation; None without traffic."""
        return None if self.invocations == 0 else self.errors / self.invocations


def variant_figures(
    cloudwatch: Any, endpoint_name: str, variants: Sequence[str], *, started_at: datetime, ended_at: datetime
) -> dict[str, VariantFigures]:
    """
    Each variant's invocations, server errors and model latency from `started_at` to `ended_at`.

    SageMaker publishes by the minute (ModelLatency in microseconds), and CloudWatch rounds `started_at` down to its
    minute: up to 59 s before the step count too. They are the same variant's, at the share of the step before.
    """
    queries = [
        _query(f"v{number}_{short}", endpoint_name, variant, metric, statistic)
        for number, variant in enumerate(variants)
        for short, metric, statistic in _FIGURES
    ]
    found: dict[str, list[float]] = {}
    for page in cloudwatch.get_paginator("get_metric_data").paginate(
        MetricDataQueries=queries, StartTime=started_at, EndTime=ended_at, ScanBy="TimestampAscending"
    ):
        for result in page["MetricDataResults"]:
            found.setdefault(result["Id"], []).extend(result["Values"])
    return {variant: _figures(variant, f"v{number}", found) for number, variant in enumerate(variants)}


_FIGURES = (
    ("invocations", "Invocations", "Sum"),
    ("errors", "Invocation5XXErrors", "Sum"),
    ("latency_sum", "ModelLatency", "Sum"),
    ("latency_count", "ModelLatency", "SampleCount"),
    ("latency_max", "ModelLatency", "Maximum"),
)


def _query(identity: str, endpoint_name: str, variant: str, metric: str, statistic: str) -> dict[str, Any]:
    dimensions = [{"Name": "EndpointName", "Value": endpoint_name}, {"Name": "VariantName", "Value": variant}]
    return {
        "Id": identity,
        "MetricStat": {
            "Metric": {"Namespace": _ENDPOINT_NAMESPACE, "MetricName": metric, "Dimensions": dimensions},
            "Period": 60,
            "Stat": statistic,
        },
    }


def _figures(variant: str, prefix: str, found: Mapping[str, list[float]]) -> VariantFigures:
    def values(short: str) -> list[float]:
        return found.get(f"{prefix}_{short}", [])

    count = sum(values("latency_count"))
    return VariantFigures(
        variant=variant,
        invocations=int(sum(values("invocations"))),
        errors=int(sum(values("errors"))),
        latency_ms_mean=sum(values("latency_sum")) / count / _MICROSECONDS if count else None,
        latency_ms_max=max(values("latency_max")) / _MICROSECONDS if values("latency_max") else None,
    )


@dataclass(frozen=True, slots=True)
class AlarmStates:
    """The states of alarms by name; a name that CloudWatch doesn't know has state "MISSING"."""

    states: Mapping[str, str]

    @property
    def in_alarm(self) -> tuple[str, ...]:
        """Names of the alarms that are in ALARM."""
        return tuple(sorted(name for name, state in self.states.items() if state == "ALARM"))

    @property
    def missing(self) -> tuple[str, ...]:
        """Names that no alarm has: a guardrail that isn't there guards nothing."""
        return tuple(sorted(name for name, state in self.states.items() if state == "MISSING"))


def alarm_states(cloudwatch: Any, names: Iterable[str]) -> AlarmStates:
    """The states now of the alarms of these names, metric and composite alike."""
    wanted = sorted(set(names))
    states = dict.fromkeys(wanted, "MISSING")
    for start in range(0, len(wanted), 100):
        pages = cloudwatch.get_paginator("describe_alarms").paginate(
            AlarmNames=wanted[start : start + 100], AlarmTypes=["MetricAlarm", "CompositeAlarm"]
        )
        for page in pages:
            for alarm in [*page.get("MetricAlarms", []), *page.get("CompositeAlarms", [])]:
                states[alarm["AlarmName"]] = alarm["StateValue"]
    return AlarmStates(states)
