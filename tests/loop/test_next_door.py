"""
Every role of the deployment, under the policies that were synthesized, may do its own work and nothing next door.

Each role is taken by a test and tries all that matters in the account: writing each part of the catalog, saying each
kind of event, each prefix of the lake, the registry, the endpoint, the machines, the queues.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config

from localcloud.identity import REGION
from perennial import keys
from tests.iam.recorded import PROBING
from tests.loop.journey import LOOP, Journey
from tests.loop.next_door import MAY, PROBES, Account, may, trusting

NEXT_DOOR = 3


def test_the_table_names_every_role_of_the_stacks_and_no_other(roles: dict[str, str]):
    assert MAY.keys() == roles.keys()


@pytest.mark.parametrize("role", MAY)
def test_a_role_may_do_its_own_work_and_nothing_next_door(
    role: str, roles: dict[str, str], become: Callable[[str], Account]
):
    account = become(roles[role])
    allowed = {probe for probe in PROBES if may(account, probe)}
    assert MAY[role] == allowed
    assert len(PROBES.keys() - allowed) >= NEXT_DOOR


@pytest.fixture(scope="module")
def roles(journey: Journey) -> dict[str, str]:
    """Names of the deployed roles, by stack and by what they are called there."""
    cloudformation = journey.client("cloudformation")
    found = {}
    for part in ("Data", "Serving", "Learning", "Observability"):
        stack = keys.stack_name(LOOP, "dev", part)
        pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
        for resource in (one for page in pages for one in page["StackResourceSummaries"]):
            if resource["ResourceType"] == "AWS::IAM::Role":
                name = re.sub(r"[0-9A-F]{8}$", "", resource["LogicalResourceId"])
                found[f"{part}.{name}"] = resource["PhysicalResourceId"]
    return found


@pytest.fixture(scope="module")
def become(journey: Journey) -> Callable[[str], Account]:
    """Takes a role: its trust is in a service, so the test's own root is let in first."""
    iam, sts = journey.client("iam"), journey.client("sts")
    account_id = sts.get_caller_identity()["Account"]
    outputs = {**_outputs(journey), "account": account_id}
    quick = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, parameter_validation=False)

    def taken(name: str) -> Account:
        role = iam.get_role(RoleName=name)["Role"]
        document = trusting(role["AssumeRolePolicyDocument"], account_id)
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=document)
        given = sts.assume_role(RoleArn=role["Arn"], RoleSessionName=PROBING)["Credentials"]
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(role["AssumeRolePolicyDocument"]))
        session = boto3.Session(
            aws_access_key_id=given["AccessKeyId"],
            aws_secret_access_key=given["SecretAccessKey"],
            aws_session_token=given["SessionToken"],
            region_name=REGION,
        )
        clients: dict[str, Any] = {}

        def client(service: str) -> Any:
            if service not in clients:
                endpoint = journey.cloud.server.endpoint_url
                clients[service] = session.client(service, endpoint_url=endpoint, config=quick)
            return clients[service]

        return Account(client, outputs, LOOP)

    return taken


def _outputs(journey: Journey) -> dict[str, str]:
    found = {}
    for part in ("Data", "Serving", "Learning"):
        stack = keys.stack_name(LOOP, "dev", part)
        (described,) = journey.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
        found |= {one["OutputKey"]: one["OutputValue"] for one in described.get("Outputs", ())} | found
    return found
