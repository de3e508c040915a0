"""Fires rules that have a schedule, and EventBridge Scheduler's schedules, each on its own scaled clock."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ministack.services import eventbridge, scheduler

from localcloud.context import Context
from localcloud.events.clock import Due
from localcloud.events.delivery import Courier, Parcel, Undeliverable
from localcloud.extension import replace, require

_ATTRIBUTE = re.compile(r"<aws\.scheduler\.([\w-]+)>")


def install(context: Context, courier: Courier) -> None:
    """Stop ministack's two tickers, and start ours."""
    require(eventbridge, "_rules", "_targets", "_parse_cron_fields", "_cron_next_fire", "_invoke_target")
    require(scheduler, "_schedules", "_to_epoch")
    for module in (eventbridge, scheduler):
        replace(module, "start_scheduler", lambda: None)
    ticker = _Ticker(context, courier)
    context.every(min(1.0, max(0.02, 1.0 / context.scales.schedules)), ticker.tick, name="schedules")
    context.on_save("schedules", ticker.state)
    context.on_load("schedules", ticker.restore)


# However fast time passes: a schedule of minutes beside one of weeks would leave the machine no time for anything else.
# The faster it passes, the less often.
_SHORTEST_SECONDS, _SCALE_A_SECOND = 1.0, 80_000.0


def _not_too_soon(moment: float | None, now: float, scale: float) -> float | None:
    shortest = max(_SHORTEST_SECONDS, scale / _SCALE_A_SECOND)
    return None if moment is None else max(moment, now + shortest)


@dataclass(slots=True)
class _Entry:
    due: Due
    next_at: float | None


class _Ticker:
    def __init__(self, context: Context, courier: Courier) -> None:
        self._context = context
        self._courier = courier
        self._entries: dict[tuple[Any, ...], _Entry] = {}
        self._done: set[str] = set()
        self._log = context.log.getChild("schedules")

    def state(self) -> list[str]:
        return sorted(self._done)

    def restore(self, done: list[str]) -> None:
        self._done = set(done)

    def tick(self) -> None:
        """Fire all that is due; drop what is no longer there."""
        now = time.time()
        alive = set()
        for key, item in self._items():
            identity = (*key, item["ScheduleExpression"], item.get("State"), _created(item))
            alive.add(identity)
            entry = self._entries.get(identity) or self._enter(identity, item, now)
            if entry is None or entry.next_at is None or now < entry.next_at or not _within(item, now):
                continue
            due_at = entry.next_at
            entry.next_at = (
                None if entry.due.once else _not_too_soon(entry.due.after(now), now, self._context.scales.schedules)
            )
            self._fire(key, item, due_at, once=entry.due.once)
        for identity in self._entries.keys() - alive:
            del self._entries[identity]

    def _items(self) -> Iterator[tuple[tuple[str, str], dict[str, Any]]]:
        for kind, store in (("rule", eventbridge._rules), ("schedule", scheduler._schedules)):
            for scoped, item in list(store._data.items()):
                if item.get("State") == "ENABLED" and item.get("ScheduleExpression"):
                    yield (kind, scoped[2]), item

    def _enter(self, identity: tuple[Any, ...], item: dict[str, Any], now: float) -> _Entry | None:
        if item.get("Arn") in self._done:
            return None
        try:
            due = Due(
                item["ScheduleExpression"],
                created_at=_created(item) or now,
                scale=self._context.scales.schedules,
                zone=item.get("ScheduleExpressionTimezone") or "UTC",
            )
        except (ValueError, KeyError) as error:
            self._log.error("%s: %s", item.get("Arn"), error)
            self._done.add(item.get("Arn", ""))
            return None
        # A one-time schedule whose moment passed while the server was down is still owed.
        entry = _Entry(due, due.after(0.0 if due.once else now))
        self._entries[identity] = entry
        return entry

    def _fire(self, key: tuple[str, str], item: dict[str, Any], due_at: float, *, once: bool) -> None:
        with self._context.scope():
            if key[0] == "rule":
                event = self._event("aws.events", item["Arn"])
                for target in eventbridge._targets.get(key[1], []):
                    eventbridge._invoke_target(target, event, item)
                return
            self._send(item, due_at)
            if once:
                self._done.add(item["Arn"])
                if item.get("ActionAfterCompletion") == "DELETE":
                    scheduler._schedules.pop(key[1], None)

    def _event(self, source: str, arn: str) -> dict[str, Any]:
        return {
            "EventId": str(uuid.uuid4()),
            "Source": source,
            "DetailType": "Scheduled Event",
            "Detail": "{}",
            "EventBusName": "default",
            "Time": int(time.time()),
            "Resources": [arn],
            "Account": self._context.account,
            "Region": self._context.region,
        }

    def _send(self, schedule: dict[str, Any], due_at: float) -> None:
        target, arn = schedule["Target"], schedule["Arn"]
        execution = str(uuid.uuid4())
        stamp = datetime.fromtimestamp(due_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        values = {"schedule-arn": arn, "scheduled-time": stamp, "execution-id": execution, "attempt-number": "1"}
        if target.get("Input"):
            payload = _ATTRIBUTE.sub(lambda found: values.get(found[1], found[0]), target["Input"])
        else:
            view = eventbridge._pattern_event_view(self._event("aws.scheduler", arn))
            payload = json.dumps(view.event_with_detail())
        parcel = Parcel(
            target=target,
            payload=payload,
            service="scheduler.amazonaws.com",
            source_arn=arn,
            role=target["RoleArn"],
            execution_name=execution,
            labels={"SCHEDULE_ARN": arn, "SCHEDULED_TIME": stamp},
        )
        if target["Arn"].startswith("arn:aws:scheduler:::aws-sdk:"):
            error = Undeliverable("UNSUPPORTED_TARGET", "the local cloud has no universal targets", hopeless=True)
            self._log.error("%s: %s", arn, error)
            return
        self._courier.send(parcel)


def _created(item: dict[str, Any]) -> float:
    return float(scheduler._to_epoch(item.get("CreationDate") or item.get("CreationTime")) or 0.0)


def _within(item: dict[str, Any], now: float) -> bool:
    start, end = scheduler._to_epoch(item.get("StartDate")), scheduler._to_epoch(item.get("EndDate"))
    return (start is None or now >= start) and (end is None or now <= end)
