"""One fault at every call of a function, then redelivery: the same stands as without it."""

from __future__ import annotations

import random
from typing import Any

import pytest
from moto import mock_aws

from functions import (
    append_ledger,
    decide_retraining,
    finish_rollout,
    join_labels,
    prepare_rollout,
    roll_back,
    validate_batch,
)
from perennial import keys
from perennial.aws.arrivals import parse_arrival
from perennial.rollout import RolloutPlan
from tests.faults.seam import Fault, Scenario, sweep
from tests.functions.builders import deploy_plan, make_csv, make_label_csv, rollout_input
from tests.functions.test_append_ledger import declined
from tests.functions.test_decide_retraining import accepted, put_history
from tests.functions.test_roll_back import alarm_event, machine_event
from tests.functions.world import LANDING, World, make_world, messages, on_bus

FAULTS: tuple[Fault, ...] = ("killed after", "lost acknowledgement", "refused")


def canary(world: World) -> RolloutPlan:
    """Challenger v2 has half of champion v1's traffic."""
    first = RolloutPlan.model_validate(world.run(prepare_rollout, rollout_input(world, "v1")))
    deploy_plan(world, first)
    world.run(finish_rollout, {"plan": first.model_dump(mode="json")})
    plan = RolloutPlan.model_validate(world.run(prepare_rollout, rollout_input(world, "v2")))
    deploy_plan(world, plan, {"blue": 0.5, "green": 0.5})
    return plan


def machine_rolls_back(world: World, plan: RolloutPlan) -> None:
    world.run(roll_back, alarm_event(), watch_seconds=0)
    world.run(roll_back, machine_event(plan, "alarm", reasons=["alarm"]))


SCENARIOS = {
    "validate_batch": Scenario(
        lambda world: world.land(make_csv(rows=20, bad_rows=1)), lambda world, event: world.run(validate_batch, event)
    ),
    "decide_retraining": Scenario(
        lambda world: put_history(world), lambda world, _: world.run(decide_retraining, accepted())
    ),
    "roll_back": Scenario(canary, machine_rolls_back),
    "finish_rollout": Scenario(
        canary, lambda world, plan: world.run(finish_rollout, {"plan": plan.model_dump(mode="json")})
    ),
    "append_ledger": Scenario(
        # A first entry is there: what comes next must be chained to it.
        lambda world: world.run(append_ledger, messages(on_bus(declined(1)))) and messages(on_bus(declined(2))),
        lambda world, event: world.run(append_ledger, event),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_whatever_happens_at_one_call_redelivery_leaves_what_stands_without_it(name: str, fault: Fault) -> None:
    assert sweep(SCENARIOS[name], fault) == []


def test_a_throttle_at_any_read_of_validation_is_made_good_too() -> None:
    assert sweep(SCENARIOS["validate_batch"], "refused", writes_only=False) == []


def test_the_sweep_finds_a_landing_that_is_recorded_before_its_outputs() -> None:
    """The mutant of property 7: "done" first."""

    def too_early(world: World, event: dict[str, Any]) -> None:
        arrival = parse_arrival(event["Records"][0]["body"], bucket=LANDING, prefix=keys.BATCHES_PREFIX)
        item = keys.landing_item("demo", LANDING, arrival.key, str(arrival.version_id))
        first = world.catalog.get(item) is None
        if first:
            world.clients.dynamodb.put_item(
                TableName="demo-catalog",
                Item={name: {"S": value} for name, value in item.items()}
                | {"announced": {"BOOL": True}, "batch_id": {"S": "b"}},
            )
            world.clients.dynamodb.delete_item(
                TableName="demo-catalog", Key={name: {"S": value} for name, value in item.items()}
            )
        world.run(validate_batch, event)

    assert sweep(Scenario(SCENARIOS["validate_batch"].prepare, too_early), "killed after")


@pytest.mark.parametrize("seed", [1, 2])
def test_events_repeated_and_reordered_give_one_catalog(seed: int) -> None:
    def outcome(shuffled: bool) -> dict[Any, Any]:
        with mock_aws():
            world = make_world()
            batches = [world.land(make_csv(n, rows=10), f"batches/{n % 2}.csv") for n in (1, 2, 3)]
            batches.append(world.land(make_csv(9, rows=10, bad_rows=9), "batches/bad.csv"))
            labels = [world.land(make_label_csv(n, rows=10), f"labels/{n}.csv") for n in (1, 2)]
            deliveries = [(validate_batch, event) for event in batches] + [(join_labels, event) for event in labels]
            if shuffled:
                deliveries = deliveries * 2
                random.Random(seed).shuffle(deliveries)
            for function, event in deliveries:
                world.run(function, event)
            kept = ("demo#batches", "demo#timeline", "demo#labels")
            return {key: item for key, item in world.items().items() if key[0] in kept}

    assert outcome(shuffled=False) == outcome(shuffled=True)
