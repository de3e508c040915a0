"""CloudWatch's operations, and what ministack's own CloudWatch still answers: dashboards."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from localcloud.cloudwatch import protocol, queries
from localcloud.cloudwatch.actions import ACTIONS
from localcloud.cloudwatch.alarm import Alarm, check_tags
from localcloud.cloudwatch.book import AlarmBook
from localcloud.cloudwatch.protocol import CloudWatchError
from localcloud.cloudwatch.store import MetricStore, dimensions_of
from localcloud.context import Context, Request, Response

DASHBOARDS = ("PutDashboard", "GetDashboard", "DeleteDashboards", "ListDashboards")
_PAGE = 50


class CloudWatch:
    """The service handler."""

    def __init__(self, context: Context, store: MetricStore, book: AlarmBook) -> None:
        self._context = context
        self._store = store
        self._book = book
        self._operations: dict[str, Callable[[Mapping[str, Any]], Mapping[str, Any] | None]] = {
            "PutMetricData": lambda p: queries.put_metric_data(store, p, context.clock()),
            "GetMetricData": lambda p: queries.get_metric_data(store, p),
            "GetMetricStatistics": lambda p: queries.get_metric_statistics(store, p),
            "ListMetrics": lambda p: queries.list_metrics(store, p, context.clock()),
            "PutMetricAlarm": lambda p: book.put_metric(p, self._now()),
            "PutCompositeAlarm": lambda p: book.put_composite(p, self._now()),
            "DescribeAlarms": self._describe_alarms,
            "DescribeAlarmsForMetric": self._describe_alarms_for_metric,
            "DescribeAlarmHistory": self._describe_alarm_history,
            "DeleteAlarms": lambda p: book.delete(p["AlarmNames"]),
            "EnableAlarmActions": lambda p: book.enable(p["AlarmNames"], True),
            "DisableAlarmActions": lambda p: book.enable(p["AlarmNames"], False),
            "SetAlarmState": lambda p: book.set_state(p, self._now()),
            "TagResource": self._tag,
            "UntagResource": self._untag,
            "ListTagsForResource": self._list_tags,
        }

    def __call__(self, request: Request) -> Response:
        """Answer one request, whatever its protocol."""
        action = protocol.action_of(request)
        if action in DASHBOARDS:
            return self._by_ministack(request)
        try:
            if action not in self._operations:
                known = ", ".join(sorted((*self._operations, *DASHBOARDS)))
                raise CloudWatchError("InvalidAction", f"operation must be one of {known}. Got {action or 'none'}")
            operation = protocol.model().operation_model(action)
            result = self._operations[action](protocol.parse(request, operation))
            return protocol.answer(request, operation, result or {})
        except CloudWatchError as error:
            return protocol.answer_error(request, error)

    def needed_permission(self, request: Request) -> tuple[str, str] | None:
        """The IAM action, and the alarm that it is about."""
        action = protocol.action_of(request)
        resource = "*"
        if "Alarm" in action and not action.startswith("Describe"):
            try:
                params = protocol.parse(request, protocol.model().operation_model(action))
            except CloudWatchError:
                params = {}
            names = [params["AlarmName"]] if "AlarmName" in params else params.get("AlarmNames", [])
            resource = self._arn(names[0]) if names else "*"
        return f"cloudwatch:{action}", resource

    def _by_ministack(self, request: Request) -> Response:
        from ministack.services import cloudwatch

        arguments = (request.method, request.path, dict(request.headers), request.body, dict(request.query))
        with self._context.scope():
            status, headers, body = asyncio.run(cloudwatch.handle_request(*arguments))
        return Response(status, body if isinstance(body, bytes) else body.encode(), headers)

    def _arn(self, name: str) -> str:
        return f"arn:aws:cloudwatch:{self._context.region}:{self._context.account}:alarm:{name}"

    def _now(self) -> float:
        return self._context.clock().timestamp()

    def _describe_alarms(self, params: Mapping[str, Any]) -> dict[str, Any]:
        with self._book.lock:
            chosen = [alarm for name, alarm in sorted(self._book.alarms.items()) if self._matches(alarm, params)]
            start = params.get("NextToken", "")
            chosen = [alarm for alarm in chosen if alarm.name >= start]
            size = params.get("MaxRecords", _PAGE)
            page, rest = chosen[:size], chosen[size:]
            return {
                "MetricAlarms": [alarm.describe() for alarm in page if alarm.kind == "MetricAlarm"],
                "CompositeAlarms": [alarm.describe() for alarm in page if alarm.kind == "CompositeAlarm"],
                "NextToken": rest[0].name if rest else None,
            }

    def _matches(self, alarm: Alarm, params: Mapping[str, Any]) -> bool:
        children, parents = params.get("ChildrenOfAlarmName"), params.get("ParentsOfAlarmName")
        relatives = None
        if children is not None:
            relatives = self._book.children_of(self._existing(children))
        elif parents is not None:
            relatives = self._book.parents_of(self._existing(parents).name)
        default = ["MetricAlarm"] if relatives is None else ["MetricAlarm", "CompositeAlarm"]
        types = params.get("AlarmTypes") or default
        actions = [arn for key in ACTIONS.values() for arn in alarm.config.get(key, ())]
        prefix = params.get("ActionPrefix")
        return (
            alarm.kind in types
            and (relatives is None or alarm in relatives)
            and alarm.name in params.get("AlarmNames", [alarm.name])
            and alarm.name.startswith(params.get("AlarmNamePrefix", ""))
            and params.get("StateValue", alarm.state) == alarm.state
            and (prefix is None or any(arn.startswith(prefix) for arn in actions))
        )

    def _existing(self, name_or_arn: str) -> Alarm:
        alarm = self._book.find(name_or_arn)
        if alarm is None:
            raise CloudWatchError("ResourceNotFound", f"Unknown alarm: {name_or_arn}", 404)
        return alarm

    def _describe_alarms_for_metric(self, params: Mapping[str, Any]) -> dict[str, Any]:
        wanted = (params["Namespace"], params["MetricName"], dimensions_of(params.get("Dimensions")))
        found = []
        with self._book.lock:
            for alarm in self._book.alarms.values():
                for query in alarm.queries if alarm.kind == "MetricAlarm" else []:
                    metric = query.get("MetricStat", {}).get("Metric", {})
                    dimensions = dimensions_of(metric.get("Dimensions"))
                    watched = (metric.get("Namespace"), metric.get("MetricName"), dimensions)
                    if watched == wanted and alarm not in found:
                        found.append(alarm)
            return {"MetricAlarms": [alarm.describe() for alarm in found]}

    def _describe_alarm_history(self, params: Mapping[str, Any]) -> dict[str, Any]:
        types = params.get("AlarmTypes") or ["MetricAlarm"]
        start = params["StartDate"].timestamp() if "StartDate" in params else float("-inf")
        end = params["EndDate"].timestamp() if "EndDate" in params else float("inf")
        with self._book.lock:
            items = list(self._book.history)
        if params.get("ScanBy") != "TimestampAscending":
            items.reverse()
        items = [
            item
            for item in items
            if item["AlarmType"] in types
            and params.get("AlarmName", item["AlarmName"]) == item["AlarmName"]
            and params.get("HistoryItemType", item["HistoryItemType"]) == item["HistoryItemType"]
            and start <= item["Timestamp"] <= end
        ]
        skip, size = int(params.get("NextToken") or 0), params.get("MaxRecords", _PAGE)
        more = skip + size < len(items)
        return {"AlarmHistoryItems": items[skip : skip + size], "NextToken": str(skip + size) if more else None}

    def _tag(self, params: Mapping[str, Any]) -> None:
        check_tags(params["Tags"])
        self._existing(params["ResourceARN"]).tags |= {tag["Key"]: tag["Value"] for tag in params["Tags"]}

    def _untag(self, params: Mapping[str, Any]) -> None:
        for key in params["TagKeys"]:
            self._existing(params["ResourceARN"]).tags.pop(key, None)

    def _list_tags(self, params: Mapping[str, Any]) -> dict[str, Any]:
        tags = self._existing(params["ResourceARN"]).tags
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
