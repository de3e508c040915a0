"""The alarms that watch each variant slot, and what a rollout's functions must know of them."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from infra.foundation import Foundation

__all__ = ["SLOTS", "Guardrails", "variant_metric"]

# The two variants that take turns; rollouts name them so.
SLOTS = ("blue", "green")
NAMESPACE = "AWS/SageMaker"
PERIOD = cdk.Duration.minutes(1)
# Two of three minutes: one bad minute isn't a trend, two are.
BREACHES, WINDOWS = 2, 3
MICROSECONDS = 1000
# Fewer requests have a slowest one, but no 99th percentile.
P99_INVOCATIONS = 100


def variant_metric(
    foundation: Foundation, slot: str, name: str, statistic: str, *, period: cdk.Duration = PERIOD
) -> cloudwatch.Metric:
    """A metric that SageMaker emits for one variant of the loop's endpoint."""
    return cloudwatch.Metric(
        namespace=NAMESPACE,
        metric_name=name,
        dimensions_map={"EndpointName": foundation.endpoint_name, "VariantName": slot},
        statistic=statistic,
        period=period,
        label=f"{slot} {name}",
    )


class Guardrails(Construct):
    """
    The fast guardrails of the loop's rollout policy as alarms of each slot.

    Without traffic there are no datapoints: that is not a breach, and it is never a reason to promote either; the
    analysis after a bake asks for a minimum of samples.

    Attributes
    ----------
    names
        Alarm names of each slot, as analyse_canary and roll_back get them.
    """

    def __init__(self, scope: Construct, construct_id: str, *, foundation: Foundation) -> None:
        super().__init__(scope, construct_id)
        self.foundation = foundation
        self.alarms: dict[str, tuple[cloudwatch.Alarm, ...]] = {
            slot: (self._errors(slot), self._refusals(slot), *self._latency(slot)) for slot in SLOTS
        }

    @property
    def names(self) -> dict[str, tuple[str, ...]]:
        """Alarm names by slot."""
        return {slot: tuple(alarm.alarm_name for alarm in alarms) for slot, alarms in self.alarms.items()}

    def any_alarm(self, slot: str) -> cloudwatch.IAlarmRule:
        """True while any alarm of the slot is in ALARM."""
        return cloudwatch.AlarmRule.any_of(*self.alarms[slot])

    def _errors(self, slot: str) -> cloudwatch.Alarm:
        """The share of requests that failed in the variant, once there are enough of them to speak of a share."""
        policy = self.foundation.loop.rollout
        share = cloudwatch.MathExpression(
            expression=f"IF(invocations >= {minimum_invocations(policy.min_samples)}, errors / invocations, 0)",
            using_metrics={
                "errors": variant_metric(self.foundation, slot, "Invocation5XXErrors", "Sum"),
                "invocations": variant_metric(self.foundation, slot, "Invocations", "Sum"),
            },
            period=PERIOD,
            label=f"{slot} 5xx share",
        )
        return self._alarm(
            f"{slot.title()}Errors",
            share,
            policy.fast.max_error_share,
            f"More than {policy.fast.max_error_share:.1%} of the requests to variant {slot} fail",
        )

    def _refusals(self, slot: str) -> cloudwatch.Alarm:
        """
        Requests without a 2xx answer, beyond the other slot's share: what callers do wrong reaches both slots.

        With tens of requests a minute, shares of alike variants differ by chance: the difference counts from four
        standard errors on (its square against 16 times the pooled variance, since metric math has no root).
        """
        policy = self.foundation.loop.rollout
        minimum = minimum_invocations(policy.min_samples)
        # Only of the metrics about whole requests it is documented that each request makes a datapoint.
        ours, theirs = "FILL(mine, 0)", "FILL(theirs, 0)"
        pooled = f"(({ours} + {theirs} + 1) / (invocations + others + 2))"
        above = f"({ours} / invocations - {theirs} / others)"
        variance = f"({pooled} * (1 - {pooled}) * (1 / invocations + 1 / others))"
        enough = f"invocations >= {minimum} AND others >= {minimum}"
        beyond = cloudwatch.MathExpression(
            expression=f"IF({enough} AND {above} ^ 2 > 16 * {variance}, {above}, 0)",
            using_metrics={
                "mine": variant_metric(self.foundation, slot, "InvocationModelErrors", "Sum"),
                "theirs": variant_metric(self.foundation, other(slot), "InvocationModelErrors", "Sum"),
                "invocations": variant_metric(self.foundation, slot, "Invocations", "Sum"),
                "others": variant_metric(self.foundation, other(slot), "Invocations", "Sum"),
            },
            period=PERIOD,
            label=f"{slot} requests without an answer, beyond {other(slot)}'s share",
        )
        return self._alarm(
            f"{slot.title()}Refuses",
            beyond,
            policy.fast.max_refused_share,
            f"Variant {slot} leaves {policy.fast.max_refused_share:.1%} more of its requests unanswered than the other",
        )

    def _latency(self, slot: str) -> tuple[cloudwatch.Alarm, ...]:
        """p99 of the model's own time: bounded in milliseconds, or by the other slot's, as the policy says."""
        fast = self.foundation.loop.rollout.fast
        alarms = []
        if fast.max_latency_ms is not None:
            limit = fast.max_latency_ms * MICROSECONDS
            described = f"One in a hundred requests to variant {slot} takes longer than {fast.max_latency_ms:g} ms"
            alarms.append(self._slow(f"{slot.title()}Latency", slot, "mine", described, limit=limit))
        if fast.max_latency_ratio is not None:
            described = f"p99 of variant {slot} is more than {fast.max_latency_ratio:g} times that of {other(slot)}"
            floor = f"{fast.latency_floor_ms * MICROSECONDS:g}"
            ratio = f"IF(others >= {P99_INVOCATIONS} AND mine > {floor}, mine / theirs, 0)"
            alarms.append(
                self._slow(f"{slot.title()}Slower", slot, ratio, described, limit=fast.max_latency_ratio, compared=True)
            )
        return tuple(alarms)

    def _slow(
        self, name: str, slot: str, expression: str, described: str, *, limit: float, compared: bool = False
    ) -> cloudwatch.Alarm:
        metrics = {
            "mine": variant_metric(self.foundation, slot, "ModelLatency", "p99"),
            "invocations": variant_metric(self.foundation, slot, "Invocations", "Sum"),
        }
        if compared:
            metrics["theirs"] = variant_metric(self.foundation, other(slot), "ModelLatency", "p99")
            metrics["others"] = variant_metric(self.foundation, other(slot), "Invocations", "Sum")
        enough = cloudwatch.MathExpression(
            expression=f"IF(invocations >= {P99_INVOCATIONS}, {expression}, 0)",
            using_metrics=metrics,
            period=PERIOD,
            label=described,
        )
        return self._alarm(name, enough, limit, described)

    def _alarm(self, name: str, metric: cloudwatch.IMetric, threshold: float, description: str) -> cloudwatch.Alarm:
        return cloudwatch.Alarm(
            self,
            name,
            metric=metric,
            threshold=threshold,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            evaluation_periods=WINDOWS,
            datapoints_to_alarm=BREACHES,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            alarm_description=description,
        )


def other(slot: str) -> str:
    """
    The slot that takes turns with `slot`.

    >>> other("blue")
    'green'
    """
    (found,) = (one for one in SLOTS if one != slot)
    return found


def minimum_invocations(min_samples: int) -> int:
    """
    Requests a minute below which a share of errors isn't judged: a tenth of a step's samples, at least 5.

    >>> minimum_invocations(100), minimum_invocations(10)
    (10, 5)
    """
    return max(min_samples // 10, 5)
