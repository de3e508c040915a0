"""Datapoints on request: PutMetricData, GetMetricData, GetMetricStatistics and ListMetrics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from localcloud.cloudwatch import expression
from localcloud.cloudwatch.aggregate import BASIC, Datapoint, is_statistic, statistic
from localcloud.cloudwatch.protocol import CloudWatchError
from localcloud.cloudwatch.store import MetricKey, MetricStore, dimensions_of

RECENT = timedelta(hours=3)
MAX_LISTED = 500
MAX_DATAPOINTS = 100_800
MAX_STATISTICS = 1440


def put_metric_data(store: MetricStore, params: Mapping[str, Any], now: datetime) -> None:
    """Record every datum: a value, values with counts, or a statistic set."""
    for datum in params.get("MetricData", ()):
        key = MetricKey(params["Namespace"], datum["MetricName"], dimensions_of(datum.get("Dimensions")))
        moment = datum.get("Timestamp", now).timestamp()
        store.add(key, _points(datum, moment), unit=datum.get("Unit", "None"))


def _points(datum: Mapping[str, Any], moment: float) -> list[Datapoint]:
    if "Values" in datum:
        counts = datum.get("Counts") or [1.0] * len(datum["Values"])
        if len(counts) != len(datum["Values"]):
            raise _invalid("Counts must have as many members as Values")
        return [Datapoint(moment, count, v * count, v, v) for v, count in zip(datum["Values"], counts, strict=True)]
    if (given := datum.get("StatisticValues")) is not None:
        return [Datapoint(moment, given["SampleCount"], given["Sum"], given["Minimum"], given["Maximum"])]
    if "Value" not in datum:
        raise _invalid("At least one of the parameters must be specified: Value, Values or StatisticValues")
    value = datum["Value"]
    if not math.isfinite(value):
        raise CloudWatchError("InvalidParameterValue", f"Value must be a finite number. Got {value}")
    return [Datapoint(moment, 1.0, value, value, value)]


def _invalid(message: str) -> CloudWatchError:
    return CloudWatchError("InvalidParameterCombination", message)


def list_metrics(store: MetricStore, params: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Metrics that match; the dimensions asked for may be fewer than a metric has."""
    wanted = [(pair["Name"], pair.get("Value")) for pair in params.get("Dimensions", ())]
    since = (now - RECENT).timestamp() if params.get("RecentlyActive") else float("-inf")
    found = [
        key
        for key, newest in sorted(store.keys(), key=lambda item: (item[0].namespace, item[0].name, item[0].dimensions))
        if params.get("Namespace", key.namespace) == key.namespace
        and params.get("MetricName", key.name) == key.name
        and newest >= since
        and all(any(n == name and v in (None, value) for name, value in key.dimensions) for n, v in wanted)
    ]
    start = int(params.get("NextToken") or 0)
    page = found[start : start + MAX_LISTED]
    after = start + len(page)
    return {
        "Metrics": [{"Namespace": k.namespace, "MetricName": k.name, "Dimensions": pairs_of(k)} for k in page],
        "NextToken": str(after) if after < len(found) else None,
    }


def pairs_of(key: MetricKey) -> list[dict[str, str]]:
    """A key's dimensions as the API writes them."""
    return [{"Name": name, "Value": value} for name, value in key.dimensions]


def buckets(start: float, end: float, period: float) -> list[tuple[float, float, float]]:
    """
    The periods of a request, as (timestamp, from, until).

    Periods start at multiples of their length, as on AWS; the first and last are cut at the request's own bounds, so
    that nothing outside them counts, and a request that is shorter than a period is one period of its own.

    >>> buckets(30, 150, 60)
    [(0, 30, 60), (60, 60, 120), (120, 120, 150)]
    >>> buckets(59.5, 61.25, 60)
    [(59.5, 59.5, 61.25)]
    """
    if end - start < period:
        return [(start, start, end)] if end > start else []
    first = math.floor(start / period)
    count = math.ceil(end / period) - first
    edges = [(first + index) * period for index in range(count)]
    return [(edge, max(edge, start), min(edge + period, end)) for edge in edges]


def get_metric_statistics(store: MetricStore, params: Mapping[str, Any]) -> dict[str, Any]:
    """One datapoint for each period that has data; in no order on AWS, in order of time here."""
    simple, extended = params.get("Statistics") or [], params.get("ExtendedStatistics") or []
    if not simple and not extended:
        raise _invalid("At least one of the parameters Statistics and ExtendedStatistics must be specified.")
    _check_statistics([*simple, *extended])
    start, end = _bounds(params)
    if (end - start) / params["Period"] > MAX_STATISTICS:
        raise _invalid(
            f"You have requested up to {math.ceil((end - start) / params['Period'])} datapoints, which exceeds the "
            f"limit of {MAX_STATISTICS}. You may reduce the datapoints requested by increasing Period, or decreasing "
            "the time range."
        )
    key = MetricKey(params["Namespace"], params["MetricName"], dimensions_of(params.get("Dimensions")))
    unit = store.unit(key)
    datapoints = []
    for moment, low, high in buckets(start, end, params["Period"]):
        points = store.between(key, low, high)
        if points:
            row: dict[str, Any] = {"Timestamp": _time(moment), "Unit": unit}
            row |= {name: statistic(points, name) for name in simple}
            row["ExtendedStatistics"] = {n: v for n in extended if (v := statistic(points, n)) is not None} or None
            datapoints.append(row)
    return {"Label": params["MetricName"], "Datapoints": datapoints}


def get_metric_data(store: MetricStore, params: Mapping[str, Any]) -> dict[str, Any]:
    """The series and expressions asked for; newest first unless ScanBy says otherwise."""
    queries = params["MetricDataQueries"]
    start, end = _bounds(params)
    check_queries(queries)
    length = finest_period(queries)
    moments = buckets(start, end, length)
    if len(moments) * len(queries) > MAX_DATAPOINTS:
        raise CloudWatchError("ValidationError", f"at most {MAX_DATAPOINTS} datapoints can be asked for at once")
    columns = resolve(store, queries, moments)
    ascending = params.get("ScanBy") == "TimestampAscending"
    results = []
    for query in queries:
        if query.get("ReturnData", True):
            pairs = [(m[0], x) for m, x in zip(moments, columns[query["Id"]], strict=True) if x is not None]
            pairs = pairs if ascending else pairs[::-1]
            results.append(
                {
                    "Id": query["Id"],
                    "Label": query.get("Label") or _label(query),
                    "Timestamps": [_time(moment) for moment, _ in pairs],
                    "Values": [value for _, value in pairs],
                    "StatusCode": "Complete",
                }
            )
    return {"MetricDataResults": results, "Messages": []}


def check_queries(queries: Sequence[Mapping[str, Any]]) -> None:
    """
    Raise unless every query can be computed: ids unique, statistics known, references defined and without circle.
    """
    ids = [query["Id"] for query in queries]
    if len(set(ids)) < len(ids):
        raise CloudWatchError("ValidationError", "The values for parameter id in MetricDataQueries are not unique.")
    for query in queries:
        if ("MetricStat" in query) == ("Expression" in query):
            raise CloudWatchError(
                "ValidationError",
                f"MetricDataQuery {query['Id']} must have exactly one of MetricStat and Expression.",
            )
        if "MetricStat" in query:
            _check_statistics([query["MetricStat"]["Stat"]])
    order_of(queries)


def order_of(queries: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Queries so that each comes after what it refers to."""
    pending = {query["Id"]: query for query in queries}
    needs: dict[str, set[str]] = {}
    for query in queries:
        try:
            needs[query["Id"]] = expression.references(query["Expression"]) if "Expression" in query else set()
        except expression.BadExpression as error:
            raise CloudWatchError("ValidationError", str(error)) from error
        if unknown := needs[query["Id"]] - pending.keys():
            raise CloudWatchError(
                "ValidationError", f"Error in expression '{query['Id']}': [Unknown Id {', '.join(sorted(unknown))}]"
            )
    ordered: list[Mapping[str, Any]] = []
    while pending:
        ready = [id_ for id_ in pending if not needs[id_] & pending.keys()]
        if not ready:
            raise CloudWatchError("ValidationError", f"Circular dependency between {', '.join(sorted(pending))}")
        ordered += [pending.pop(id_) for id_ in ready]
    return ordered


def finest_period(queries: Sequence[Mapping[str, Any]]) -> int:
    """
    The period of the columns: the longest that any metric of the request has.

    AWS computes an expression on one common period as well; a request may not mix periods in one expression here.
    """
    periods = [query["MetricStat"]["Period"] for query in queries if "MetricStat" in query]
    periods += [query["Period"] for query in queries if "Period" in query]
    return max(periods, default=60)


def resolve(
    store: MetricStore, queries: Sequence[Mapping[str, Any]], moments: Sequence[tuple[float, float, float]]
) -> dict[str, expression.Column]:
    """The column of every query over the same periods."""
    columns: dict[str, expression.Column] = {}
    metrics = [query["Id"] for query in queries if "MetricStat" in query]
    period = moments[0][2] - moments[0][1] if moments else 60.0
    for query in order_of(queries):
        if "MetricStat" in query:
            stat = query["MetricStat"]
            metric = stat["Metric"]
            key = MetricKey(metric["Namespace"], metric["MetricName"], dimensions_of(metric.get("Dimensions")))
            columns[query["Id"]] = [statistic(store.between(key, lo, hi), stat["Stat"]) for _, lo, hi in moments]
        else:
            try:
                columns[query["Id"]] = expression.evaluate(
                    query["Expression"], columns, metrics=metrics, period=period, length=len(moments)
                )
            except expression.BadExpression as error:
                raise CloudWatchError("ValidationError", str(error)) from error
    return columns


def _bounds(params: Mapping[str, Any]) -> tuple[float, float]:
    start, end = params["StartTime"].timestamp(), params["EndTime"].timestamp()
    if start >= end:
        raise CloudWatchError("ValidationError", "The parameter StartTime must be less than the parameter EndTime.")
    return start, end


def _check_statistics(names: Sequence[str]) -> None:
    for name in names:
        if not is_statistic(name):
            known = f"{', '.join(BASIC)}, pNN or tmNN"
            raise CloudWatchError("InvalidParameterValue", f"Statistics must be of {known}. Got {name}")


def _label(query: Mapping[str, Any]) -> str:
    label: str = query["MetricStat"]["Metric"]["MetricName"] if "MetricStat" in query else query["Id"]
    return label


def _time(moment: float) -> datetime:
    return datetime.fromtimestamp(moment, UTC)
