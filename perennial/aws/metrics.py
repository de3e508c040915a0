"""Metrics out (embedded in the log) and in (per-variant figures and alarm states from CloudWatch)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

__all__ = ["AlarmStates", "Metrics", "VariantFigures", "alarm_states", "variant_figures"]

_ENDPOINT_NAMESPACE = "AWS/SageMaker"
_MICROSECONDS = 1000.0
# CloudWatch's documented longest; it is a multiple of what older data asks for (300 s after 15 days, 3600 after 63).
_LONGEST_PERIOD_SECONDS = 86_400


@dataclass
class Metrics:
    """
    Metrics of one deployment, written when flushed in CloudWatch's embedded metric format: no API call, no permission.

    The dimensions are exactly what dashboards and alarms ask for: `loop` and `stage`, and `variant` where it is of
    one. Powertools would add `service`, and an alarm without it would then never see a value.
    """

    namespace: str
    loop: str
    stage: str
    _values: dict[str | None, list[tuple[str, str, float]]] = field(default_factory=dict)

    def add(self, name: str, value: float, unit: str = "Count", *, variant: str | None = None) -> None:
        """One value, under the deployment's dimensions or those of one of its variants."""
        self._values.setdefault(variant, []).append((name, unit, value))

    def flush(self) -> None:
        """Writes what was added, one embedded object for each set of dimensions."""
        from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import AmazonCloudWatchEMFProvider

        values, self._values = self._values, {}
        for variant, entries in values.items():
            provider = AmazonCloudWatchEMFProvider(namespace=self.namespace)
            provider.service = ""
            provider.add_dimension("loop", self.loop)
            provider.add_dimension("stage", self.stage)
            if variant is not None:
                provider.add_dimension("variant", variant)
            for name, unit, value in entries:
                provider.add_metric(name, unit, value)
            provider.flush_metrics()


@dataclass(frozen=True, slots=True)
class VariantFigures:
    """
    One variant's traffic between two moments; the latency in milliseconds, None without traffic.

    `unanswered` are the requests without a 2xx answer: refused (4xx), failed (5xx), timed out, cut off.
    """

    variant: str
    invocations: int
    errors_5xx: int
    unanswered: int
    latency_ms_p99: float | None


def variant_figures(
    cloudwatch: Any, endpoint_name: str, variants: Sequence[str], *, started_at: datetime, ended_at: datetime
) -> dict[str, VariantFigures]:
    """
    Each variant's invocations, errors and model latency from `started_at` to `ended_at`.

    SageMaker publishes by the minute (ModelLatency in microseconds), and CloudWatch rounds `started_at` down to its
    minute: up to 59 s before the step count too. They are the same variant's, at the share of the step before.
    """
    # CloudWatch refuses an empty range, and knows no parts of a second.
    ended_at = max(ended_at, started_at + timedelta(seconds=1))
    seconds = min(60 * math.ceil((ended_at - started_at).total_seconds() / 60), _LONGEST_PERIOD_SECONDS)
    queries = [
        _query(f"v{number}_{short}", endpoint_name, variant, metric, statistic, period_seconds=seconds)
        for number, variant in enumerate(variants)
        for short, metric, statistic in _FIGURES
    ]
    found: dict[str, dict[datetime, float]] = {}
    for page in cloudwatch.get_paginator("get_metric_data").paginate(
        MetricDataQueries=queries, StartTime=started_at, EndTime=ended_at, ScanBy="TimestampAscending"
    ):
        for result in page["MetricDataResults"]:
            points = zip(result["Timestamps"], result["Values"], strict=True)
            found.setdefault(result["Id"], {}).update(points)
    return {variant: _figures(variant, f"v{number}", found) for number, variant in enumerate(variants)}


_FIGURES = (
    ("invocations", "Invocations", "Sum"),
    ("errors", "Invocation5XXErrors", "Sum"),
    ("refusals", "Invocation4XXErrors", "Sum"),
    ("modelerrors", "InvocationModelErrors", "Sum"),
    ("latency_count", "ModelLatency", "SampleCount"),
    ("latency_p99", "ModelLatency", "p99"),
)


def _query(
    identity: str, endpoint_name: str, variant: str, metric: str, statistic: str, *, period_seconds: int
) -> dict[str, Any]:
    dimensions = [{"Name": "EndpointName", "Value": endpoint_name}, {"Name": "VariantName", "Value": variant}]
    return {
        "Id": identity,
        "MetricStat": {
            "Metric": {"Namespace": _ENDPOINT_NAMESPACE, "MetricName": metric, "Dimensions": dimensions},
            "Period": period_seconds,
            "Stat": statistic,
        },
    }


def _figures(variant: str, prefix: str, found: Mapping[str, Mapping[datetime, float]]) -> VariantFigures:
    """A step may take several periods: sums add up, percentiles count by their samples."""

    def total(short: str) -> float:
        return sum(found.get(f"{prefix}_{short}", {}).values())

    samples, p99 = found.get(f"{prefix}_latency_count", {}), found.get(f"{prefix}_latency_p99", {})
    counted = sum(samples.get(at, 0.0) for at in p99)
    weighted = sum(samples.get(at, 0.0) * value for at, value in p99.items())
    return VariantFigures(
        variant=variant,
        invocations=round(total("invocations")),
        errors_5xx=round(total("errors")),
        # Model errors count 4xx and 5xx too, and time-outs and broken connections besides.
        unanswered=round(max(total("modelerrors"), total("errors") + total("refusals"))),
        latency_ms_p99=weighted / counted / _MICROSECONDS if counted else None,
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
