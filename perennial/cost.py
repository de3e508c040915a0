"""
What a loop costs: idle, for each batch, and for each turn of the loop, item by item.

Prices are list prices of us-east-1, without free tiers, taxes or discounts.
Source: the AWS pricing pages of each service, as of `PRICES_AS_OF`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import Field

from perennial.policy import Policy, Share, spelled

if TYPE_CHECKING:
    from perennial.project import Loop

__all__ = [
    "INSTANCE_HOUR_USD",
    "LARGE_BATCH_INSTANCE",
    "PRICES",
    "PRICES_AS_OF",
    "CostEstimate",
    "CostItem",
    "CostPolicy",
    "Prices",
    "Usage",
    "batch_cost",
    "cycle_cost",
    "guardrail_metrics",
    "idle_cost",
    "large_batch_cost",
]

PRICES_AS_OF: Final = "2026-11, us-east-1"
_HOURS_A_MONTH: Final = 730.0
# List prices of the instance types that small loops use, USD an hour: training, processing and hosting alike. Only
# types that all three take, and whose price several public price tables agree on, are here.
INSTANCE_HOUR_USD: Final[Mapping[str, float]] = {
    "ml.m5.large": 0.115,
    "ml.m5.xlarge": 0.23,
    "ml.m5.2xlarge": 0.461,
    "ml.m5.4xlarge": 0.922,
    "ml.c5.xlarge": 0.204,
    "ml.c5.2xlarge": 0.408,
}
# What a file runs on that is too large for a function, unless a deployment says otherwise: 8 cores, 32 GB.
LARGE_BATCH_INSTANCE: Final = "ml.m5.2xlarge"
# Managed spot training is billed for what it used; AWS states savings of up to 90%. We count on half.
_SPOT_SHARE: Final = 0.5
# Downloading the image and the data is billed too.
_JOB_START_SECONDS: Final = 120.0
_ENDPOINT_START_SECONDS: Final = 420.0
# Lambda looks into a queue without messages by five long polls at a time, each of 20 seconds.
# Source: "Using Lambda with Amazon SQS", developer guide, read 2026-11.
_POLLERS, _POLL_SECONDS = 5, 20.0


class CostPolicy(Policy):
    """`[cost]`: a monthly budget of the whole loop, and at which share of it to be told."""

    monthly_budget_usd: Annotated[float, Field(gt=0.0)] = spelled(150.0, "monthly_budget", "monthly_budget_usd")
    alarm_at_share: Annotated[Share, Field(gt=0.0)] = spelled(0.8, "alarm_at", "alarm_at_share")


@dataclass(frozen=True, slots=True)
class Prices:
    """Unit prices in USD."""

    lambda_gb_second: float = 0.0000133334
    lambda_request: float = 0.20 / 1e6
    transition: float = 0.025 / 1e3
    s3_put: float = 0.005 / 1e3
    s3_get: float = 0.0004 / 1e3
    s3_gb_month: float = 0.023
    ml_volume_gb_month: float = 0.14
    event: float = 1.0 / 1e6
    queue_request: float = 0.40 / 1e6
    metric_month: float = 0.30
    alarm_month: float = 0.10
    composite_alarm_month: float = 0.50
    dashboard_month: float = 3.0
    log_gb: float = 0.50
    kms_key_month: float = 1.0
    dynamodb_write: float = 0.625 / 1e6
    dynamodb_read: float = 0.125 / 1e6


PRICES: Final = Prices()


@dataclass(frozen=True, slots=True)
class CostItem:
    """One line of an estimate."""

    name: str
    usd: float
    how: str


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """Items and their sum; `unknown` says in sentences what no price is known for, and so isn't counted."""

    items: tuple[CostItem, ...]
    unknown: tuple[str, ...] = ()

    @property
    def usd(self) -> float:
        """The sum of all items."""
        return sum(item.usd for item in self.items)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a loop is assumed to hold and to do, where its policies don't say."""

    stored_gb: float = 5.0
    # What the template has whatever the policies say; tests/infra/test_cost.py counts it there.
    watched_metrics: int = 16
    composite_alarms: int = 2
    polled_queues: int = 4
    keys: int = 1
    # Those that functions emit, with one for each slot where they name a variant.
    metrics: int = 26
    batch_seconds: float = 3.0
    train_seconds: float = 300.0
    evaluate_seconds: float = 120.0
    # Fetched, read once by all cores, and written again: what is slowest is the disk.
    large_batch_gb: float = 10.0
    large_batch_gb_seconds: float = 25.0


def _instance(kind: str, instance_type: str, seconds: float, *, count: int = 1, share: float = 1.0) -> CostEstimate:
    hourly = INSTANCE_HOUR_USD.get(instance_type)
    if hourly is None:
        return CostEstimate((), (f"{kind}: no price is known here for {instance_type}",))
    hours = seconds / 3600
    how = f"{count} x {instance_type}, {hours:.4g} h at {hourly:.4g} USD" + (" (spot)" if share < 1 else "")
    return CostEstimate((CostItem(kind, hours * hourly * count * share, how),))


def _sum(*parts: CostEstimate) -> CostEstimate:
    items = tuple(item for part in parts for item in part.items)
    return CostEstimate(items, tuple(told for part in parts for told in part.unknown))


def guardrail_metrics(loop: Loop) -> int:
    """
    Metrics that the guardrail alarms of both slots watch.

    CloudWatch bills an alarm for each metric in its expression: errors and requests; refusals and requests of both
    slots; for latency also the requests, and the other slot's where it is compared.
    """
    fast = loop.rollout.fast
    by_slot = 6 + 2 * (fast.max_latency_ms is not None) + 4 * (fast.max_latency_ratio is not None)
    return 2 * by_slot


def idle_cost(loop: Loop, usage: Usage | None = None, prices: Prices = PRICES) -> CostEstimate:
    """USD a month of a deployed loop in which nothing lands and nothing is asked."""
    use, rollout = usage or Usage(), loop.rollout
    warm = 1 + int(rollout.keep_previous)
    watched = use.watched_metrics + guardrail_metrics(loop)
    polls = use.polled_queues * _POLLERS * _HOURS_A_MONTH * 3600 / _POLL_SECONDS
    endpoint = _instance("endpoint", rollout.instance_type, _HOURS_A_MONTH * 3600, count=rollout.instance_count * warm)
    fixed = (
        CostItem("dashboard", prices.dashboard_month, "one dashboard"),
        CostItem(
            "alarms",
            watched * prices.alarm_month + use.composite_alarms * prices.composite_alarm_month,
            f"alarms on {watched} metrics, {use.composite_alarms} composite alarms",
        ),
        CostItem("metrics", use.metrics * prices.metric_month, f"{use.metrics} metrics of our own, while emitted"),
        CostItem("queues", polls * prices.queue_request, f"{polls:,.0f} looks into {use.polled_queues} queues"),
        CostItem(
            "key", use.keys * prices.kms_key_month, "one KMS key; its first two yearly rotations add as much each"
        ),
        CostItem("storage", use.stored_gb * prices.s3_gb_month, f"{use.stored_gb:.4g} GB in S3"),
    )
    return _sum(endpoint, CostEstimate(fixed))


def batch_cost(loop: Loop, usage: Usage | None = None, prices: Prices = PRICES) -> CostEstimate:
    """USD of one landed batch: validated, profiled, checked for drift, decided upon, recorded."""
    use = usage or Usage()
    functions = 2 * use.batch_seconds * 1.0 + 3 * 0.5 * 0.25
    return CostEstimate(
        (
            CostItem(
                "functions",
                functions * prices.lambda_gb_second + 5 * prices.lambda_request,
                f"5 invocations, {functions:.4g} GB-s",
            ),
            CostItem("objects", 5 * prices.s3_put + 6 * prices.s3_get, "5 written, 6 read"),
            CostItem("catalog", 10 * prices.dynamodb_write + 20 * prices.dynamodb_read, "10 writes, 20 reads"),
            CostItem("events", 4 * prices.event, "4 events"),
        )
    )


def large_batch_cost(usage: Usage | None = None, prices: Prices = PRICES) -> CostEstimate:
    """USD of one landed file that is too large for a function, beside what any batch costs: its job and its volume."""
    use = usage or Usage()
    seconds = _JOB_START_SECONDS + use.large_batch_gb * use.large_batch_gb_seconds
    parts, volume_gb = math.ceil(use.large_batch_gb * 1024 / 8), 30 + 3 * use.large_batch_gb
    hours = seconds / 3600
    return _sum(
        _instance("job", LARGE_BATCH_INSTANCE, seconds),
        CostEstimate(
            (
                CostItem(
                    "volume",
                    volume_gb * hours / _HOURS_A_MONTH * prices.ml_volume_gb_month,
                    f"{volume_gb:.4g} GB for {hours:.4g} h",
                ),
                CostItem(
                    "objects", parts * prices.s3_put + parts * prices.s3_get, f"{parts} parts read, as many written"
                ),
                CostItem("transitions", 4 * prices.transition, "4 state transitions"),
            )
        ),
    )


def cycle_cost(loop: Loop, usage: Usage | None = None, prices: Prices = PRICES) -> CostEstimate:
    """USD of one turn of the loop: dataset, training, evaluation, gate, registry and a rollout that reaches its end."""
    use, training, rollout = usage or Usage(), loop.training, loop.rollout
    steps = len(rollout.shares)
    baking = steps * rollout.bake_seconds + _ENDPOINT_START_SECONDS
    # An update holds the champion's fleet twice while it runs, and the challenger's until it has ended.
    challenger = _instance("challenger", rollout.instance_type, baking, count=rollout.instance_count)
    # Waiting for the endpoint asks every 15 seconds by three states; a bake is one state, however long.
    transitions = 24 + 14 * steps + 3 * int(_ENDPOINT_START_SECONDS / 15)
    return _sum(
        _instance(
            "training",
            training.instance_type,
            use.train_seconds + _JOB_START_SECONDS,
            share=_SPOT_SHARE if training.spot else 1.0,
        ),
        _instance("evaluation", training.instance_type, use.evaluate_seconds + _JOB_START_SECONDS),
        challenger,
        CostEstimate(
            (
                CostItem("transitions", transitions * prices.transition, f"{transitions} state transitions"),
                CostItem(
                    "functions",
                    (12 + 2 * steps) * (0.5 * 0.5 * prices.lambda_gb_second + prices.lambda_request),
                    f"{12 + 2 * steps} invocations",
                ),
                CostItem("events", (8 + steps) * prices.event, f"{8 + steps} events"),
            )
        ),
    )
