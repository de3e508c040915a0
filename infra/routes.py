"""Rules of event buses and schedules: who is told of what, and where it goes when it can't be delivered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra.foundation import Foundation
from infra.python_function import PythonFunction
from infra.queues import DeadLetters, Inbox
from perennial.events import SOURCE, Event

__all__ = ["Route", "Timetable", "announced", "landed"]

RETRIES = 185
MAX_AGE_SECONDS = 86_400
EVENTS = "events.amazonaws.com"


def announced(foundation: Foundation, *kinds: type[Event]) -> dict[str, Any]:
    """The pattern of our own events of these kinds (all, if none is named) of this loop."""
    pattern: dict[str, Any] = {"source": [SOURCE], "detail": {"loop": [foundation.loop.name]}}
    return pattern | ({"detail-type": [kind.detail_type for kind in kinds]} if kinds else {})


def landed(bucket_name: str, prefix: str) -> dict[str, Any]:
    """The pattern of new objects under a prefix of a bucket of this account."""
    return {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "account": [cdk.Aws.ACCOUNT_ID],
        "detail": {"bucket": {"name": [bucket_name]}, "object": {"key": [{"prefix": prefix}]}},
    }


class Route(Construct):
    """
    A rule on a bus with its targets; what can't be delivered within a day ends in `dead_letters`.

    Parameters
    ----------
    bus
        None is the account's default bus, where AWS's own events are.
    to
        Functions, inboxes and topics, by a name each.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        pattern: Mapping[str, Any],
        to: Mapping[str, PythonFunction | Inbox | sns.Topic],
        dead_letters: DeadLetters,
        bus: events.IEventBus | None = None,
        description: str,
    ) -> None:
        super().__init__(scope, construct_id)
        self.rule = events.CfnRule(
            self,
            "Rule",
            description=description,
            event_bus_name=bus.event_bus_name if bus else None,
            event_pattern=dict(pattern),
            state="ENABLED",
            targets=[
                events.CfnRule.TargetProperty(
                    id=name,
                    arn=_arn(target),
                    dead_letter_config=events.CfnRule.DeadLetterConfigProperty(arn=dead_letters.queue_arn),
                    retry_policy=events.CfnRule.RetryPolicyProperty(
                        maximum_event_age_in_seconds=MAX_AGE_SECONDS, maximum_retry_attempts=RETRIES
                    ),
                )
                for name, target in to.items()
            ],
        )
        dead_letters.accept_from(EVENTS, self.rule.attr_arn)
        for name, target in to.items():
            self._let_in(name, target)

    def _let_in(self, name: str, target: PythonFunction | Inbox | sns.Topic) -> None:
        match target:
            case PythonFunction():
                lambda_.CfnPermission(
                    self,
                    f"Permission{name}",
                    action="lambda:InvokeFunction",
                    function_name=target.arn,
                    principal=EVENTS,
                    source_arn=self.rule.attr_arn,
                    source_account=cdk.Aws.ACCOUNT_ID,
                )
            case Inbox():
                target.accept_from(EVENTS, self.rule.attr_arn)
            case _:
                # Without conditions, alone of all our resource policies: "You can't use Condition blocks in Amazon SNS
                # topic policies for EventBridge" (resource-based policies of EventBridge, read 2026-11).
                # Equal statements of several rules become one.
                target.add_to_resource_policy(
                    iam.PolicyStatement(
                        principals=[iam.ServicePrincipal(EVENTS)],
                        actions=["sns:Publish"],
                        resources=[target.topic_arn],
                    )
                )


def _arn(target: PythonFunction | Inbox | sns.Topic) -> str:
    match target:
        case PythonFunction():
            return target.arn
        case Inbox():
            return target.queue.queue_arn
        case _:
            return target.topic_arn


class Timetable(Construct):
    """
    Calls one function again and again, with the same input.

    Parameters
    ----------
    expression
        EventBridge Scheduler's: rate(1 day), cron(0 3 * * ? *).
    payload
        JSON text that the function is called with.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        expression: str,
        target: PythonFunction,
        payload: str,
        dead_letters: DeadLetters,
        description: str,
    ) -> None:
        super().__init__(scope, construct_id)
        role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal(
                "scheduler.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": cdk.Aws.ACCOUNT_ID}}
            ),
            description=f"Lets one schedule call {target.node.id}",
        )
        role.add_to_principal_policy(iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[target.arn]))
        role.add_to_principal_policy(
            iam.PolicyStatement(actions=["sqs:SendMessage"], resources=[dead_letters.queue_arn])
        )
        self.schedule = scheduler.CfnSchedule(
            self,
            "Schedule",
            description=description,
            schedule_expression=expression,
            flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
            target=scheduler.CfnSchedule.TargetProperty(
                arn=target.arn,
                role_arn=role.role_arn,
                input=payload,
                dead_letter_config=scheduler.CfnSchedule.DeadLetterConfigProperty(arn=dead_letters.queue_arn),
                retry_policy=scheduler.CfnSchedule.RetryPolicyProperty(
                    maximum_event_age_in_seconds=MAX_AGE_SECONDS, maximum_retry_attempts=RETRIES
                ),
            ),
        )
