"""What the local cloud's roles asked for in a run, and the policies of the deployed stacks that decide on it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.iam.simulator import Call, Policies

__all__ = ["Deployed", "Recorded", "deployed_policies", "recorded_calls"]

# The session in which tests/loop/test_next_door.py takes roles.
PROBING = "next-door"
_HASH = re.compile(r"[0-9A-F]{8}$")


@dataclass(frozen=True, slots=True)
class Deployed:
    """
    What decides in an account on the calls of some stacks' roles.

    Parameters
    ----------
    names
        Part and logical id, without its hash, of each role, by its physical name: `Data/ValidateBatchRole`.
    """

    policies: Policies
    names: Mapping[str, str]

    def allowed(self) -> Iterator[tuple[str, str]]:
        """Every action that a role's own policies allow: the role as in `names`, and the action."""
        for role, documents in self.policies.identity.items():
            for document in documents:
                for statement in document["Statement"]:
                    if statement["Effect"] == "Allow":
                        yield from ((self.names[role], action) for action in _listed(statement["Action"]))


@dataclass(frozen=True, slots=True)
class Recorded:
    """A call, and what the local cloud said of the role's own policies."""

    call: Call
    is_allowed: bool


def recorded_calls(file: Path, roles: Iterable[str]) -> list[Recorded]:
    """
    Distinct calls of some roles out of a recording, which holds one several times when its server was restarted.

    What a test asked in a role's name, to see it refused, is no call of the product's.
    """
    wanted = set(roles)
    told = [json.loads(line) for line in dict.fromkeys(file.read_text().splitlines())]
    return [
        Recorded(Call(one["role"], one["action"], one["resource"], one["context"]), one["allowed"])
        for one in told
        if one["role"] in wanted and one["session"] != PROBING
    ]


def deployed_policies(session: Any, stacks: Mapping[str, str]) -> Deployed:
    """Policies of roles, keys, buckets, queues and topics of the stacks, by part; read from the account."""
    resources = [
        (part, one["ResourceType"], one["LogicalResourceId"], one["PhysicalResourceId"])
        for part, stack in stacks.items()
        for page in session.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
        for one in page["StackResourceSummaries"]
    ]
    names = {
        physical: f"{part}/{_HASH.sub('', logical)}"
        for part, kind, logical, physical in resources
        if kind == "AWS::IAM::Role"
    }
    identity = {role: list(_identity(session.client("iam"), role)) for role in names}
    resource = {arn: json.loads(text) for arn, text in _resource(session, resources) if text}
    account = session.client("sts").get_caller_identity()["Account"]
    return Deployed(Policies(account, identity, resource), names)


def _identity(iam: Any, role: str) -> Iterator[Mapping[str, Any]]:
    assert not iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"], role
    for page in iam.get_paginator("list_role_policies").paginate(RoleName=role):
        for name in page["PolicyNames"]:
            yield iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]


def _resource(session: Any, resources: Sequence[tuple[str, str, str, str]]) -> Iterator[tuple[str, str | None]]:
    kms, s3, sqs, sns = (session.client(name) for name in ("kms", "s3", "sqs", "sns"))
    for _, kind, _, physical in resources:
        match kind:
            case "AWS::KMS::Key":
                arn = kms.describe_key(KeyId=physical)["KeyMetadata"]["Arn"]
                yield arn, kms.get_key_policy(KeyId=physical, PolicyName="default")["Policy"]
            case "AWS::S3::Bucket":
                yield f"arn:aws:s3:::{physical}", s3.get_bucket_policy(Bucket=physical)["Policy"]
            case "AWS::SQS::Queue":
                about = sqs.get_queue_attributes(QueueUrl=physical, AttributeNames=["QueueArn", "Policy"])["Attributes"]
                yield about["QueueArn"], about.get("Policy")
            case "AWS::SNS::Topic":
                yield physical, sns.get_topic_attributes(TopicArn=physical)["Attributes"].get("Policy")


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
