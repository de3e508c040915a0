"""Who may do what: TLS, least privilege, confused deputies; every wildcard has its reason, in docs/security.md too."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra import shipped
from infra.packaging import ROOT
from infra.reviewed import REVIEWED
from perennial import keys
from tests.infra.conftest import Assembly

STACK_POLICIES = {
    "AWS::KMS::Key": "KeyPolicy",
    "AWS::S3::BucketPolicy": "PolicyDocument",
    "AWS::SQS::QueuePolicy": "PolicyDocument",
    "AWS::SNS::TopicPolicy": "PolicyDocument",
}
# Lambda's guide gives execution roles a trust without conditions, and keeps aws:SourceArn for policies on functions.
WITHOUT_SOURCE = {"lambda.amazonaws.com"}
SOURCE_KEYS = (
    *("aws:SourceArn", "aws:SourceAccount", "kms:EncryptionContext:aws:logs:arn"),
    "kms:EncryptionContext:aws:sns:topicArn",
)
# EventBridge publishes to no topic whose policy has conditions for it.
UNCONDITIONAL = {"events.amazonaws.com": "sns:Publish"}
# What every function has, whatever its docstring says: its own log, traces, the loop's file and its key; and what
# comes with its wiring: its queue or dead-letter queue.
UNSAID = {
    *("logs:CreateLogStream", "logs:PutLogEvents", "xray:PutTraceSegments", "xray:PutTelemetryRecords"),
    "s3:GetObject",
    # Which use of the key a read or a write takes is S3's and DynamoDB's matter.
    *("kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey"),
    *("sqs:SendMessage", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"),
}


def statements(assembly: Assembly, *types: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for _, name, resource in assembly.resources(*types):
        document = resource["Properties"][STACK_POLICIES.get(resource["Type"], "PolicyDocument")]
        for statement in document["Statement"]:
            yield name, statement


def test_p55_every_service_principal_acts_for_this_account_only(assembly: Assembly):
    seen = set()
    for name, statement in statements(assembly, *STACK_POLICIES):
        service = statement.get("Principal", {}) if statement["Effect"] == "Allow" else {}
        if isinstance(service, dict) and "Service" in service:
            seen.add(json.dumps(service["Service"]))
            if (
                UNCONDITIONAL.get(service["Service"] if isinstance(service["Service"], str) else "")
                == (statement["Action"])
            ):
                assert "Condition" not in statement, name
                continue
            assert any(key in json.dumps(statement["Condition"]) for key in SOURCE_KEYS), name
    assert len(seen) >= 4


def test_eventbridge_may_use_the_key_for_topics_of_this_account_and_for_nothing_else(assembly: Assembly):
    conditions = [
        statement["Condition"]
        for _, statement in statements(assembly, "AWS::KMS::Key")
        if statement["Principal"].get("Service") == "events.amazonaws.com"
    ]
    (condition,) = conditions
    assert list(condition) == ["ArnLike"]
    assert list(condition["ArnLike"]) == ["kms:EncryptionContext:aws:sns:topicArn"]
    said = json.dumps(condition)
    assert all(part in said for part in ("AWS::Region", "AWS::AccountId", ":*")), said


def test_every_role_of_a_job_may_have_its_volume_and_output_encrypted(assembly: Assembly):
    """Without a grant no job with a volume key starts."""
    granted: dict[str, set[str]] = {}
    for _, _, policy in assembly.resources("AWS::IAM::Policy"):
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
            for role in policy["Properties"]["Roles"]:
                actions = statement["Action"]
                granted.setdefault(role["Ref"], set()).update([actions] if isinstance(actions, str) else actions)
    jobs = [
        name
        for _, name, role in assembly.resources("AWS::IAM::Role")
        for statement in role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        if statement["Principal"]["Service"] == "sagemaker.amazonaws.com" and "ModelRole" not in name
    ]
    assert len(jobs) >= 2
    for role in jobs:
        assert {"kms:CreateGrant", "kms:Encrypt", "kms:DescribeKey"} <= granted[role], role


def test_p55_every_role_that_a_service_takes_is_taken_for_this_account_only(assembly: Assembly):
    for _, name, role in assembly.resources("AWS::IAM::Role"):
        for statement in role["Properties"]["AssumeRolePolicyDocument"]["Statement"]:
            if statement["Principal"]["Service"] not in WITHOUT_SOURCE:
                assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}, (
                    name
                )


def test_p55_every_function_permission_names_its_source(assembly: Assembly):
    permissions = assembly.resources("AWS::Lambda::Permission")
    assert len(permissions) >= 5
    for _, name, permission in permissions:
        assert "SourceArn" in permission["Properties"], name
        assert permission["Properties"]["SourceAccount"] == {"Ref": "AWS::AccountId"}, name


def test_buckets_queues_and_topic_refuse_what_is_not_tls(assembly: Assembly):
    for kind, policies in (
        ("AWS::S3::Bucket", "AWS::S3::BucketPolicy"),
        ("AWS::SQS::Queue", "AWS::SQS::QueuePolicy"),
        ("AWS::SNS::Topic", "AWS::SNS::TopicPolicy"),
    ):
        refusing = [
            name
            for name, statement in statements(assembly, policies)
            if statement["Effect"] == "Deny" and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        ]
        assert len(assembly.resources(kind)) == len(refusing), kind


def test_no_action_is_a_wildcard(assembly: Assembly):
    for name, statement in statements(assembly, "AWS::IAM::Policy"):
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        assert not [action for action in actions if "*" in action], name


def test_no_loop_may_touch_the_jobs_models_or_configurations_of_another(assembly: Assembly):
    """A loop's name may continue another's, but never with what stands between a loop's name and a resource's."""
    kinds = ("training-job", "processing-job", "model", "endpoint-config")
    named = re.compile(rf":(?:{'|'.join(kinds)})/([^\"]*)")
    found = {
        name
        for _, statement in statements(assembly, "AWS::IAM::Policy")
        for name in named.findall(json.dumps(statement["Resource"]))
    }
    assert found == {f"{keys.resource_prefix('bikeshare', 'dev')}*"}


def test_roles_have_no_managed_policies(assembly: Assembly):
    for _, name, role in assembly.resources("AWS::IAM::Role"):
        assert "ManagedPolicyArns" not in role["Properties"], name


def test_roles_are_passed_to_sagemaker_only(assembly: Assembly):
    passing = [
        statement
        for _, statement in statements(assembly, "AWS::IAM::Policy")
        if "iam:PassRole" in json.dumps(statement["Action"])
    ]
    assert len(passing) == 3
    for statement in passing:
        assert statement["Condition"] == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
        assert "*" not in json.dumps(statement["Resource"])


def test_no_function_may_delete_or_overwrite_what_the_audit_bucket_keeps(assembly: Assembly):
    for _, _, policy in assembly.resources("AWS::IAM::Policy"):
        roles = [role.get("Ref", "") for role in policy["Properties"]["Roles"]]
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
            if "s3:BypassGovernanceRetention" in statement["Action"]:
                assert all(role.startswith("TearDown") for role in roles)


def test_production_keeps_its_data_and_lets_nobody_bypass_the_retention(tmp_path: Path):
    from infra.stacks import make_app

    make_app(outdir=str(tmp_path), context={"loop": "bikeshare", "environment": "production"}).synth()
    template = json.loads((tmp_path / "Perennial-bikeshare--dev-Data.template.json").read_text())
    assert "s3:BypassGovernanceRetention" not in json.dumps(template)
    kept = {"AWS::S3::Bucket", "AWS::DynamoDB::Table", "AWS::KMS::Key"}
    for name, resource in template["Resources"].items():
        if resource["Type"] in kept:
            assert resource["DeletionPolicy"] == "Retain", name


def test_p58_a_function_may_do_what_its_docstring_says_and_nothing_else(earning_assembly: Assembly):
    differing = {}
    for module in sorted(name for names in shipped.FUNCTIONS.values() for name in names):
        said = said_actions((ROOT / "functions" / f"{module}.py").read_text()) - UNSAID
        allowed = allowed_actions(earning_assembly, module) - UNSAID
        if said != allowed:
            differing[module] = {"role lacks": sorted(said - allowed), "docstring lacks": sorted(allowed - said)}
    assert differing == {}


def allowed_actions(assembly: Assembly, module: str) -> set[str]:
    roles = [
        function["Properties"]["Role"]["Fn::GetAtt"][0]
        for _, _, function in assembly.resources("AWS::Lambda::Function")
        if function["Properties"]["Handler"] == f"functions.{module}.handler"
    ]
    return {
        action
        for _, _, policy in assembly.resources("AWS::IAM::Policy")
        if any(role.get("Ref") in roles for role in policy["Properties"]["Roles"])
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    }


def said_actions(source: str) -> set[str]:
    """
    Actions that a module's docstring names; a service also stands for those listed after it.

    >>> sorted(said_actions("AWS actions\\n--\\n- x: s3:GetObject, PutObject on `a`; the rest" + chr(34) * 3))
    ['s3:GetObject', 's3:PutObject']
    """
    section = re.sub(r"\s*\([^)]*\)", "", source.partition("AWS actions")[2].partition('"""')[0])
    listed = re.finditer(r"\b([a-z][a-z0-9-]*):([A-Z][A-Za-z]+)((?:,\s+[A-Z][A-Za-z]+)*)", section)
    return {
        f"{service}:{action}"
        for service, first, others in (match.groups() for match in listed)
        for action in (first, *re.findall(r"[A-Za-z]+", others))
    }


def test_every_acknowledged_finding_has_a_reason_that_docs_security_gives_too(earning_assembly: Assembly):
    (report,) = [one for one in earning_assembly.report["pluginReports"] if one["pluginName"] == "AwsSolutions"]
    assert report["violations"] == []
    reasons = {finding["reason"] for finding in report["suppressedViolations"]}
    text = " ".join((ROOT / "docs" / "security.md").read_text().split())
    assert len(reasons) >= 10
    assert sorted(reason for reason in reasons if reason not in text) == []


@pytest.mark.parametrize("pack", ["NIST.800.53.R5", "Serverless"])
def test_nothing_is_found_by_the_wider_packs_that_was_not_reviewed(earning_assembly: Assembly, pack: str):
    (report,) = [one for one in earning_assembly.report["pluginReports"] if one["pluginName"] == pack]
    assert report["violations"] == []
    found = {
        (finding["ruleName"].removeprefix(f"{pack}-"), finding["reason"]) for finding in report["suppressedViolations"]
    }
    answered = {(review.rule, review.reason) for review in REVIEWED if review.pack == pack}
    assert found == answered, "an answer to nothing is stale"


def test_every_review_gives_its_reason_in_docs_security_too():
    text = " ".join((ROOT / "docs" / "security.md").read_text().split())
    assert [review.rule for review in REVIEWED if review.reason not in text] == []


def test_an_acknowledgement_covers_one_finding_where_it_stands(assembly: Assembly):
    (report,) = [one for one in assembly.report["pluginReports"] if one["pluginName"] == "AwsSolutions"]
    for finding in report["suppressedViolations"]:
        for construct in finding["violatingConstructs"]:
            assert construct["constructPath"].startswith(finding["acknowledgedAt"])
            # A function, role, bucket or queue; never a stack or the app.
            assert finding["acknowledgedAt"].count("/") >= 1
