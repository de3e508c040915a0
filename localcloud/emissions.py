"""Metrics, events and logs that AWS services write of their own accord."""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import Any

from localcloud.context import Context
from localcloud.extension import require


def put_metric(
    context: Context, namespace: str, name: str, value: float, unit: str, dimensions: dict[str, str], at: datetime
) -> None:
    """Record one value; see `Context.put_metric`."""
    from ministack.services import cloudwatch

    require(cloudwatch, "_store_datum")
    with context.scope():
        cloudwatch._store_datum(namespace, name, dimensions, at.timestamp(), unit, value, None, None, None)


def put_event(
    context: Context, source: str, detail_type: str, detail: dict[str, Any], resources: list[str], bus: str
) -> None:
    """Put an event on a bus; see `Context.put_event`."""
    from ministack.services import eventbridge

    require(eventbridge, "_put_events")
    entry = {
        "Source": source,
        "DetailType": detail_type,
        "Detail": json.dumps(detail, default=str),
        "Resources": resources,
        "EventBusName": bus,
    }
    with context.scope():
        status, _, body = eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)
    if status >= 400 or json.loads(body).get("FailedEntryCount"):
        raise ValueError(f"the event {detail_type} was refused: {body.decode()}")


def put_log(context: Context, group: str, stream: str, lines: list[str]) -> None:
    """Append lines to a log stream; see `Context.put_log`."""
    from ministack.services import cloudwatch_logs

    require(cloudwatch_logs, "_log_groups", "_create_log_group", "_create_log_stream", "_put_log_events")
    if not lines:
        return
    names = {"logGroupName": group, "logStreamName": stream}
    now = int(time.time() * 1000)
    with context.scope():
        if group not in cloudwatch_logs._log_groups:
            cloudwatch_logs._create_log_group(names)
        if stream not in cloudwatch_logs._log_groups[group]["streams"]:
            cloudwatch_logs._create_log_stream(names)
        cloudwatch_logs._put_log_events({**names, "logEvents": [{"timestamp": now, "message": line} for line in lines]})
