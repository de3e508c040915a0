"""A candidate that learnt nothing stops at the gate."""

from __future__ import annotations

import pytest

from tests.loop.conftest import Cycle
from tests.loop.journey import Journey

pytestmark = pytest.mark.local_cloud


def test_a_useless_candidate_is_evaluated_and_goes_no_further(journey: Journey, promoted: Cycle, refused: Cycle):
    states = refused.learning.run.states
    assert {"Train", "Evaluate", "Judge", "ConcludeRejected"} <= set(states)
    assert not {"Register", "Approve", "RollOut"} & set(states)
    assert journey.partition("runs")[refused.run_id]["outcome"] == "rejected"
    group = journey.deployment["ModelPackageGroupName"]
    packages = journey.client("sagemaker").list_model_packages(ModelPackageGroupName=group)["ModelPackageSummaryList"]
    described = [
        journey.client("sagemaker").describe_model_package(ModelPackageName=p["ModelPackageArn"]) for p in packages
    ]
    assert refused.run_id not in str(described)
    assert promoted.run_id in str(described)
    assert refused.run_id not in {one["name"] for one in journey.executions("RolloutMachineArn")}
