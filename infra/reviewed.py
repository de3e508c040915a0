"""
Findings of the NIST 800-53 R5 and Serverless packs of cdk-nag that stay, by rule and type of resource, with the reason.

A rule of these packs asks for the same of every resource of a type, and our answer is the same for each: so the answer
is given once here, and put on each resource that it is about. What differs from resource to resource (wildcards of the
AwsSolutions pack) is answered where the resource is made. A test holds this list to the report, in both directions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import aws_cdk as cdk
from constructs import IConstruct

__all__ = ["REVIEWED", "Review", "acknowledge_reviewed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """
    What a security reviewer is told about one rule on one type of resource.

    Attributes
    ----------
    only
        Parts of construct paths, if the answer is about some resources of the type alone: what else the rule finds
        fails the synthesis.
    """

    pack: str
    rule: str
    resource: str
    reason: str
    only: tuple[str, ...] = ()

    @property
    def identity(self) -> str:
        """How an acknowledgement names the finding."""
        return f"{self.pack}::{self.pack}-{self.rule}"

    def is_about(self, construct: IConstruct) -> bool:
        """Whether this answer is for the construct."""
        if not cdk.CfnResource.is_cfn_resource(construct):
            return False
        resource: cdk.CfnResource = construct  # type: ignore[assignment]
        return resource.cfn_resource_type == self.resource and (
            not self.only or any(part in resource.node.path for part in self.only)
        )


_NIST, _SERVERLESS = "NIST.800.53.R5", "Serverless"
_FUNCTION = "AWS::Lambda::Function"
_SYNCHRONOUS: Final = (
    "It is called by a state machine, by a queue with dead letters of its own, or by CloudFormation: whoever calls it "
    "gets the error. Functions that are called asynchronously have a dead-letter queue."
)

REVIEWED: Final = (
    Review(
        pack=_NIST,
        rule="IAMNoInlinePolicy",
        resource="AWS::IAM::Policy",
        reason="Each policy belongs to one role of one function, machine or job and to nothing else: a managed policy "
        "would only make it attachable to other roles.",
    ),
    Review(
        pack=_NIST,
        rule="LambdaConcurrency",
        resource=_FUNCTION,
        reason="Queues bound how many calls run at once (maximum concurrency of their event source); reserving takes "
        "from the account's own limit, 10 when it is new. -c reserve_rollback=true reserves for the roll-back.",
    ),
    Review(
        pack=_NIST,
        rule="LambdaDLQ",
        resource=_FUNCTION,
        reason=_SYNCHRONOUS,
    ),
    Review(
        pack=_NIST,
        rule="LambdaInsideVPC",
        resource=_FUNCTION,
        reason="Functions reach AWS's own services over TLS alone, under roles that name each resource; there is "
        "nothing in a VPC that they would need, and no data that they reach over another network.",
    ),
    Review(
        pack=_NIST,
        rule="CloudWatchAlarmAction",
        resource="AWS::CloudWatch::Alarm",
        only=("/Guardrails/",),
        reason="A guardrail acts through its slot's composite alarm, which tells people and rolls back: an action of "
        "its own would do both twice.",
    ),
    Review(
        pack=_NIST,
        rule="DynamoDBInBackupPlan",
        resource="AWS::DynamoDB::Table",
        reason="The table can be restored to any second of the last 35 days (point-in-time recovery); -c backup=true "
        "adds a plan of AWS Backup for who must keep copies apart.",
    ),
    Review(
        pack=_NIST,
        rule="S3BucketReplicationEnabled",
        resource="AWS::S3::Bucket",
        reason="Buckets are versioned and the audit bucket is locked; replication to a second region doubles storage "
        "and puts data where its owner may not want it, so it is left to the account.",
    ),
    Review(
        pack=_NIST,
        rule="S3DefaultEncryptionKMS",
        resource="AWS::S3::Bucket",
        only=("/AccessLogs/",),
        reason="S3 can't deliver access logs to a bucket that is encrypted with a customer's key; it uses S3's own.",
    ),
    Review(
        pack=_SERVERLESS,
        rule="LambdaDLQ",
        resource=_FUNCTION,
        reason=_SYNCHRONOUS,
    ),
    Review(
        pack=_SERVERLESS,
        rule="LambdaLatestVersion",
        resource=_FUNCTION,
        reason="Python 3.12 is what AWS's scikit-learn image has: what was tested trains, serves and validates.",
    ),
    Review(
        pack=_SERVERLESS,
        rule="LambdaEventSourceMappingDestination",
        resource="AWS::Lambda::EventSourceMapping",
        reason="The source is a queue, whose own redrive policy keeps what could not be processed, with an alarm.",
    ),
    Review(
        pack=_SERVERLESS,
        rule="SQSRedrivePolicy",
        resource="AWS::SQS::Queue",
        only=("DeadLetters", "Undelivered"),
        reason="It is itself where messages end that could not be processed: kept for 14 days, with an alarm on it.",
    ),
)


def acknowledge_reviewed(app: cdk.App) -> None:
    """Put every answer on the resources that it is about."""
    for construct in app.node.find_all():
        for review in REVIEWED:
            if review.is_about(construct):
                acknowledgement = cdk.Acknowledgment(id=review.identity, reason=review.reason)
                cdk.Validations.of(construct).acknowledge(acknowledgement)
