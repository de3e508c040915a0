"""IAM's policy simulator on the local cloud: what a principal's own policies say, resource by resource."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.fidelity.cloud import ACCOUNT, Cloud, allow, fresh

PASSED = f"arn:aws:iam::{ACCOUNT}:role/passed"


def decisions(cloud: Cloud, principal: str, actions: list[str], **more: Any) -> list[tuple[str, str, str]]:
    answer = cloud.client("iam").simulate_principal_policy(PolicySourceArn=principal, ActionNames=actions, **more)
    results = answer["EvaluationResults"]
    return [(one["EvalActionName"], one["EvalResourceName"], one["EvalDecision"]) for one in results]


def to_service(name: str) -> list[dict[str, Any]]:
    return [{"ContextKeyName": "iam:PassedToService", "ContextKeyType": "string", "ContextKeyValues": [name]}]


def test_conditions_are_held_against_the_stated_context(cloud: Cloud) -> None:
    """API reference, SimulatePrincipalPolicy, 2026-11: ContextEntries. ministack 1.5.33 ignores them."""
    passing = allow("iam:PassRole", resource=PASSED)
    passing["Condition"] = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    role = cloud.role(passing)
    asked = {"ResourceArns": [PASSED]}
    for service, decision in (("sagemaker.amazonaws.com", "allowed"), ("lambda.amazonaws.com", "implicitDeny")):
        found = decisions(cloud, role, ["iam:PassRole"], **asked, ContextEntries=to_service(service))
        assert found == [("iam:PassRole", PASSED, decision)]
    assert decisions(cloud, role, ["iam:PassRole"], **asked) == [("iam:PassRole", PASSED, "implicitDeny")]


def test_every_resource_is_judged_and_a_denial_is_explicit(cloud: Cloud) -> None:
    """ministack 1.5.33 judges the first resource alone."""
    role = cloud.role(allow("s3:GetObject", resource="arn:aws:s3:::a/*"), {**allow("sqs:*"), "Effect": "Deny"})
    found = decisions(cloud, role, ["s3:GetObject"], ResourceArns=["arn:aws:s3:::a/x", "arn:aws:s3:::b/x"])
    assert [decision for *_, decision in found] == ["allowed", "implicitDeny"]
    assert decisions(cloud, role, ["sqs:SendMessage"]) == [("sqs:SendMessage", "*", "explicitDeny")]


def test_a_managed_policy_counts(cloud: Cloud) -> None:
    role = cloud.role()
    cloud.client("iam").attach_role_policy(
        RoleName=role.rpartition("/")[2], PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess"
    )
    assert decisions(cloud, role, ["kms:CreateKey"]) == [("kms:CreateKey", "*", "allowed")]


def test_a_user_is_simulated_and_the_root_user_is_refused(cloud: Cloud) -> None:
    iam, name = cloud.client("iam"), fresh("user")
    arn = iam.create_user(UserName=name)["User"]["Arn"]
    assert decisions(cloud, arn, ["s3:ListAllMyBuckets"]) == [("s3:ListAllMyBuckets", "*", "implicitDeny")]
    with pytest.raises(ClientError, match="InvalidInput"):
        decisions(cloud, f"arn:aws:iam::{ACCOUNT}:root", ["s3:ListAllMyBuckets"])
