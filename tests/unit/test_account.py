"""An account is asked by AWS's own API shapes, and every refusal becomes a fact that says why."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber

from perennial.aws.account import Account, identify
from perennial.doctor import Concurrency, Identity, Missing, Unasked

ANN = Identity("123456789012", "arn:aws:iam::123456789012:user/ann")
ROLE = "arn:aws:iam::123456789012:role/machine"


class Stubs:
    """Clients that answer what a test says, and nothing else."""

    def __init__(self) -> None:
        self.session = boto3.Session(aws_access_key_id="x", aws_secret_access_key="x", region_name="eu-west-1")
        self.stubbers: dict[str, Stubber] = {}

    def __call__(self, service: str) -> Any:
        return self.of(service).client

    def of(self, service: str) -> Stubber:
        """The stubber of a service."""
        if service not in self.stubbers:
            self.stubbers[service] = Stubber(self.session.client(service))
            self.stubbers[service].activate()
        return self.stubbers[service]


@pytest.fixture
def stubs() -> Iterator[Stubs]:
    """Every answer that a test prepared must have been asked for."""
    made = Stubs()
    yield made
    for stubber in made.stubbers.values():
        stubber.assert_no_pending_responses()


def account(stubs: Stubs, **changes: Any) -> Account:
    return Account(stubs, **{"region": "eu-west-1", "identity": ANN, **changes})


def allow_nothing_else(stubs: Stubs) -> None:
    """The bootstrap's role is not there, and the caller may assume the others."""
    for _ in range(2):
        stubs.of("iam").add_response("simulate_principal_policy", evaluation("sts:AssumeRole", "allowed"))
    stubs.of("iam").add_client_error("get_role", "NoSuchEntity", http_status_code=404)


def evaluation(action: str, decision: str) -> dict[str, Any]:
    return {"EvaluationResults": [{"EvalActionName": action, "EvalDecision": decision}]}


def test_an_accounts_facts_are_asked_for_once_each(stubs: Stubs):
    stubs.of("ssm").add_response(
        "get_parameter", {"Parameter": {"Value": "21"}}, {"Name": "/cdk-bootstrap/hnb659fds/version"}
    )
    limits = {"ConcurrentExecutions": 10, "UnreservedConcurrentExecutions": 8}
    stubs.of("lambda").add_response("get_account_settings", {"AccountLimit": limits})
    allow_nothing_else(stubs)
    facts = account(stubs).facts()
    assert (facts.bootstrap_version, facts.concurrency, facts.denied) == (21, Concurrency(10, 8), {"the caller": ()})


def test_a_region_without_a_bootstrap_has_none(stubs: Stubs):
    stubs.of("ssm").add_client_error("get_parameter", "ParameterNotFound")
    stubs.of("lambda").add_client_error("get_account_settings", "AccessDeniedException", "not you")
    allow_nothing_else(stubs)
    facts = account(stubs).facts()
    assert facts.bootstrap_version is None
    assert facts.concurrency == Unasked("AWS answered AccessDeniedException: not you")


def test_what_the_caller_and_cloudformations_role_may_not_is_named(stubs: Stubs):
    stubs.of("ssm").add_client_error("get_parameter", "ParameterNotFound")
    stubs.of("lambda").add_client_error("get_account_settings", "AccessDeniedException")
    iam = stubs.of("iam")
    assumed = "arn:aws:iam::123456789012:role/cdk-hnb659fds-deploy-role-123456789012-eu-west-1"
    iam.add_response(
        "simulate_principal_policy", evaluation("sts:AssumeRole", "implicitDeny"),
        {"PolicySourceArn": ANN.arn, "ActionNames": ["sts:AssumeRole"], "ResourceArns": [assumed]},
    )  # fmt: skip
    iam.add_response("simulate_principal_policy", evaluation("sts:AssumeRole", "allowed"))
    role = {"Path": "/", "RoleName": "cfn", "RoleId": "A" * 16, "Arn": ROLE, "CreateDate": 0}
    iam.add_response("get_role", {"Role": role})
    iam.add_response("simulate_principal_policy", evaluation("iam:PassRole", "explicitDeny"))
    assert account(stubs).facts().denied == {
        "the caller": (f"sts:AssumeRole on {assumed}",),
        "CloudFormation's role": ("iam:PassRole",),
    }


def test_an_assumed_role_is_asked_about_by_the_roles_own_arn(stubs: Stubs):
    stubs.of("ssm").add_client_error("get_parameter", "ParameterNotFound")
    stubs.of("lambda").add_client_error("get_account_settings", "AccessDeniedException")
    iam = stubs.of("iam")
    deployer = "arn:aws:iam::123456789012:role/with/path/deployer"
    role = {"Path": "/with/path/", "RoleName": "deployer", "RoleId": "A" * 16, "Arn": deployer, "CreateDate": 0}
    iam.add_response("get_role", {"Role": role}, {"RoleName": "deployer"})
    for _ in range(2):
        asked = {"PolicySourceArn": deployer, "ActionNames": ["sts:AssumeRole"], "ResourceArns": ANY}
        iam.add_response("simulate_principal_policy", evaluation("sts:AssumeRole", "allowed"), asked)
    iam.add_client_error("get_role", "NoSuchEntity", http_status_code=404)
    who = Identity("123456789012", "arn:aws:sts::123456789012:assumed-role/deployer/session")
    assert account(stubs, identity=who).facts().denied == {"the caller": ()}


def test_an_applied_quota_counts_before_awss_default(stubs: Stubs):
    name = "ml.m5.large for endpoint usage"
    quotas = stubs.of("service-quotas")
    quotas.add_response(
        "list_aws_default_service_quotas",
        {"Quotas": [{"QuotaName": name, "Value": 0.0}, {"QuotaName": "another", "Value": 7.0}]},
    )
    quotas.add_response("list_service_quotas", {"Quotas": [{"QuotaName": name, "Value": 4.0}]})
    for _ in range(2 * 4):  # for their status, and for their outputs
        stubs.of("cloudformation").add_client_error("describe_stacks", "ValidationError", "does not exist")
    stubs.of("sagemaker").add_client_error("describe_endpoint", "ValidationException", "Could not find")
    facts = account(stubs).loop_facts("demo", "dev", [name])
    assert (facts.quotas, facts.stacks, facts.endpoint_status, facts.denied) == ({name: 4.0}, {}, None, {})


def test_a_machine_is_asked_whether_it_may_pass_each_role_that_its_definition_names(stubs: Stubs):
    quotas = stubs.of("service-quotas")
    quotas.add_client_error("list_aws_default_service_quotas", "AccessDeniedException", "no")
    cloudformation, machine = stubs.of("cloudformation"), "arn:aws:states:eu-west-1:123456789012:stateMachine:learn"
    stack = {"StackName": "s", "CreationTime": 0, "StackStatus": "CREATE_COMPLETE"}
    outputs = [{"OutputKey": "LearningMachineArn", "OutputValue": machine}]
    for found in (stack, {**stack, "Outputs": outputs}):
        for part in range(4):
            if part == 1 or found is stack:
                cloudformation.add_response("describe_stacks", {"Stacks": [found]})
            else:
                cloudformation.add_client_error("describe_stacks", "ValidationError")
    stubs.of("sagemaker").add_client_error("describe_endpoint", "ValidationException", "Could not find")
    job_role = "arn:aws:iam::123456789012:role/JobRole"
    stubs.of("stepfunctions").add_response(
        "describe_state_machine",
        {
            "stateMachineArn": machine, "name": "learn", "type": "STANDARD", "creationDate": 0, "roleArn": ROLE,
            "definition": json.dumps({"States": {"Train": {"Parameters": {"RoleArn": job_role}}}}),
        },
    )  # fmt: skip
    context = {
        "ContextKeyName": "iam:PassedToService",
        "ContextKeyType": "string",
        "ContextKeyValues": ["sagemaker.amazonaws.com"],
    }
    stubs.of("iam").add_response(
        "simulate_principal_policy", evaluation("iam:PassRole", "implicitDeny"),
        {
            "PolicySourceArn": ROLE, "ActionNames": ["iam:PassRole"], "ResourceArns": [job_role],
            "ContextEntries": [context],
        },
    )  # fmt: skip
    facts = account(stubs).loop_facts("demo", "dev", [])
    assert facts.quotas == Unasked("AWS answered AccessDeniedException: no")
    assert facts.denied == {"LearningMachine": (f"iam:PassRole on {job_role}",)}


def test_without_credentials_or_region_nothing_is_asked(stubs: Stubs):
    lost = account(stubs, identity=Missing("none", "set them")).facts()
    assert {lost.bootstrap_version, lost.concurrency, lost.denied} == {Unasked("it takes credentials")}
    nowhere = account(stubs, region=None).facts()
    assert nowhere.bootstrap_version == Unasked("it takes a region")


def test_the_local_cloud_is_not_asked_for_quotas(stubs: Stubs):
    for _ in range(2 * 4):
        stubs.of("cloudformation").add_client_error("describe_stacks", "ValidationError")
    stubs.of("sagemaker").add_client_error("describe_endpoint", "ValidationException")
    facts = account(stubs, local=True).loop_facts("demo", "dev", ["ml.m5.large for endpoint usage"])
    assert facts.quotas == Unasked("the local cloud has no quotas")


def test_credentials_that_aws_refuses_say_why(stubs: Stubs):
    stubs.of("sts").add_client_error("get_caller_identity", "ExpiredToken", "The token is expired")
    assert identify(stubs) == Missing(
        "AWS refuses them: ExpiredToken: The token is expired", "renew them; temporary ones expire"
    )


def test_half_a_pair_of_keys_says_which_half_is_missing(monkeypatch: pytest.MonkeyPatch):
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    session = boto3.Session(region_name="eu-west-1")
    found = identify(session.client)
    assert found == Missing(
        "incomplete: AWS_SECRET_ACCESS_KEY is missing", "set AWS_SECRET_ACCESS_KEY beside the others"
    )
