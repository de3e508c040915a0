"""decide_retraining: one signal, one decision, one run; and a crash anywhere is made good."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from functions import decide_retraining
from perennial import keys
from perennial.aws.catalog import Catalog
from perennial.errors import EventInvalid, Fenced
from perennial.events import BatchAccepted, DriftDetected, LabelsJoined, RetrainingDeclined, RetrainingRequested
from tests.builders import day, make_batch, make_labels, make_loop
from tests.functions.builders import lock_of
from tests.functions.world import World, on_bus


def put_history(world: World, batches: int = 10, *, labels: bool = True) -> None:
    """Batches of the first days of 2026, labelled."""
    for number in range(1, batches + 1):
        batch = make_batch(number)
        item = batch.model_dump(mode="json") | {"profile_key": keys.profile_key(batch.batch_id)}
        world.catalog.put(keys.timeline_item("demo", batch.last_event_at, batch.batch_id), item)
    if labels:
        entry = make_labels(rows=batches * 100, as_of=day(2))
        item = entry.model_dump(mode="json") | {"status": "accepted"}
        world.catalog.put(keys.labels_item("demo", entry.labels_id), item)


def accepted(number: int = 10) -> dict[str, Any]:
    batch = make_batch(number)
    return on_bus(
        BatchAccepted(
            loop="demo",
            at=batch.last_event_at,
            batch_id=batch.batch_id,
            key=f"batches/{number}.csv",
            rows=batch.rows,
            quarantined=0,
            first_event_at=batch.first_event_at,
            last_event_at=batch.last_event_at,
            profile_key="p",
        )
    )


def drifted(number: int = 10) -> dict[str, Any]:
    batch = make_batch(number)
    return on_bus(
        DriftDetected(
            loop="demo",
            at=batch.last_event_at,
            batch_id=batch.batch_id,
            as_of=batch.last_event_at,
            columns=("x",),
            reasons=("x moved",),
            report_key="r",
        )
    )


def crown(world: World) -> None:
    """A champion serves; a run a week is enough."""
    world.deploy(make_loop(triggers={"cooldown": "7d"}))
    slot = {"model_version": "v1", "model_name": "demo-v1", "artifact_digest": None, "model_data_url": None}
    world.catalog.put(keys.live_item("demo"), {"champion_slot": "blue", "models": {"blue": slot}})


def conclude(world: World, run_id: str, outcome: str = "promoted") -> None:
    world.catalog.update(keys.run_item("demo", run_id), {"outcome": outcome})


def test_enough_labelled_data_starts_the_first_run(world: World) -> None:
    put_history(world)

    answer = world.run(decide_retraining, accepted())

    assert answer["fired"]
    assert [answer["run_id"]] == world.executions()
    [event] = world.announced()
    assert isinstance(event, RetrainingRequested)
    assert (answer["run_id"], answer["execution_arn"]) == (event.run_id, event.execution_arn)


def test_labels_that_make_a_history_long_enough_start_the_first_run(world: World) -> None:
    put_history(world)
    labels = LabelsJoined(
        loop="demo", at=world.now, labels_id="l" * 40, key="labels/1.csv", rows=100, quarantined=0, as_of=day(12)
    )

    assert world.run(decide_retraining, on_bus(labels))["fired"]


def test_the_machines_input_is_what_it_documents(world: World) -> None:
    put_history(world)
    answer = world.run(decide_retraining, accepted())

    described = world.clients.stepfunctions.describe_execution(executionArn=answer["execution_arn"])
    assert {"run_id", "signal", "as_of", "reasons", "hyperparameters"} == set(json.loads(described["input"]))


def test_too_little_data_declines_and_says_what_is_lacking(world: World) -> None:
    put_history(world, 2)

    answer = world.run(decide_retraining, accepted(2))

    assert not answer["fired"]
    assert world.executions() == []
    [event] = world.announced()
    assert isinstance(event, RetrainingDeclined)
    assert "batches" in event.reasons[0]


def test_a_signal_delivered_twice_starts_one_run_and_says_it_the_same(world: World) -> None:
    put_history(world)
    first = world.run(decide_retraining, accepted())
    world.now += timedelta(minutes=1)

    assert first == world.run(decide_retraining, accepted())
    assert len(world.executions()) == 1
    one, two = world.announced()
    assert one == two


def test_signals_while_a_run_is_under_way_start_nothing(world: World) -> None:
    put_history(world)
    world.run(decide_retraining, accepted())

    for event in (drifted(10), {"signal": "schedule"}, {"signal": "manual", "reason": "now"}):
        assert "running" in world.run(decide_retraining, event)["reasons"][0]
    assert len(world.executions()) == 1


def test_many_signals_in_a_cooldown_start_one_run(world: World) -> None:
    put_history(world)
    crown(world)
    first = world.run(decide_retraining, drifted(9))
    conclude(world, first["run_id"])

    again = world.run(decide_retraining, drifted(10))

    assert not again["fired"]
    assert "cooldown" in again["reasons"][0]
    assert len(world.executions()) == 1


def test_a_person_overrides_the_cooldown_with_hyperparameters(world: World) -> None:
    put_history(world)
    crown(world)
    conclude(world, world.run(decide_retraining, drifted(9))["run_id"])

    event = {"signal": "manual", "reason": "try deeper", "hyperparameters": {"max_depth": 9}}
    answer = world.run(decide_retraining, event)

    assert answer["fired"]
    assert (world.catalog.get(keys.run_item("demo", answer["run_id"])) or {})["hyperparameters"] == {"max_depth": "9"}


def test_a_schedule_with_nothing_new_since_the_last_fit_declines(world: World) -> None:
    put_history(world)
    crown(world)
    conclude(world, world.run(decide_retraining, drifted(10))["run_id"])
    world.now += timedelta(days=40)

    assert "nothing landed" in world.run(decide_retraining, {"signal": "schedule"})["reasons"][0]


def test_a_schedule_with_new_data_fires(world: World) -> None:
    put_history(world)
    crown(world)

    assert world.run(decide_retraining, {"signal": "schedule"})["fired"]


def test_a_paused_loop_starts_nothing(world: World) -> None:
    put_history(world)
    world.catalog.put(keys.trigger_item("demo"), {"paused": True, "paused_reason": "holidays"})

    assert "holidays" in world.run(decide_retraining, accepted())["reasons"][0]


def test_the_monthly_budget_survives_restarts(world: World) -> None:
    world.deploy(make_loop(triggers={"budget": 0.01}))
    put_history(world)

    answer = world.run(decide_retraining, accepted())

    assert "budget" in answer["reasons"][0]


def test_what_was_spent_counts_against_the_budget(world: World) -> None:
    put_history(world)
    crown(world)
    world.run(decide_retraining, drifted(9))

    spent = (world.catalog.get(keys.trigger_item("demo")) or {})["spent_usd"]
    assert spent[f"{world.now:%Y-%m}"] > 0


def test_a_run_whose_execution_died_does_not_block_for_ever(world: World) -> None:
    put_history(world)
    crown(world)
    first = world.run(decide_retraining, drifted(8))
    world.clients.stepfunctions.stop_execution(executionArn=first["execution_arn"])

    assert "cooldown" in world.run(decide_retraining, drifted(9))["reasons"][0]
    assert world.run(decide_retraining, {"signal": "manual", "reason": "again"})["fired"]


def test_a_rollout_under_way_blocks(world: World) -> None:
    put_history(world)
    crown(world)
    lock_of(world).acquire("v7", now=world.now, lease_seconds=3600)

    assert "under way" in world.run(decide_retraining, drifted())["reasons"][0]


def test_a_crash_between_the_decision_and_the_start_is_made_good_by_the_next_delivery(world: World) -> None:
    put_history(world)
    client = world.clients.stepfunctions
    client.meta.events.register_first("before-call.stepfunctions.StartExecution", _crash)
    with pytest.raises(KeyboardInterrupt):
        world.run(decide_retraining, accepted())
    client.meta.events.unregister("before-call.stepfunctions.StartExecution", _crash)
    assert world.executions() == []

    answer = world.run(decide_retraining, accepted())

    assert answer["fired"]
    assert [answer["run_id"]] == world.executions()


def test_any_other_signal_makes_that_crash_good_too(world: World) -> None:
    put_history(world)
    client = world.clients.stepfunctions
    client.meta.events.register_first("before-call.stepfunctions.StartExecution", _crash)
    with pytest.raises(KeyboardInterrupt):
        world.run(decide_retraining, accepted(10))
    client.meta.events.unregister("before-call.stepfunctions.StartExecution", _crash)

    world.run(decide_retraining, accepted(9))

    assert len(world.executions()) == 1
    assert any(isinstance(event, RetrainingRequested) for event in world.announced())


def test_two_workers_with_two_signals_start_one_run(world: World) -> None:
    put_history(world)
    crown(world)
    raced: list[Any] = []

    def race(**_: Any) -> None:
        # The other worker decides between our reading the trigger's state and our writing it.
        if not raced:
            raced.append(None)
            raced.append(world.run(decide_retraining, drifted(10)))

    world.clients.dynamodb.meta.events.register_first("before-call.dynamodb.PutItem", race)

    mine = world.run(decide_retraining, drifted(9))

    assert (mine["fired"], raced[1]["fired"]) == (False, True)
    assert len(world.executions()) == 1


@pytest.mark.parametrize(
    "event",
    [{"signal": "whatever"}, {}, accepted() | {"source": "somebody"}, accepted() | {"detail-type": "Data Outage"}],
)
def test_what_is_no_signal_is_refused(world: World, event: dict[str, Any]) -> None:
    with pytest.raises(EventInvalid):
        world.run(decide_retraining, event)


def test_a_lost_acknowledgement_of_the_state_is_recognised_as_our_own(world: World) -> None:
    put_history(world)
    twin = Catalog(world.clients.client("dynamodb"), "demo-catalog")

    def lose(params: Any, **_: Any) -> None:
        # The write went through, its answer was lost: boto3 sends it again.
        if params["Item"]["sk"]["S"] == "trigger":
            twin.dynamodb.put_item(**params)

    world.clients.dynamodb.meta.events.register("provide-client-params.dynamodb.PutItem", lose)

    assert world.run(decide_retraining, accepted())["fired"]
    assert len(world.executions()) == 1


def _crash(**_: Any) -> None:
    raise KeyboardInterrupt


def overtake(world: World, times: int) -> None:
    """Somebody else changes the trigger's state just before each of the next `times` writes to it."""
    left = [times]

    def change(params: dict[str, Any], **_: Any) -> None:
        item = params["Item"]
        if left[0] and item["sk"] == {"S": keys.trigger_item("demo")["sk"]} and "item_version" in item:
            left[0] -= 1
            world.catalog.dynamodb.update_item(
                TableName=params["TableName"],
                Key={"pk": item["pk"], "sk": item["sk"]},
                UpdateExpression="ADD item_version :one",
                ExpressionAttributeValues={":one": {"N": "1"}},
            )

    world.clients.dynamodb.meta.events.register("provide-client-params.dynamodb.PutItem", change)


def test_who_loses_a_race_pauses_and_decides_again(world: World) -> None:
    put_history(world)
    overtake(world, 3)

    assert world.run(decide_retraining, accepted())["fired"]

    assert 0 < world.slept_seconds < 1


def test_a_signal_that_starts_nothing_is_declined_however_often_others_are_faster(world: World) -> None:
    put_history(world, labels=False)
    overtake(world, 1000)

    answer = world.run(decide_retraining, accepted())

    assert not answer["fired"]
    [event] = world.announced()
    assert isinstance(event, RetrainingDeclined)


def test_a_signal_that_would_start_a_run_fails_loudly_when_others_are_always_faster(world: World) -> None:
    put_history(world)
    overtake(world, 1000)

    with pytest.raises(Fenced):
        world.run(decide_retraining, accepted())

    assert world.executions() == []
