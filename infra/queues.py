"""Queues that messages wait in, each with the queue where messages end that can't be processed."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.python_function import PythonFunction

__all__ = ["DeadLetters", "Inbox"]

KEPT = cdk.Duration.days(14)


class DeadLetters(sqs.Queue):
    """Messages that failed for good: kept for 14 days, counted by an alarm, sent again by a person (redrive)."""

    def __init__(self, scope: Construct, construct_id: str) -> None:
        super().__init__(
            scope,
            construct_id,
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=KEPT,
        )

    def accept_from(self, service: str, source_arn: str) -> None:
        """Let one rule, and no other, of an AWS service put messages here."""
        accept(self, service, source_arn)


class Inbox(Construct):
    """
    A queue in front of a function: bursts wait, failures come back alone (partial batch responses), poison ends in
    `dead_letters`.

    Parameters
    ----------
    consumer
        Its timeout sets how long a message stays hidden: six times as long, as AWS advises for Lambda, but at most a
        quarter of an hour beyond it, so that a file whose call was cut off isn't left alone for hours.
    batch_size
        Messages a call.
    max_concurrency
        Calls at a time, 2 to 1000.
    dead_letters
        A queue for poison that others put messages into too; else one of its own.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        consumer: PythonFunction,
        batch_size: int,
        max_concurrency: int,
        max_receives: int = 5,
        dead_letters: sqs.Queue | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self.dead_letters = dead_letters or DeadLetters(self, "DeadLetters")
        timeout_seconds = int((consumer.function.timeout or cdk.Duration.seconds(3)).to_seconds())
        self.queue = sqs.Queue(
            self,
            "Queue",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=KEPT,
            visibility_timeout=cdk.Duration.seconds(min(6 * timeout_seconds, timeout_seconds + 900)),
            dead_letter_queue=sqs.DeadLetterQueue(max_receive_count=max_receives, queue=self.dead_letters),
        )
        lambda_.EventSourceMapping(
            self,
            "Source",
            target=consumer.function,
            event_source_arn=self.queue.queue_arn,
            batch_size=batch_size,
            max_concurrency=max_concurrency,
            report_batch_item_failures=True,
        )
        consumer.may(["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"], [self.queue.queue_arn])

    def accept_from(self, service: str, source_arn: str) -> None:
        """Let one rule, and no other, of an AWS service put messages here."""
        accept(self.queue, service, source_arn)


def accept(queue: sqs.Queue, service: str, source_arn: str) -> None:
    """Let `service` send to `queue` on behalf of `source_arn` in this account."""
    queue.add_to_resource_policy(
        iam.PolicyStatement(
            principals=[iam.ServicePrincipal(service)],
            actions=["sqs:SendMessage"],
            resources=[queue.queue_arn],
            conditions={
                "ArnEquals": {"aws:SourceArn": source_arn},
                "StringEquals": {"aws:SourceAccount": cdk.Aws.ACCOUNT_ID},
            },
        )
    )
