"""Puts CloudWatch together, and in the place of ministack's."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from localcloud.cloudwatch import resources
from localcloud.cloudwatch.actions import Dispatcher
from localcloud.cloudwatch.aggregate import Datapoint
from localcloud.cloudwatch.book import AlarmBook
from localcloud.cloudwatch.service import CloudWatch
from localcloud.cloudwatch.store import KEPT_SECONDS, MetricKey, MetricStore
from localcloud.context import Context
from localcloud.extension import replace

TICK_SECONDS = 0.2
_SWEEP = timedelta(minutes=10)


def install(context: Context) -> None:
    """Serve CloudWatch, take in every service's metrics, and evaluate alarms while the server runs."""
    store = MetricStore()
    dispatcher = Dispatcher(context)
    book = AlarmBook(store, context.scales, dispatcher.note, lambda name: _arn(context, name))
    dispatcher.book = book
    service = CloudWatch(context, store, book)
    context.register_service(
        "monitoring",
        service,
        target_prefixes=["GraniteServiceVersion20100801"],
        credential_scope="monitoring",
        iam_namespace="cloudwatch",
        authorize=service.needed_permission,
    )
    resources.install(context, book)
    _take_in_metrics(store)
    context.on_save("cloudwatch", lambda: {"metrics": store.dump(), **book.dump()})

    def load(kept: dict[str, Any]) -> None:
        store.load(kept["metrics"])
        book.load(kept)

    context.on_load("cloudwatch", load)
    context.on_start(lambda: _start(context, dispatcher))
    context.every(TICK_SECONDS, lambda: book.evaluate_due(context.clock().timestamp()), name="alarms")
    context.every(
        _SWEEP.total_seconds(),
        lambda: store.forget_before(context.clock().timestamp() - KEPT_SECONDS),
        name="metric-retention",
    )


def _start(context: Context, dispatcher: Dispatcher) -> None:
    context.background(dispatcher.run, name="alarm-actions")


def _arn(context: Context, name: str) -> str:
    return f"arn:aws:cloudwatch:{context.region}:{context.account}:alarm:{name}"


def _take_in_metrics(store: MetricStore) -> None:
    """ministack's services publish through these two functions: let them publish here."""
    from ministack.services import cloudwatch

    def store_datum(
        namespace: str, name: str, dims: dict[str, str], ts: float, unit: str | None, value: float | None,
        values: list[float] | None, counts: list[float] | None, stat_values: dict[str, float] | None,
    ) -> None:  # fmt: skip
        key = MetricKey(namespace, name, tuple(sorted(dims.items())))
        if values is not None:
            weights = counts or [1.0] * len(values)
            points = [Datapoint(ts, c, v * c, v, v) for v, c in zip(values, weights, strict=True)]
        elif stat_values is not None:
            given = stat_values
            points = [Datapoint(ts, given["SampleCount"], given["Sum"], given["Minimum"], given["Maximum"])]
        else:
            number = float(value or 0)
            points = [Datapoint(ts, 1.0, number, number, number)]
        store.add(key, points, unit=unit or "None")

    def record_metric(
        namespace: str, metric_name: str, value: float, unit: str = "None", dimensions: dict[str, Any] | None = None
    ) -> None:
        dims = {name: str(text) for name, text in (dimensions or {}).items()}
        store_datum(namespace, metric_name, dims, time.time(), unit, value, None, None, None)

    replace(cloudwatch, "_store_datum", store_datum)
    replace(cloudwatch, "record_metric", record_metric)
