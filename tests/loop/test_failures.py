"""
What AWS refuses or fails at, one after the other, on one small loop: the champion serves, the reason is on record, and
the next run can succeed.

Before the first model: a job whose grant is denied, a job without capacity, an endpoint over the quota, one that
fails. Beside a champion: a challenger that refuses every request, an update whose rollback fails.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from localcloud.sagemaker.faults import FILE
from localcloud.scales import Scales
from perennial import keys
from perennial.cli.deployment import find_deployment
from perennial.cli.local import LocalCloud, local_cloud
from perennial.cli.status import gather
from tests.loop.canary_watch import Callers
from tests.loop.journey import Execution, Journey, LocalSession, labels_file
from tests.loop.small_loops import Project, batches

pytestmark = pytest.mark.local_cloud

LOOP, STAGE = "pay", "dev"
SCALES = Scales(waits=300, alarms=60, schedules=1)
CAPACITY = "CapacityError: Unable to provision requested ML compute capacity."
QUOTA = "The account-level service limit 'ml.m5.large for endpoint usage' is 0 Instances"
NO_PING = "The primary container for production variant blue did not pass the ping health check."
NO_WAY_BACK = "The update failed, and so did its rollback."
REFUSED = "row 0: season must be there. It is missing."


@pytest.fixture(scope="module")
def journey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journey]:
    """A small loop with its days and their labels."""
    folder = tmp_path_factory.mktemp("failures")
    project = Project.copy(folder / "project")
    project.write_loop(LOOP)
    with local_cloud(project.root, LOOP, port=0, state_dir=folder / "state", scales=SCALES) as running:
        cloud = LocalCloud(running.server, project.root, LOOP, STAGE)
        assembly = folder / "cdk.out"
        cloud.synthesize(assembly)
        cloud.deploy(assembly)
        found = find_deployment(LOOP, LocalSession(running.server.endpoint_url), stage=STAGE)
        yield Journey(cloud, found, assembly)


@dataclass(frozen=True)
class Ended:
    """A run that met a fault: its conclusion, what status says, and who was champion then."""

    learning: Execution
    conclusion: dict[str, Any]
    status: str
    live: dict[str, Any]

    @property
    def reasons(self) -> str:
        return " | ".join(self.conclusion["reasons"])


def inject(journey: Journey, *faults: dict[str, Any]) -> None:
    (journey.cloud.server.state_dir / FILE).write_text(json.dumps(list(faults)))


def ended(journey: Journey, run: str) -> Ended:
    learning = journey.await_execution("LearningMachineArn", name=run)
    (said,) = journey.until(
        lambda: [one for one in journey.told("Learning Concluded") if one["run_id"] == run],
        what="the run's conclusion in the ledger",
    )
    shown = json.dumps([dict(event) for event in gather(journey.deployment, events=30).events])
    return Ended(learning, said, shown, journey.deployment.catalog.get(keys.live_item(LOOP)) or {})


@pytest.fixture(scope="module")
def denied(journey: Journey) -> Ended:
    """The days land; the role of the first job may not grant the key any more."""
    days = list(batches(seed=1))
    journey.await_landed([journey.land("batches", f"{day.name}.csv", day.batch_csv()) for day in days])
    iam = journey.client("iam")
    roles = [role["RoleName"] for page in iam.get_paginator("list_roles").paginate() for role in page["Roles"]]
    taken = []
    for role in (name for name in roles if f"{LOOP}--{STAGE}-Learning-Training" in name):
        for policy in iam.list_role_policies(RoleName=role)["PolicyNames"]:
            document = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
            kept = [one for one in document["Statement"] if "kms:CreateGrant" not in one["Action"]]
            if len(kept) < len(document["Statement"]):
                iam.put_role_policy(
                    RoleName=role, PolicyName=policy, PolicyDocument=json.dumps({**document, "Statement": kept})
                )
                taken.append((role, policy, document))
    assert taken, roles
    journey.land("labels", "days.csv", labels_file(days))
    found = ended(journey, journey.await_execution("LearningMachineArn").name)
    for role, policy, document in taken:
        iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=json.dumps(document))
    return found


@pytest.fixture(scope="module")
def starved(journey: Journey, denied: Ended) -> Ended:
    """SageMaker has no instance for the training job."""
    inject(journey, {"operation": "CreateTrainingJob", "outcome": "Failed", "message": CAPACITY})
    return ended(journey, journey.retrain("again"))


@pytest.fixture(scope="module")
def limited(journey: Journey, starved: Ended) -> Ended:
    """A fresh account's quota has no instance for an endpoint."""
    inject(journey, {"operation": "CreateEndpoint", "error": "ResourceLimitExceeded", "message": QUOTA})
    return ended(journey, journey.retrain("again"))


@pytest.fixture(scope="module")
def unhealthy(journey: Journey, limited: Ended) -> Ended:
    """The first model's container doesn't answer."""
    inject(journey, {"operation": "CreateEndpoint", "outcome": "Failed", "message": NO_PING})
    return ended(journey, journey.retrain("again"))


@pytest.fixture(scope="module")
def healthy(journey: Journey, unhealthy: Ended) -> Ended:
    """Nothing goes wrong, but the endpoint of before has failed."""
    assert journey.endpoint()["EndpointStatus"] == "Failed"
    return ended(journey, journey.retrain("again"))


@pytest.fixture(scope="module")
def refusing(journey: Journey, healthy: Ended) -> Ended:
    """A better challenger, which answers 400 to every request."""
    # From its first traffic on: the smoke test asks with rows of the contract, which it would take.
    run = journey.retrain("deeper", depth="4")
    journey.until(lambda: len(journey.endpoint()["ProductionVariants"]) == 2 and _split(journey), what="a canary")
    inject(
        journey,
        {"operation": "InvokeEndpoint", "variant": "green", "status": 400, "message": REFUSED, "times": 1_000_000},
    )
    rows = [row for day in batches(seed=2) for row in day.rows]
    with Callers(journey, rows, per_second=20):
        found = ended(journey, run)
    inject(journey)
    return found


def _split(journey: Journey) -> bool:
    endpoint = journey.endpoint()
    weights = [one["CurrentWeight"] for one in endpoint["ProductionVariants"]]
    return endpoint["EndpointStatus"] == "InService" and min(weights) > 0


@pytest.fixture(scope="module")
def stuck(journey: Journey, refusing: Ended) -> Ended:
    """The endpoint's update fails, and its rollback too."""
    inject(journey, {"operation": "UpdateEndpoint", "outcome": "UpdateRollbackFailed", "message": NO_WAY_BACK})
    return ended(journey, journey.retrain("deeper still", depth="5"))


def test_a_grant_that_is_denied_is_on_record(denied: Ended):
    assert denied.conclusion["outcome"] == "failed"
    assert "kms:CreateGrant" in denied.reasons
    assert "kms:CreateGrant" in denied.status


def test_a_job_without_capacity_is_on_record(starved: Ended):
    assert starved.conclusion["outcome"] == "failed"
    assert CAPACITY in starved.reasons
    assert "CapacityError" in starved.status


def test_a_quota_is_on_record_and_not_that_nothing_was_found(limited: Ended):
    assert limited.conclusion["outcome"] == "rolled back"
    assert "ml.m5.large for endpoint usage" in limited.reasons.partition(" | ")[0]
    assert "ResourceLimitExceeded" in limited.status


def test_a_container_that_does_not_answer_is_on_record(unhealthy: Ended):
    assert unhealthy.conclusion["outcome"] == "rolled back"
    assert NO_PING in unhealthy.reasons
    assert unhealthy.live["champion"] is None


def test_after_all_that_the_next_run_makes_the_endpoint_anew_and_serves(journey: Journey, healthy: Ended):
    assert healthy.conclusion["outcome"] == "promoted"
    assert healthy.live["champion"] == healthy.learning.name
    _, answer = journey.predict([{"a": 0.1, "b": 0.9}], TargetVariant="blue")
    assert answer["model_version"] == healthy.learning.name


def test_p70_a_challenger_that_refuses_every_request_is_rolled_back(refusing: Ended, healthy: Ended):
    assert refusing.conclusion["outcome"] == "rolled back"
    assert "no good answer" in refusing.reasons or "Refuses" in refusing.reasons or "RollBackGreen" in refusing.reasons
    assert refusing.live["champion"] == healthy.learning.name


def test_an_update_that_cannot_go_back_leaves_the_champion_serving_and_calls_a_person(
    journey: Journey, stuck: Ended, healthy: Ended
):
    assert stuck.conclusion["outcome"] == "rolled back"
    assert NO_WAY_BACK in stuck.reasons
    assert stuck.live["champion"] == healthy.learning.name
    _, answer = journey.predict([{"a": 0.1, "b": 0.9}])
    assert answer["model_version"] == healthy.learning.name


def test_an_endpoint_that_failed_under_a_champion_is_left_to_a_person(journey: Journey, stuck: Ended, healthy: Ended):
    again = ended(journey, journey.retrain("once more", depth="6"))
    assert again.conclusion["outcome"] == "failed"
    assert "a person must look" in again.reasons
    assert again.live["champion"] == healthy.learning.name
    assert journey.endpoint()["EndpointStatus"] == "UpdateRollbackFailed"
