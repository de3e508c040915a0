"""The local cloud stops, or is killed, and starts: everything is as it was, and answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from tests.loop.conftest import Cycle
from tests.loop.journey import Journey
from tests.waiting import until

pytestmark = pytest.mark.local_cloud

KEPT = ("batches", "landings", "timeline", "labels", "models", "runs", "rollouts", "scores", "state")
MACHINES = ("LearningMachineArn", "RolloutMachineArn")


@dataclass(frozen=True)
class Looks:
    """What was there before and after."""

    before: dict[str, Any]
    after: dict[str, Any]


def _look(journey: Journey) -> dict[str, Any]:
    executions = {
        machine: {one["name"]: (one["status"], one["startDate"]) for one in journey.executions(machine)}
        for machine in MACHINES
    }
    packages = journey.client("sagemaker").list_model_packages(
        ModelPackageGroupName=journey.deployment["ModelPackageGroupName"]
    )["ModelPackageSummaryList"]
    endpoint = journey.endpoint()
    return {
        "catalog": {name: journey.partition(name) for name in KEPT},
        "executions": executions,
        "packages": {one["ModelPackageArn"]: one["ModelApprovalStatus"] for one in packages},
        "endpoint": (endpoint["EndpointStatus"], endpoint["EndpointConfigName"]),
        "weights": {one["VariantName"]: one["CurrentWeight"] for one in endpoint["ProductionVariants"]},
        "stacks": sorted(one["StackName"] for one in journey.client("cloudformation").describe_stacks()["Stacks"]),
    }


@pytest.fixture(scope="module")
def looks(journey: Journey, rolled_back: Cycle) -> Looks:
    """A look, a stop, a start, another look."""
    before = _look(journey)
    journey.cloud.server.stop()
    journey.cloud.server.start()
    until(lambda: journey.endpoint()["EndpointStatus"] == "InService", what="the endpoint")
    return Looks(before, _look(journey))


@pytest.mark.parametrize("what", ["catalog", "executions", "packages", "endpoint", "weights", "stacks"])
def test_a_stop_and_a_start_keep(looks: Looks, what: str):
    assert looks.before[what]
    assert looks.after[what] == looks.before[what]


def test_the_endpoint_answers_as_before(journey: Journey, looks: Looks, promoted: Cycle):
    smoke = journey.lake_json(f"reports/evaluations/{promoted.run_id}/smoke.json")
    _, answer = journey.predict(smoke["rows"])
    assert answer["model_version"] == promoted.run_id
    assert [one["score"] for one in answer["predictions"]] == pytest.approx(
        [one["score"] for one in smoke["predictions"]], abs=smoke["tolerance"]
    )


def test_the_loop_goes_on(journey: Journey, looks: Looks):
    from loops.bikeshare import stream

    landed = journey.land("batches", "after.csv", stream.week(70).batch_csv())
    landing = journey.await_landed([landed])[landed]
    assert landing["status"] == "accepted"


@pytest.fixture(scope="module")
def killed(journey: Journey, looks: Looks) -> Looks:
    """A file lands, the server is killed as by a power cut and started again."""
    from loops.bikeshare import stream

    landed = journey.land("batches", "before-the-cut.csv", stream.week(71).batch_csv())
    journey.await_landed([landed])
    until(lambda: journey.cloud.server.saved, what="a snapshot of everything")
    before = {**_look(journey), "landed": landed}
    journey.cloud.server.kill()
    journey.cloud.server.start()
    until(lambda: journey.endpoint()["EndpointStatus"] == "InService", what="the endpoint")
    return Looks(before, _look(journey))


@pytest.mark.parametrize("what", ["catalog", "executions", "packages", "endpoint", "weights", "stacks"])
def test_a_kill_keeps(killed: Looks, what: str):
    assert killed.after[what] == killed.before[what]


def test_what_landed_before_a_kill_is_there(journey: Journey, killed: Looks):
    landings = killed.after["catalog"]["landings"].values()
    found = [one for one in landings if (one["key"], one["version_id"]) == killed.before["landed"]]
    assert [one["status"] for one in found] == ["accepted"]
    batch = killed.after["catalog"]["batches"][found[0]["batch_id"]]
    curated = journey.client("s3").get_object(Bucket=journey.deployment["LakeBucket"], Key=batch["curated_key"])
    assert curated["ContentLength"] > 0
