"""
What CDK's own constructs grant for an integration, ours must grant too: what they know of AWS, we can't forget.

A pattern of theirs (s3:GetObject*) is met by one action of it: ours name actions. What is left out on purpose is in
OMITTED with its reason, and only as long as it is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

import pytest

from tests.infra.cdk_grants import INTEGRATIONS, POLICIES, Grants, actions_of, grants_of, stacks
from tests.infra.conftest import Assembly
from tests.infra.definitions import definitions

# The resource of a state, by the integration that it is; each grants to the machine's role.
STATES = {
    "training job": "sagemaker:createTrainingJob.sync",
    "nested execution": "states:startExecution.sync:2",
    "message from a machine": "states:::sqs:sendMessage",
    "function from a machine": ":function:",
    "function with a task token": "lambda:invoke.waitForTaskToken",
}
JOBS = ("sagemaker:createTrainingJob.sync", "sagemaker:createProcessingJob.sync")
# An action that only a role with the integration has.
FUNCTIONS = {
    "answer to a task token": "states:SendTaskSuccess",
    "start of an execution": "states:StartExecution",
    "function on a queue": "sqs:ReceiveMessage",
    "encrypted table": "dynamodb:PutItem",
    "encrypted bucket": "s3:PutObject",
    "encrypted topic": "sns:Publish",
    "event bus": "events:PutEvents",
}
RULES = ("rule to an encrypted topic", "rule to a queue", "rule to a function")

_BY_USE = "each function has the operations that its own code calls, as its docstring lists them, and no other"
_NO_REENCRYPT = "nothing moves ciphertext from one key to another: what is copied is read and written"
_OBJECT = "whoever writes objects neither deletes, tags nor holds them; retention is the bucket's own default"
_REGION = "a bucket's region comes from HeadBucket, which s3:ListBucket allows"
_HELD = {f"s3:PutObject{what}": _OBJECT for what in ("LegalHold", "Retention", "Tagging", "VersionTagging")}
_OBJECTS = {"kms:ReEncrypt*": _NO_REENCRYPT, "s3:DeleteObject*": _OBJECT, "s3:GetBucket*": _REGION, **_HELD}
_SQS = "EventBridge's guide asks for sqs:SendMessage alone"
OMITTED: Mapping[str, Mapping[str, str]] = {
    "training job": _OBJECTS,
    "answer to a task token": {
        "states:SendTaskFailure": "a denial is an answer: the machine reads it, and goes on to say why",
        "states:SendTaskHeartbeat": "the task has no heartbeat: people are given days",
    },
    "function on a queue": {
        "sqs:ChangeMessageVisibility": "Lambda's poller leaves messages until their visibility ends; none sets it",
        "sqs:GetQueueUrl": "the event source is given by its ARN; Lambda's guide asks for three actions only",
    },
    "rule to a queue": {"sqs:GetQueueAttributes": _SQS, "sqs:GetQueueUrl": _SQS},
    "encrypted table": {"kms:ReEncrypt*": _NO_REENCRYPT, "dynamodb:*": _BY_USE},
    "encrypted bucket": {
        **_OBJECTS,
        "s3:Abort*": "parts of an upload that broke off are removed by the bucket's own rule after some days",
    },
}


@pytest.fixture(scope="module")
def theirs() -> dict[str, Grants]:
    return stacks()


def policies(assembly: Assembly, role: str) -> set[str]:
    """Every action that a role of ours is allowed, by its logical id."""
    return {
        action
        for _, _, policy in assembly.resources("AWS::IAM::Policy")
        if role in [one.get("Ref") for one in policy["Properties"]["Roles"]]
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow"
        for action in actions_of(statement)
    }


def states(assembly: Assembly) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The logical id of a machine's role, and a state of the machine; for every state."""
    for template in assembly.templates.values():
        for name, machine in definitions(template, assembly.templates).items():
            role = template["Resources"][name]["Properties"]["RoleArn"]["Fn::GetAtt"][0]
            yield from ((role, state) for state in machine["States"].values())


def ours(assembly: Assembly, integration: str) -> Iterator[tuple[str, str, set[str]]]:
    """Who has the integration here: a name to blame, the holder as CDK's grants call it, and what it may do."""
    if marker := STATES.get(integration):
        for role in sorted({role for role, state in states(assembly) if marker in state.get("Resource", "")}):
            yield role, "states.amazonaws.com", policies(assembly, role)
    if integration == "training job":
        for role in sorted(job_roles(assembly)):
            yield role, "sagemaker.amazonaws.com", policies(assembly, role)
    if marker := FUNCTIONS.get(integration):
        for _, role, resource in assembly.resources("AWS::IAM::Role"):
            [trust] = resource["Properties"]["AssumeRolePolicyDocument"]["Statement"]
            allowed = policies(assembly, role)
            if trust["Principal"]["Service"] == "lambda.amazonaws.com" and marker in allowed:
                yield role, "lambda.amazonaws.com", allowed
    if integration in RULES:
        for part, template in assembly.templates.items():
            for holder, allowed in grants_of(template).items():
                if holder.startswith("events.amazonaws.com on"):
                    yield part, holder, set(allowed)


def job_roles(assembly: Assembly) -> set[str]:
    """Roles of jobs, of processing jobs too: CDK has no construct for those, and SageMaker asks the same of both."""
    return {
        state["Parameters"]["RoleArn"].rpartition("/")[2]
        for _, state in states(assembly)
        if any(job in state.get("Resource", "") for job in JOBS)
    }


def missing(assembly: Assembly, integration: str, theirs: Grants) -> dict[str, set[str]]:
    """What CDK would grant and somebody of ours lacks: those who lack it, by action."""
    found: dict[str, set[str]] = {}
    for name, holder, allowed in ours(assembly, integration):
        for action in theirs.get(holder, ()):
            if not any(fnmatchcase(one, action) for one in allowed):
                found.setdefault(action, set()).add(name)
    return found


@pytest.mark.parametrize("integration", INTEGRATIONS)
def test_what_cdk_grants_for_an_integration_we_grant_or_say_why_not(
    integration: str, assembly: Assembly, theirs: dict[str, Grants]
) -> None:
    assert {holder for _, holder, _ in ours(assembly, integration)} >= set(theirs[integration]), "who has it here?"
    lacking = missing(assembly, integration, theirs[integration])
    listed = OMITTED.get(integration, {})
    unsaid = {action: names for action, names in lacking.items() if not any(fnmatchcase(action, one) for one in listed)}
    assert unsaid == {}
    stale = [one for one in listed if not any(fnmatchcase(action, one) for action in lacking)]
    assert stale == [], "granted after all: take it off the list"
    assert all(len(reason.split()) >= 6 for reason in listed.values())


def test_every_kind_of_resource_policy_here_is_compared() -> None:
    assert set(POLICIES) >= {"AWS::KMS::Key", "AWS::SNS::TopicPolicy", "AWS::SQS::QueuePolicy"}
