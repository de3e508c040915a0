"""roll_back: all traffic to the champion, from the catalog and SageMaker alone, whoever asks and however often."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from functions import finish_rollout, prepare_rollout, roll_back
from perennial import keys
from perennial.errors import EndpointBusy
from perennial.events import ModelRolledBack
from perennial.rollout import RolloutPlan
from tests.builders import make_loop
from tests.functions.builders import deploy_plan, lock_of, rollout_input
from tests.functions.world import ALARMS, ENDPOINT, LAKE, World, load_event

CHAMPION_ALONE = {"blue": 1.0, "green": 0.0}


@pytest.fixture
def canary(world: World) -> RolloutPlan:
    """Challenger v2 (green) has half the traffic of champion v1 (blue)."""
    first = RolloutPlan.model_validate(world.run(prepare_rollout, rollout_input(world, "v1")))
    deploy_plan(world, first)
    world.run(finish_rollout, {"plan": first.model_dump(mode="json")})
    plan = RolloutPlan.model_validate(world.run(prepare_rollout, rollout_input(world, "v2")))
    deploy_plan(world, plan, {"blue": 0.5, "green": 0.5})
    world.announced()
    return plan


def alarm_event(**changes: Any) -> dict[str, Any]:
    """The composite alarm's message about alarm demo-green-errors."""
    event: dict[str, Any] = load_event("alarm_lambda_action")
    event["alarmData"] |= changes
    return event


def composite_event(*triggers: str, reason_data: str | None = None) -> dict[str, Any]:
    """The composite alarm's message about the alarms `triggers`, or with other reason data than CloudWatch's."""
    arns = [f"arn:aws:cloudwatch:us-east-1:123456789012:alarm:{name}" for name in triggers]
    said = json.dumps({"triggeringAlarms": [{"arn": arn, "state": {"value": "ALARM"}} for arn in arns]})
    state = {"value": "ALARM", "reason": "an alarm transitioned", "reasonData": reason_data or said}
    return alarm_event(state=state)


def metric_alarm_event(name: str) -> dict[str, Any]:
    """A metric alarm's own message: no rule, no triggers."""
    return alarm_event(alarmName=name, configuration={"metrics": []}, state={"value": "ALARM", "reason": "1 datapoint"})


def ring(world: World, *names: str) -> None:
    """These of the slots' alarms are in ALARM, the others are OK."""
    for name in (name for names in ALARMS.values() for name in names):
        world.clients.cloudwatch.put_metric_alarm(
            AlarmName=name,
            Namespace="AWS/SageMaker",
            MetricName="Invocation5XXErrors",
            Statistic="Sum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=1.0,
            ComparisonOperator="GreaterThanThreshold",
        )
        state = "ALARM" if name in names else "OK"
        world.clients.cloudwatch.set_alarm_state(AlarmName=name, StateValue=state, StateReason="so says the test")


def machine_event(plan: RolloutPlan, cause: str = "failure", **more: Any) -> dict[str, Any]:
    return {
        "rollout_id": plan.rollout_id,
        "model_version": plan.model_version,
        "cause": cause,
        "plan": plan.model_dump(mode="json"),
        **more,
    }


def weights(world: World) -> dict[str, float]:
    return world.sagemaker.endpoints[ENDPOINT].weights


def test_an_alarm_turns_all_traffic_to_the_champion(canary: RolloutPlan, world: World) -> None:
    answer = world.run(roll_back, alarm_event())

    assert weights(world) == CHAMPION_ALONE
    assert answer["status"] == "rolled back"
    assert world.live.rollout is not None
    assert world.live.rollout.status == "rolled back"
    [event] = world.announced()
    assert isinstance(event, ModelRolledBack)
    assert (event.cause, event.champion_version, event.model_version) == ("alarm", "v1", "v2")


def test_the_machine_closes_the_rollout_after_the_alarm(canary: RolloutPlan, world: World) -> None:
    world.run(roll_back, alarm_event())
    world.announced()

    answer = world.run(roll_back, machine_event(canary, "alarm", reasons=["rollout: it was already ended"]))

    assert (True, canary.retired_config_name) == (answer["retire"], answer["endpoint_config_name"])
    assert [variant["VariantName"] for variant in answer["production_variants"]] == ["blue"]
    assert world.live.rollout is None
    assert world.live.to_item()["slots"] == {"blue": "v1"}
    assert lock_of(world).acquire("v3", now=world.now, lease_seconds=1)
    [again] = world.announced()
    assert isinstance(again, ModelRolledBack)
    assert "alarm" in again.reasons[0]


@pytest.mark.parametrize("times", [1, 2, 3])
def test_asked_again_and_again_the_end_is_the_same(canary: RolloutPlan, world: World, times: int) -> None:
    for _ in range(times):
        world.run(roll_back, alarm_event())
        world.now += timedelta(seconds=10)
    for _ in range(times):
        world.run(roll_back, machine_event(canary))

    assert weights(world) == CHAMPION_ALONE
    assert world.live.rollout is None
    assert len({event.model_dump_json() for event in world.announced()}) == 1


def test_a_failed_smoke_test_is_told_as_its_cause(canary: RolloutPlan, world: World) -> None:
    error = {"Error": "SmokeTestFailed", "Cause": '{"errorMessage": "row 0 must be answered", "errorType": "x"}'}

    world.run(roll_back, machine_event(canary, "smoke test", error=error))

    [event] = world.announced()
    assert isinstance(event, ModelRolledBack)
    assert (event.cause, event.reasons) == ("smoke test", ("SmokeTestFailed: row 0 must be answered",))


def test_a_person_may_roll_back_what_is_in_progress(canary: RolloutPlan, world: World) -> None:
    world.run(roll_back, {"cause": "person", "reason": "customers complain"})

    assert weights(world) == CHAMPION_ALONE
    [event] = world.announced()
    assert isinstance(event, ModelRolledBack)
    assert (event.cause, event.reasons) == ("person", ("customers complain",))


def test_it_waits_while_the_endpoint_is_updating(canary: RolloutPlan, world: World) -> None:
    endpoint = world.sagemaker.endpoints[ENDPOINT]
    endpoint.status = "Updating"

    def recover(operation: str) -> None:
        if world.slept_seconds >= 9:
            endpoint.status = "InService"

    world.sagemaker.meanwhile = recover

    world.run(roll_back, machine_event(canary))

    assert weights(world) == CHAMPION_ALONE
    assert 9 <= world.slept_seconds < 15


def test_it_raises_when_the_endpoint_stays_busy_so_that_its_caller_tries_again(
    canary: RolloutPlan, world: World
) -> None:
    world.sagemaker.endpoints[ENDPOINT].status = "Updating"
    with pytest.raises(EndpointBusy):
        world.run(roll_back, alarm_event())
    # Nothing can advance meanwhile.
    assert world.live.rollout is not None
    assert world.live.rollout.status == "rolling back"
    world.sagemaker.endpoints[ENDPOINT].status = "InService"

    world.run(roll_back, alarm_event())

    assert weights(world) == CHAMPION_ALONE


def test_the_machines_late_weights_are_turned_again_after_an_alarm(canary: RolloutPlan, world: World) -> None:
    described = 0

    def advance(operation: str) -> None:
        # The machine's own update was under way when the alarm came: it arrives after ours.
        nonlocal described
        described += operation == "DescribeEndpoint"
        if described == 3:
            world.sagemaker.endpoints[ENDPOINT].weights = {"blue": 0.01, "green": 0.99}

    world.sagemaker.meanwhile = advance

    world.run(roll_back, alarm_event())

    assert weights(world) == CHAMPION_ALONE


def test_an_alarm_after_the_promotion_changes_nothing(canary: RolloutPlan, world: World) -> None:
    world.run(finish_rollout, {"plan": canary.model_dump(mode="json")})
    world.announced()
    items = world.items()

    answer = world.run(roll_back, alarm_event())

    assert answer["status"] == "nothing to roll back"
    assert weights(world) == {"blue": 0.0, "green": 1.0}
    assert (items, []) == (world.items(), world.announced())


QUOTA = {
    "Error": "SageMaker.ResourceLimitExceededException",
    "Cause": "The account-level service limit 'ml.m5.large for endpoint usage' is 0 Instances "
    "(Service: SageMaker, Status Code: 400, Request ID: 6f1e)",
}
GONE = {"Error": "SageMaker.SageMakerException", "Cause": 'Could not find endpoint "e". (Service: SageMaker)'}
NO_PING = "The primary container for production variant green did not pass the ping health check."


@pytest.mark.parametrize(
    ("collected", "reasons"),
    [
        (
            {"refused": QUOTA, "error": GONE},
            (
                "SageMaker.ResourceLimitExceededException: The account-level service limit 'ml.m5.large for endpoint "
                "usage' is 0 Instances",
                'SageMaker.SageMakerException: Could not find endpoint "e".',
            ),
        ),
        (
            {"refused": {}, "endpoint": {"described": {"EndpointStatus": "Failed", "FailureReason": NO_PING}}},
            (f"endpoint: Failed: {NO_PING}",),
        ),
        (
            {"endpoint": {"described": {"EndpointStatus": "Updating"}}, "settling": {"looks": 900}},
            ("endpoint: still Updating when it was looked at 900 times",),
        ),
        (
            {"endpoint": {"described": {"EndpointStatus": "InService", "EndpointConfigName": "the-old-one"}}},
            ("endpoint: it serves configuration the-old-one, not demo--dev--v2: SageMaker took the update back",),
        ),
        (
            {"endpoint": {"described": {"EndpointStatus": "UpdateRollbackFailed"}}},
            ("endpoint: UpdateRollbackFailed",),
        ),
        (
            {"error": {"Error": "Sandbox.Timedout", "Cause": '{"errorMessage": "Task timed out after 60 seconds"}'}},
            ("Sandbox.Timedout: Task timed out after 60 seconds",),
        ),
    ],
)
def test_whatever_went_wrong_at_the_endpoint_is_on_record(
    canary: RolloutPlan, world: World, collected: dict[str, Any], reasons: tuple[str, ...]
) -> None:
    plan = canary.model_dump(mode="json")
    world.run(
        roll_back,
        {
            "rollout_id": canary.rollout_id,
            "model_version": canary.model_version,
            "cause": "failure",
            "state": {"plan": plan, **collected},
        },
    )

    [event] = world.announced()
    assert isinstance(event, ModelRolledBack)
    assert event.reasons == reasons
    model = world.catalog.get(keys.model_item("demo", "v2")) or {}
    assert model["status_reasons"] == list(reasons)


def test_a_failure_after_the_promotion_says_that_it_was_promoted(canary: RolloutPlan, world: World) -> None:
    world.run(finish_rollout, {"plan": canary.model_dump(mode="json")})

    answer = world.run(roll_back, machine_event(canary))

    assert (answer["status"], answer["retire"]) == ("promoted", False)
    assert weights(world) == {"blue": 0.0, "green": 1.0}


@pytest.mark.parametrize(
    "event",
    [
        composite_event("demo-blue-errors"),
        metric_alarm_event("demo-blue-errors"),
        alarm_event(state={"value": "OK", "reason": "calm again"}),
        alarm_event() | {"time": "2026-02-28T12:00:00.000+0000"},
        {"rollout_id": "another", "cause": "failure"},
    ],
    ids=[
        "the champion's alarm",
        "the champion's own message",
        "an alarm that ended",
        "an alarm of last week",
        "another rollout",
    ],
)
def test_what_is_not_about_this_rollout_leaves_it_alone(
    canary: RolloutPlan, world: World, event: dict[str, Any]
) -> None:
    world.run(roll_back, event)

    assert weights(world) == {"blue": 0.5, "green": 0.5}
    assert world.live.rollout is not None
    assert world.live.rollout.status == "in progress"


@pytest.mark.parametrize(
    "event",
    [
        composite_event("demo-green-errors"),
        composite_event("demo-blue-errors", "demo-green-errors"),
        composite_event("an-alarm-that-no-slot-has"),
        metric_alarm_event("demo-green-errors"),
    ],
    ids=["the challenger's", "both slots'", "an unknown one", "the challenger's own message"],
)
def test_any_alarm_but_the_champions_alone_rolls_the_challenger_back(
    canary: RolloutPlan, world: World, event: dict[str, Any]
) -> None:
    answer = world.run(roll_back, event)

    assert (answer["status"], weights(world)) == ("rolled back", CHAMPION_ALONE)


def test_the_champions_alarm_alone_stays_on_record(
    canary: RolloutPlan, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = world.run(roll_back, composite_event("demo-blue-errors"))

    assert answer["alarms"] == ["demo-blue-errors"]
    assert answer["reason"] == "only the champion's alarms ring: demo-blue-errors"
    [logged] = [line for line in capsys.readouterr().out.splitlines() if "nothing to roll back" in line]
    assert (json.loads(logged)["level"], "demo-blue-errors" in logged) == ("WARNING", True)


@pytest.mark.parametrize(
    "reason_data", ["{}", "not JSON", "[]", '{"triggeringAlarms": null}', '{"triggeringAlarms": [1]}']
)
@pytest.mark.parametrize(("ringing", "share"), [("demo-blue-errors", 0.5), ("demo-green-errors", 0.0)])
def test_an_alarm_that_names_no_trigger_is_asked_after(
    canary: RolloutPlan, world: World, reason_data: str, ringing: str, share: float
) -> None:
    ring(world, ringing)

    world.run(roll_back, composite_event(reason_data=reason_data))

    assert weights(world)["green"] == share


def test_in_doubt_about_whose_alarm_it_is_the_challenger_goes(canary: RolloutPlan, world: World) -> None:
    """It has stopped ringing meanwhile, or CloudWatch doesn't answer."""
    ring(world)
    world.run(roll_back, composite_event(reason_data="{}"))
    assert weights(world) == CHAMPION_ALONE


def test_cloudwatch_being_away_keeps_nobody_from_rolling_back(canary: RolloutPlan, world: World) -> None:
    def away(**_: Any) -> None:
        raise EndpointConnectionError(endpoint_url="https://monitoring.us-east-1.amazonaws.com")

    world.clients.cloudwatch.meta.events.register_first("before-call.*.DescribeAlarms", away)

    world.run(roll_back, composite_event(reason_data="{}"))

    assert weights(world) == CHAMPION_ALONE


def test_it_needs_neither_lake_nor_registry_nor_cloudwatch(canary: RolloutPlan, world: World) -> None:
    world.clients.s3.delete_object(Bucket=LAKE, Key="loop.json")
    for client in (world.clients.s3, world.clients.cloudwatch, world.clients.sns, world.clients.stepfunctions):
        client.meta.events.register_first("before-call.*", _refuse)

    world.run(roll_back, alarm_event())

    assert weights(world) == CHAMPION_ALONE
    called = set(world.sagemaker.calls)
    assert called <= {"DescribeEndpoint", "UpdateEndpointWeightsAndCapacities"}


def test_without_a_challengers_variant_there_is_nothing_to_turn(canary: RolloutPlan, world: World) -> None:
    # UpdateEndpoint never went through: the endpoint has its old configuration.
    world.sagemaker.endpoints[ENDPOINT].weights = {"blue": 1.0}

    answer = world.run(roll_back, machine_event(canary))

    assert answer["status"] == "rolled back"
    assert world.live.rollout is None


def test_a_first_model_that_fails_leaves_no_champion(world: World) -> None:
    plan = RolloutPlan.model_validate(world.run(prepare_rollout, rollout_input(world, "v1")))
    deploy_plan(world, plan)

    answer = world.run(roll_back, machine_event(plan, "smoke test"))

    assert (answer["status"], answer["retire"]) == ("rolled back", False)
    assert (world.live.live.champion, world.live.rollout) == (None, None)


def test_a_rollout_that_failed_before_it_had_a_slot_frees_its_lock(world: World) -> None:
    lock_of(world).acquire("v9", now=world.now, lease_seconds=9999)

    world.run(roll_back, {"rollout_id": "v9", "model_version": "v9", "cause": "failure", "error": {"Error": "X"}})

    assert lock_of(world).acquire("v10", now=world.now, lease_seconds=1)


def test_a_person_takes_a_promotion_back_while_the_previous_champion_is_warm(world: World) -> None:
    world.deploy(make_loop(rollout={"keep_previous": True}))
    for version in ("v1", "v2"):
        plan = RolloutPlan.model_validate(world.run(prepare_rollout, rollout_input(world, version)))
        deploy_plan(world, plan)
        world.run(finish_rollout, {"plan": plan.model_dump(mode="json")})
    world.announced()

    answer = world.run(roll_back, {"cause": "person", "reason": "worse than it looked"})

    assert (answer["status"], answer["champion"]) == ("rolled back", "v1")
    assert weights(world) == CHAMPION_ALONE
    assert world.live.live.champion_slot == "blue"
    assert (world.catalog.get(keys.model_item("demo", "v1")) or {})["status"] == "champion"
    [event] = world.announced()
    assert isinstance(event, ModelRolledBack)


def test_a_person_without_anything_to_take_back_is_told_so(world: World) -> None:
    assert world.run(roll_back, {"cause": "person"})["reason"] == "no previous champion is kept"


def _refuse(**_: Any) -> None:
    raise AssertionError("nothing but catalog, bus and endpoint may be needed")
