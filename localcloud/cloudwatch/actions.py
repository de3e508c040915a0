"""What a change of an alarm's state sets off: an event, and the alarm's own actions (SNS topics, Lambda functions)."""

from __future__ import annotations

import fnmatch
import json
import queue
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from localcloud.cloudwatch.alarm import Alarm, stamp
from localcloud.cloudwatch.book import AlarmBook
from localcloud.context import Context

ACTIONS = {"ALARM": "AlarmActions", "OK": "OKActions", "INSUFFICIENT_DATA": "InsufficientDataActions"}
LAMBDA_PRINCIPAL = "lambda.alarms.cloudwatch.amazonaws.com"
_REGION_NAMES = {"us-east-1": "US East (N. Virginia)", "eu-west-1": "EU (Ireland)", "us-west-2": "US West (Oregon)"}


class Refused(Exception):
    """An action can't be carried out; the message says why."""


class Dispatcher:
    """Carries changes out one after the other, on a thread of its own, so that nobody waits for an action."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._log = context.log.getChild("cloudwatch")
        self._changes: queue.Queue[tuple[dict[str, Any], list[str], Alarm]] = queue.Queue()
        self.book: AlarmBook | None = None

    def note(self, alarm: Alarm, before: dict[str, Any]) -> None:
        """Take note of a change; the alarm as it is now is what the messages will say."""
        change = {
            "alarmName": alarm.name,
            "state": alarm.snapshot(),
            "previousState": before,
            "configuration": alarm.configuration(),
        }
        enabled = alarm.config.get("ActionsEnabled", True)
        self._changes.put((change, list(alarm.config.get(ACTIONS[alarm.state], ())) if enabled else [], alarm))

    def run(self) -> None:
        """Work until the server stops."""
        while not self._context.stopping:
            try:
                change, arns, alarm = self._changes.get(timeout=0.5)
            except queue.Empty:
                continue
            try:
                self._context.put_event("aws.cloudwatch", "CloudWatch Alarm State Change", change, [alarm.arn])
            except Exception:  # noqa: BLE001 - the actions must still run
                self._log.exception("the state change of %s reached no bus", alarm.name)
            for arn in arns:
                self._act(arn, change, alarm)

    def _act(self, arn: str, change: Mapping[str, Any], alarm: Alarm) -> None:
        outcome = {"actionState": "Succeeded", "stateUpdateTimestamp": int(alarm.updated * 1000)}
        try:
            if ":sns:" in arn:
                self._publish(arn, change, alarm)
            elif ":lambda:" in arn:
                self._invoke(arn, change, alarm)
            else:
                raise Refused("actions are SNS topics and Lambda functions here")
        except (ClientError, BotoCoreError, Refused) as error:
            outcome |= {"actionState": "Failed", "error": str(error)}
            self._log.warning("action %s of alarm %s failed: %s", arn, alarm.name, error)
        verb = "Successfully executed" if outcome["actionState"] == "Succeeded" else "Failed to execute"
        if self.book is not None:
            now = self._context.clock().timestamp()
            self.book.record(alarm, "Action", f"{verb} action {arn}", outcome | {"notificationResource": arn}, now)

    def _publish(self, topic: str, change: Mapping[str, Any], alarm: Alarm) -> None:
        region = _REGION_NAMES.get(self._context.region, self._context.region)
        subject = f'{change["state"]["value"]}: "{alarm.name}" in {region}'[:100]
        message = self._sns_message(change, alarm, region)
        self._context.call("sns", "Publish", {"TopicArn": topic, "Subject": subject, "Message": json.dumps(message)})

    def _sns_message(self, change: Mapping[str, Any], alarm: Alarm, region: str) -> dict[str, Any]:
        config = alarm.config
        message = {
            "AlarmName": alarm.name,
            "AlarmDescription": config.get("AlarmDescription"),
            "AWSAccountId": self._context.account,
            "AlarmConfigurationUpdatedTimestamp": stamp(alarm.configured),
            "NewStateValue": change["state"]["value"],
            "NewStateReason": change["state"]["reason"],
            "StateChangeTime": change["state"]["timestamp"],
            "Region": region,
            "AlarmArn": alarm.arn,
            "OldStateValue": change["previousState"]["value"],
            **{name: config.get(name, []) for name in ACTIONS.values()},
        }
        if alarm.kind == "CompositeAlarm":
            return message | {"AlarmRule": config["AlarmRule"]}
        trigger = {
            "Period": config.get("Period"),
            "EvaluationPeriods": config["EvaluationPeriods"],
            "DatapointsToAlarm": alarm.policy.to_alarm,
            "ComparisonOperator": config["ComparisonOperator"],
            "Threshold": config["Threshold"],
            "TreatMissingData": config.get("TreatMissingData", "missing"),
            "EvaluateLowSampleCountPercentile": config.get("EvaluateLowSampleCountPercentile", ""),
        }
        if "Metrics" in config:
            return message | {"Trigger": trigger | {"Metrics": config["Metrics"]}}
        pairs = [{"name": pair["Name"], "value": pair["Value"]} for pair in config.get("Dimensions", ())]
        kind = "Statistic" if "Statistic" in config else "ExtendedStatistic"
        metric = {"MetricName": config["MetricName"], "Namespace": config["Namespace"], "Dimensions": pairs}
        shown = alarm.statistic.upper() if kind == "Statistic" else alarm.statistic
        metric |= {"StatisticType": kind, kind: shown, "Unit": config.get("Unit")}
        return message | {"Trigger": metric | trigger}

    def _invoke(self, function: str, change: Mapping[str, Any], alarm: Alarm) -> None:
        if not self._may_invoke(function, alarm):
            raise Refused(f"CloudWatch has no permission to invoke {function}: add one for {LAMBDA_PRINCIPAL}")
        payload = {
            "source": "aws.cloudwatch",
            "alarmArn": alarm.arn,
            "accountId": self._context.account,
            "time": change["state"]["timestamp"],
            "region": self._context.region,
            "alarmData": change,
        }
        params = {"FunctionName": function, "InvocationType": "Event", "Payload": json.dumps(payload).encode()}
        self._context.call("lambda", "Invoke", params)

    def _may_invoke(self, function: str, alarm: Alarm) -> bool:
        try:
            policy = json.loads(self._context.call("lambda", "GetPolicy", {"FunctionName": function})["Policy"])
        except ClientError as error:
            if error.response["Error"]["Code"] == "ResourceNotFoundException":
                return False
            raise
        return any(_allows(statement, alarm.arn, self._context.account) for statement in policy.get("Statement", ()))


def _allows(statement: Mapping[str, Any], alarm_arn: str, account: str) -> bool:
    principal = statement.get("Principal", {})
    named = principal if isinstance(principal, str) else principal.get("Service", ())
    if statement.get("Effect") != "Allow" or (LAMBDA_PRINCIPAL not in named and named != "*"):
        return False
    for operator, wanted in statement.get("Condition", {}).items():
        for key, value in wanted.items():
            actual = {"aws:sourcearn": alarm_arn, "aws:sourceaccount": account}.get(key.lower(), "")
            patterns = value if isinstance(value, list) else [value]
            exact = "Like" not in operator
            if not any(actual == p if exact else fnmatch.fnmatchcase(actual, p) for p in patterns):
                return False
    return True
