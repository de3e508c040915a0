"""The dashboard a person keeps open: is it well, who serves, how good, what came in, what it costs."""

from __future__ import annotations

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from infra.data_stack import DataStack
from infra.guardrails import SLOTS, variant_metric
from infra.learning_stack import LearningStack
from infra.serving_stack import ServingStack

__all__ = ["LoopDashboard"]

FIVE_MINUTES = cdk.Duration.minutes(5)
HOUR = cdk.Duration.hours(1)
COLOURS = {"blue": cloudwatch.Color.BLUE, "green": cloudwatch.Color.GREEN}
HALF, WHOLE = 12, 24


class LoopDashboard(cloudwatch.Dashboard):
    """From top to bottom: alarms, traffic of both slots, quality and drift, data, runs, money."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        data: DataStack,
        learning: LearningStack,
        serving: ServingStack,
        alarms: Sequence[cloudwatch.IAlarm],
    ) -> None:
        super().__init__(scope, construct_id, default_interval=cdk.Duration.days(7))
        self._foundation = data.foundation
        guardrails = [alarm for of_slot in serving.guardrails.alarms.values() for alarm in of_slot]
        self.add_widgets(
            cloudwatch.AlarmStatusWidget(title="Is it well?", alarms=[*guardrails, *alarms], width=WHOLE, height=4)
        )
        self.add_widgets(
            self._graph("Traffic share", [self._share(slot) for slot in SLOTS], WHOLE // 4, label="share", top=1.0),
            *(
                self._graph(title, [self._variant(slot, *metric) for slot in SLOTS], WHOLE // 4)
                for title, metric in (
                    ("5xx errors", ("Invocation5XXErrors", "Sum")),
                    ("Requests without a good answer", ("InvocationModelErrors", "Sum")),
                    ("p99 latency, microseconds", ("ModelLatency", "p99")),
                )
            ),
        )
        watched = {"Quality": ("Quality", "Average"), "Drift effect": ("DriftEffect", "Maximum")}
        if data.foundation.loop.triggers.business is not None:
            watched["Business value per record"] = ("BusinessValue", "Average")
        self.add_widgets(
            *(self._graph(title, [self._ours(*of)], WHOLE // len(watched)) for title, of in watched.items())
        )
        self.add_widgets(
            self._graph(
                "Rows landed, accepted, quarantined",
                [self._ours(name, "Sum") for name in ("RowsLanded", "RowsAccepted", "RowsQuarantined")],
                HALF,
            ),
            self._graph("Age of the newest data, seconds", [self._ours("DataAgeSeconds", "Maximum")], HALF),
        )
        machines = (("learning", learning.machine.machine), ("rollout", serving.machine.machine))
        self.add_widgets(
            self._graph(
                "Runs",
                [
                    metric
                    for name, machine in machines
                    for metric in (
                        machine.metric_succeeded(period=HOUR, label=f"{name} succeeded"),
                        machine.metric_failed(period=HOUR, label=f"{name} failed"),
                    )
                ],
                HALF,
            ),
            self._graph("Cost of the account this month, USD", [_charges()], HALF),
        )

    def _graph(
        self,
        title: str,
        metrics: Sequence[cloudwatch.IMetric],
        width: int,
        *,
        label: str | None = None,
        top: float | None = None,
    ) -> cloudwatch.GraphWidget:
        axis = cloudwatch.YAxisProps(label=label, min=0, max=top, show_units=False)
        return cloudwatch.GraphWidget(title=title, left=list(metrics), width=width, height=6, left_y_axis=axis)

    def _variant(self, slot: str, name: str, statistic: str) -> cloudwatch.Metric:
        metric = variant_metric(self._foundation, slot, name, statistic, period=FIVE_MINUTES)
        return metric.with_(label=slot, color=COLOURS[slot])

    def _share(self, slot: str) -> cloudwatch.MathExpression:
        """A slot's share of the requests, from what the variants were really asked."""
        counts = {f"i_{one}": self._variant(one, "Invocations", "Sum") for one in SLOTS}
        every = " + ".join(f"FILL({name}, 0)" for name in counts)
        return cloudwatch.MathExpression(
            expression=f"FILL(i_{slot}, 0) / ({every})",
            using_metrics=counts,
            period=FIVE_MINUTES,
            label=slot,
            color=COLOURS[slot],
        )

    def _ours(self, name: str, statistic: str) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace="Perennial",
            metric_name=name,
            dimensions_map={"loop": self._foundation.loop.name, "stage": self._foundation.deployment.stage},
            statistic=statistic,
            period=HOUR,
            label=name,
        )


def _charges() -> cloudwatch.Metric:
    # AWS publishes estimated charges in us-east-1 only, a few times a day, if billing alerts are switched on.
    return cloudwatch.Metric(
        namespace="AWS/Billing",
        metric_name="EstimatedCharges",
        dimensions_map={"Currency": "USD"},
        statistic="Maximum",
        period=cdk.Duration.hours(6),
        region="us-east-1",
        label="estimated charges",
    )
