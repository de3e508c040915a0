"""All alarms: kept, described, moved from state to state, with a history and a word to whoever acts on it."""

from __future__ import annotations

import json
import math
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from localcloud.cloudwatch import evaluation, queries, rule
from localcloud.cloudwatch.alarm import Alarm, check_metric_alarm, check_tags, jsonable, stamp
from localcloud.cloudwatch.evaluation import State
from localcloud.cloudwatch.protocol import CloudWatchError
from localcloud.cloudwatch.store import MetricKey, MetricStore, dimensions_of
from localcloud.scales import Scales

MAX_HISTORY = 5_000
LONGEST_INTERVAL = 60.0
HIGH_RESOLUTION_INTERVAL = 10.0
SETTLE_SHARE = 0.15
"""Share of an evaluation interval that late datapoints are waited for."""

Acted = Callable[[Alarm, dict[str, Any]], None]
"""Called with an alarm that changed its state, and what `Alarm.snapshot` was before."""


class AlarmBook:
    """
    Every metric and composite alarm.

    Parameters
    ----------
    on_change
        Told of each change of state, in order, while the book is locked: it must only take note.
    arn_of
        The ARN of the alarm with a name.
    """

    def __init__(self, store: MetricStore, scales: Scales, on_change: Acted, arn_of: Callable[[str], str]) -> None:
        self._store = store
        self._scales = scales
        self._on_change = on_change
        self._arn_of = arn_of
        self.alarms: dict[str, Alarm] = {}
        self.history: deque[dict[str, Any]] = deque(maxlen=MAX_HISTORY)
        self.lock = threading.RLock()

    # Configuration

    def put_metric(self, params: Mapping[str, Any], now: float) -> None:
        """PutMetricAlarm: a new alarm is evaluated at once, an existing one keeps its state."""
        check_metric_alarm(params)
        with self.lock:
            alarm = self._put("MetricAlarm", params, now)
            alarm.evaluated_until = 0.0
            self._evaluate(alarm, now)

    def put_composite(self, params: Mapping[str, Any], now: float) -> None:
        """PutCompositeAlarm; every alarm that the rule names must exist."""
        check_tags(params.get("Tags", ()))
        if params.get("ActionsSuppressor"):
            raise CloudWatchError("ValidationError", "not part of the local cloud: ActionsSuppressor")
        with self.lock:
            try:
                parsed = rule.parse(params["AlarmRule"])
            except rule.BadRule as error:
                raise CloudWatchError("ValidationError", str(error)) from error
            missing = [name for name in parsed.alarms if self.find(name) is None]
            if missing:
                listed = ", ".join(name if name.startswith("arn:") else self._arn_of(name) for name in missing)
                raise CloudWatchError(
                    "ValidationError",
                    f"Could not save the composite alarm as alarms [{listed}] in the alarm rule do not exist",
                )
            alarm = self._put("CompositeAlarm", params, now)
            self._evaluate_composite(alarm, now, cause=None)

    def _put(self, kind: str, params: Mapping[str, Any], now: float) -> Alarm:
        name = params["AlarmName"]
        existing = self.alarms.get(name)
        if existing is not None and existing.kind != kind:
            raise CloudWatchError("ValidationError", f"{name} exists already as a {existing.kind}")
        config = jsonable({key: value for key, value in params.items() if key != "Tags"})
        if existing is None:
            alarm = Alarm(name, self._arn_of(name), kind, config, updated=now, transitioned=now, configured=now)
            alarm.tags = {tag["Key"]: tag["Value"] for tag in params.get("Tags", ())}
            self.alarms[name] = alarm
        else:
            alarm = existing
            alarm.config, alarm.configured = config, now
        verb = "created" if existing is None else "updated"
        self.record(alarm, "ConfigurationUpdate", f'Alarm "{name}" {verb}', {"type": verb.title()}, now)
        return alarm

    def delete(self, names: Iterable[str]) -> None:
        """DeleteAlarms: not while a composite alarm names it."""
        with self.lock:
            chosen = [self.alarms[name] for name in dict.fromkeys(names) if name in self.alarms]
            if sum(alarm.kind == "CompositeAlarm" for alarm in chosen) > 1:
                raise CloudWatchError("ValidationError", "Only one composite alarm can be deleted per operation.")
            for alarm in chosen:
                if self.parents_of(alarm.name):
                    raise CloudWatchError(
                        "ValidationError",
                        f"Cannot delete {alarm.name} as there are composite alarm(s) depending on it.",
                    )
            for alarm in chosen:
                del self.alarms[alarm.name]

    def enable(self, names: Iterable[str], enabled: bool) -> None:
        """EnableAlarmActions and DisableAlarmActions."""
        with self.lock:
            for name in names:
                if name in self.alarms:
                    self.alarms[name].config["ActionsEnabled"] = enabled

    def set_state(self, params: Mapping[str, Any], now: float) -> None:
        """SetAlarmState: holds until the next evaluation says otherwise."""
        with self.lock:
            alarm = self.alarms.get(params["AlarmName"])
            if alarm is None:
                raise CloudWatchError("ResourceNotFound", f"Unknown alarm: {params['AlarmName']}", 404)
            self._move(alarm, params["StateValue"], params["StateReason"], params.get("StateReasonData"), now)

    # Reading

    def find(self, name_or_arn: str) -> Alarm | None:
        """The alarm with that name or ARN."""
        return self.alarms.get(name_or_arn.partition(":alarm:")[2] if name_or_arn[:4] == "arn:" else name_or_arn)

    def children_of(self, alarm: Alarm) -> list[Alarm]:
        """Alarms that a composite alarm's rule names."""
        if alarm.kind != "CompositeAlarm":
            return []
        return [child for name in rule.parse(alarm.config["AlarmRule"]).alarms if (child := self.find(name))]

    def parents_of(self, name: str) -> list[Alarm]:
        """Composite alarms whose rule names the alarm `name`."""
        return [a for a in self.alarms.values() if any(child.name == name for child in self.children_of(a))]

    # Evaluation

    def evaluate_due(self, now: float) -> None:
        """Evaluate every metric alarm for which another period has ended."""
        with self.lock:
            for alarm in list(self.alarms.values()):
                if alarm.kind == "MetricAlarm":
                    self._evaluate(alarm, now)

    def _evaluate(self, alarm: Alarm, now: float) -> None:
        asked = queries.finest_period(alarm.queries)
        interval = self._scales.alarm(HIGH_RESOLUTION_INTERVAL if asked < LONGEST_INTERVAL else LONGEST_INTERVAL)
        until = math.floor((now - SETTLE_SHARE * interval) / interval) * interval
        if until <= alarm.evaluated_until:
            return
        alarm.evaluated_until = until
        points, moments = self._points(alarm, until, self._scales.alarm(asked))
        verdict = evaluation.evaluate(points, alarm.policy, current=alarm.state)
        if verdict.state != alarm.state:
            data = _reason_data(alarm, points, moments, verdict, now)
            self._move(alarm, verdict.state, verdict.reason, json.dumps(data), now)

    def _points(self, alarm: Alarm, until: float, period: float) -> tuple[list[float | None], list[float]]:
        count = alarm.policy.range
        starts = [until - (count - index) * period for index in range(count)]
        moments = [(start, start, start + period) for start in starts]
        try:
            column = queries.resolve(self._store, alarm.queries, moments)[alarm.watched]
        except CloudWatchError:
            return [None] * count, starts
        if (unit := alarm.config.get("Unit")) and unit != self._unit(alarm):
            return [None] * count, starts
        return column, starts

    def _unit(self, alarm: Alarm) -> str:
        config = alarm.config
        key = MetricKey(config["Namespace"], config["MetricName"], dimensions_of(config.get("Dimensions")))
        return self._store.unit(key)

    def _evaluate_composite(self, alarm: Alarm, now: float, *, cause: Alarm | None) -> None:
        holds = rule.parse(alarm.config["AlarmRule"]).holds
        state: State = "ALARM" if holds(lambda name: found.state if (found := self.find(name)) else "") else "OK"
        if state == alarm.state:
            return
        if cause is None:
            reason = f"{alarm.arn} was created and its alarm rule evaluates to {state}"
        else:
            moment = datetime.fromtimestamp(cause.updated, UTC).strftime("%A %d %B, %Y %H:%M:%S UTC")
            reason = f"{cause.arn} transitioned to {cause.state} at {moment}"
        triggers = [child for child in self.children_of(alarm) if cause is None or child is cause]
        listed = [{"arn": t.arn, "state": {"value": t.state, "timestamp": stamp(t.updated)}} for t in triggers]
        self._move(alarm, state, reason, json.dumps({"triggeringAlarms": listed}), now)

    def _move(self, alarm: Alarm, state: State, reason: str, data: str | None, now: float) -> None:
        before = alarm.snapshot()
        alarm.reason, alarm.reason_data, alarm.updated = reason, data, now
        if state == alarm.state:
            return
        alarm.state, alarm.transitioned = state, now
        history = {
            "version": "1.0",
            "oldState": {"stateValue": before["value"], "stateReason": before["reason"]},
            "newState": {"stateValue": state, "stateReason": reason},
        }
        self.record(alarm, "StateUpdate", f"Alarm updated from {before['value']} to {state}", history, now)
        self._on_change(alarm, before)
        for parent in self.parents_of(alarm.name):
            self._evaluate_composite(parent, now, cause=alarm)

    # History and state

    def record(self, alarm: Alarm, kind: str, summary: str, data: Mapping[str, Any], now: float) -> None:
        """Add an item to the history."""
        self.history.append({
            "AlarmName": alarm.name,
            "AlarmType": alarm.kind,
            "Timestamp": now,
            "HistoryItemType": kind,
            "HistorySummary": summary,
            "HistoryData": json.dumps(data),
        })  # fmt: skip

    def dump(self) -> dict[str, Any]:
        """Everything, for JSON."""
        with self.lock:
            return {"alarms": [alarm.dump() for alarm in self.alarms.values()], "history": list(self.history)}

    def load(self, dumped: Mapping[str, Any]) -> None:
        """The reverse of `dump`."""
        with self.lock:
            self.alarms = {entry["name"]: Alarm(**entry) for entry in dumped["alarms"]}
            self.history.extend(dumped["history"])


def _reason_data(
    alarm: Alarm, points: list[float | None], starts: list[float], verdict: evaluation.Verdict, now: float
) -> dict[str, Any]:
    return {
        "version": "1.0",
        "queryDate": stamp(now),
        "startDate": stamp(starts[0]),
        **({"statistic": alarm.statistic} if alarm.statistic else {}),
        "period": queries.finest_period(alarm.queries),
        "recentDatapoints": [points[index] for index in verdict.considered],
        "threshold": alarm.policy.threshold,
        "evaluatedDatapoints": [
            {"timestamp": stamp(starts[index]), "value": points[index]} for index in reversed(verdict.considered)
        ],
    }
