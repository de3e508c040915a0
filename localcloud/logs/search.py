"""
FilterLogEvents: what `aws logs tail` asks for, page by page.

https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html (read 2026-11): at most
10,000 events or 1 MB an answer, a nextToken while there is more, streams by name or by prefix, never both.
ministack gives the first page only, ignores the prefix, and takes a pattern about JSON for one that matches all.
"""

from __future__ import annotations

import base64
import heapq
from collections.abc import Callable
from typing import Any

from ministack.core.responses import error_response_json, json_response
from ministack.services import cloudwatch_logs as service

from localcloud.context import Context
from localcloud.extension import replace, require
from localcloud.logs.pattern import PatternInvalid, compile_pattern

LARGEST_PAGE, PAGE_BYTES = 10_000, 1_048_576


def install(context: Context) -> None:
    """Answer FilterLogEvents ourselves."""
    require(service, "_log_groups", "_log_events_lock", "_resolve_log_group_name")
    replace(service, "_filter_log_events", _answer)


def _answer(asked: dict[str, Any]) -> Any:
    group = service._resolve_log_group_name(asked)
    if group not in service._log_groups:
        return error_response_json("ResourceNotFoundException", f"The specified log group does not exist: {group}", 400)
    try:
        wanted = compile_pattern(asked.get("filterPattern", ""))
        streams = _streams(service._log_groups[group]["streams"], asked)
        with service._log_events_lock:
            histories = [_within(name, stream["events"], asked) for name, stream in streams.items()]
            events = list(heapq.merge(*histories, key=lambda event: (event["timestamp"], event["ingestionTime"])))
        return json_response(_page(events, wanted, asked))
    except PatternInvalid as error:
        return error_response_json("InvalidParameterException", f"Invalid filter pattern: {error}", 400)
    except ValueError as error:
        return error_response_json("InvalidParameterException", str(error), 400)


def _streams(streams: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    names, prefix = asked.get("logStreamNames"), asked.get("logStreamNamePrefix")
    if names and prefix:
        raise ValueError("LogStreamNamePrefix and LogStreamNames are mutually exclusive")
    return {
        name: stream
        for name, stream in streams.items()
        if (not names or name in names) and name.startswith(prefix or "")
    }


def _within(name: str, history: list[dict[str, Any]], asked: dict[str, Any]) -> list[dict[str, Any]]:
    start, end = asked.get("startTime", 0), asked.get("endTime")
    return [
        {**event, "logStreamName": name}
        for event in history
        if start <= event["timestamp"] and (end is None or event["timestamp"] <= end)
    ]


def _page(events: list[dict[str, Any]], wanted: Callable[[str], bool], asked: dict[str, Any]) -> dict[str, Any]:
    """The events that follow the token's, as many as one answer holds; a token when more follow."""
    limit = min(asked.get("limit") or LARGEST_PAGE, LARGEST_PAGE)
    found = (event for event in events[_position(events, asked.get("nextToken")) :] if wanted(event["message"]))
    page: list[dict[str, Any]] = []
    held = 0
    for event in found:
        held += len(event["message"].encode())
        if len(page) == limit or (page and held > PAGE_BYTES):
            return {"events": page, "searchedLogStreams": [], "nextToken": _token(page[-1])}
        page.append(event)
    return {"events": page, "searchedLogStreams": []}


def _token(event: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(str(event["eventId"]).encode()).decode()


def _position(events: list[dict[str, Any]], token: str | None) -> int:
    """Where the page begins: after the event that the token names."""
    if not token:
        return 0
    for index, event in enumerate(events):
        if _token(event) == token:
            return index + 1
    raise ValueError("The specified nextToken is invalid.")
