"""prepare_rollout, smoke_test, analyse_canary, finish_rollout: a challenger's way to the traffic."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from typing import Any

import pytest

from functions import analyse_canary, finish_rollout, prepare_rollout, smoke_test
from perennial import keys
from perennial.artifact import archive_digest
from perennial.errors import (
    ApprovalRefused,
    ArtifactChanged,
    EndpointBusy,
    EndpointDiverged,
    Fenced,
    LockHeld,
    SmokeTestFailed,
)
from perennial.events import ModelPromoted, RolloutAdvanced, RolloutHeld, RolloutStarted
from perennial.rollout import RolloutPlan
from tests.builders import make_loop
from tests.functions.builders import ARTIFACT, deploy_plan, lock_of, pointer_of, put_model, rollout_input
from tests.functions.sagemaker_fake import FakeEndpoint
from tests.functions.world import ENDPOINT, LAKE, World


def prepare(world: World, version: str = "v2") -> RolloutPlan:
    return RolloutPlan.model_validate(world.run(prepare_rollout, rollout_input(world, version)))


def promote_first(world: World, version: str = "v1") -> None:
    """A loop whose first model serves alone."""
    plan = prepare(world, version)
    deploy_plan(world, plan)
    world.run(finish_rollout, {"plan": plan.model_dump(mode="json"), "run_id": version})
    world.announced()


def start(world: World, plan: RolloutPlan) -> dict[str, Any]:
    answer: dict[str, Any] = world.run(
        analyse_canary, {"plan": plan.model_dump(mode="json"), "step": 0, "phase": "start"}
    )
    return answer


def analyse(world: World, plan: RolloutPlan, step: dict[str, Any], **changes: Any) -> dict[str, Any]:
    event = {"plan": plan.model_dump(mode="json"), "step": step, "phase": "baked"}
    answer: dict[str, Any] = world.run(analyse_canary, event, **changes)
    return answer


def apply(world: World, step: dict[str, Any]) -> None:
    """What the machine does with an answer."""
    world.clients.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=ENDPOINT, DesiredWeightsAndCapacities=step["weights"]
    )


def traffic(
    world: World, variant: str, *, requests: int, errors: int = 0, refused: int = 0, latency_ms: float = 20.0
) -> None:
    """What SageMaker publishes of one variant at the present minute."""
    dimensions = {"EndpointName": ENDPOINT, "VariantName": variant}
    world.metrics.add("Invocations", dimensions, world.now, 1.0, requests)
    world.metrics.add("Invocation5XXErrors", dimensions, world.now, 1.0, errors)
    world.metrics.add("Invocation4XXErrors", dimensions, world.now, 1.0, refused)
    world.metrics.add("InvocationModelErrors", dimensions, world.now, 1.0, errors + refused)
    world.metrics.add("ModelLatency", dimensions, world.now, latency_ms * 1000, requests)


def alarm(world: World, name: str, state: str) -> None:
    world.clients.cloudwatch.put_metric_alarm(
        AlarmName=name, MetricName="m", Namespace="n", Period=60, EvaluationPeriods=1, Statistic="Sum",
        Threshold=1, ComparisonOperator="GreaterThanThreshold",
    )  # fmt: skip
    world.clients.cloudwatch.set_alarm_state(AlarmName=name, StateValue=state, StateReason="test")


@pytest.fixture
def canary(world: World) -> RolloutPlan:
    """A challenger v2 in slot green beside champion v1, deployed at weight 0, its alarms calm."""
    world.deploy(make_loop(rollout={"min_samples": 50, "steps": [0.1, 1.0], "bake": 60}))
    promote_first(world)
    for slot in ("blue", "green"):
        alarm(world, f"demo-{slot}-errors", "OK")
    plan = prepare(world)
    deploy_plan(world, plan)
    return plan


# --- prepare ---


def test_the_first_model_gets_one_variant_with_all_the_weight(world: World) -> None:
    plan = prepare(world, "v1")

    [variant] = plan.production_variants
    assert (plan.champion_slot, plan.endpoint_exists, plan.steps) == (None, False, ())
    assert variant["InitialVariantWeight"] == 1.0
    [event] = world.announced()
    assert isinstance(event, RolloutStarted)


def test_a_challenger_takes_the_other_slot_at_weight_zero(canary: RolloutPlan, world: World) -> None:
    weights = {variant["VariantName"]: variant["InitialVariantWeight"] for variant in canary.production_variants}
    assert weights == {"blue": 1.0, "green": 0.0}
    assert world.live.rollout is not None
    assert world.live.to_item()["slots"] == {"blue": "v1", "green": "v2"}


@pytest.mark.parametrize("status", ["Failed", "UpdateRollbackFailed", "OutOfService"])
def test_an_endpoint_that_failed_is_made_anew_where_no_champion_is_on_it(world: World, status: str) -> None:
    """SageMaker takes nothing but its deletion."""
    world.sagemaker.endpoints[ENDPOINT] = FakeEndpoint("demo--dev--v0", {}, status=status)

    plan = prepare(world, "v1")

    assert (plan.endpoint_exists, plan.endpoint_failed) == (True, True)


@pytest.mark.parametrize("status", ["Failed", "UpdateRollbackFailed"])
def test_an_endpoint_that_failed_under_a_champion_is_for_a_person(world: World, status: str) -> None:
    promote_first(world)
    world.sagemaker.endpoints[ENDPOINT].status = status

    with pytest.raises(EndpointDiverged, match=r"v1 lives on it.*a person must look"):
        prepare(world, "v2")

    assert world.live.rollout is None


def test_prepared_twice_is_prepared_once(world: World) -> None:
    event = rollout_input(world, "v1")
    first = world.run(prepare_rollout, event)
    items, said = world.items(), world.announced()
    world.now += timedelta(minutes=5)

    assert first == world.run(prepare_rollout, event)
    assert items == world.items()
    assert said == world.announced()


def test_a_model_that_nobody_approved_is_refused(world: World) -> None:
    event = rollout_input(world, "v1")
    put_model(world, "v1", status="registered")

    with pytest.raises(ApprovalRefused):
        world.run(prepare_rollout, event)

    assert world.live.rollout is None


def test_an_artifact_changed_after_its_approval_is_refused(world: World) -> None:
    event = rollout_input(world, "v1")
    world.put(event["model_data_url"].removeprefix("s3://demo-lake/"), b"another model")

    with pytest.raises(ArtifactChanged):
        world.run(prepare_rollout, event)


def test_nothing_is_served_from_where_jobs_write(world: World) -> None:
    event = rollout_input(world, "v1")
    world.put("models/v1/model.tar.gz", ARTIFACT)

    with pytest.raises(ArtifactChanged, match="approved/<digest>"):
        world.run(prepare_rollout, event | {"model_data_url": f"s3://{LAKE}/models/v1/model.tar.gz"})


def test_the_container_is_told_the_digest_of_what_it_must_find(world: World) -> None:
    plan = world.run(prepare_rollout, rollout_input(world, "v1"))

    environment = plan["model"]["primary_container"]["Environment"]
    assert environment["MODEL_DIGEST"] == archive_digest(io.BytesIO(ARTIFACT))


def test_an_approval_of_another_digest_does_not_count(world: World) -> None:
    event = rollout_input(world, "v1")

    with pytest.raises(ApprovalRefused):
        world.run(prepare_rollout, event | {"artifact_digest": "0" * 64})


def test_a_second_rollout_waits_for_the_first(canary: RolloutPlan, world: World) -> None:
    with pytest.raises(LockHeld, match="v2"):
        prepare(world, "v3")


def test_an_endpoint_that_is_being_changed_is_left_alone(world: World) -> None:
    promote_first(world)
    world.sagemaker.endpoints[ENDPOINT].status = "Updating"

    with pytest.raises(EndpointBusy):
        prepare(world, "v2")


# --- smoke test ---


def put_smoke(world: World, version: str = "v2") -> None:
    document = {
        "model_version": version,
        "rows": [{"id": "r", "x": 1.0, "color": "red"}],
        "predictions": [{"record_id": "r", "prediction": 1, "score": 0.75}],
        "tolerance": 1e-6,
    }
    world.put(f"{keys.evaluation_prefix(version)}smoke.json", document)


def answering(version: str, **prediction: Any) -> Any:
    said = {"record_id": "r", "prediction": 1, "score": 0.75, **prediction}
    return lambda body, variant: {"model_version": version, "predictions": [said]}


def test_a_challenger_that_answers_as_evaluated_passes(canary: RolloutPlan, world: World) -> None:
    put_smoke(world)
    asked: list[str | None] = []
    world.sagemaker.answer = lambda body, variant: asked.append(variant) or answering("v2")(body, variant)

    assert world.run(smoke_test, {"plan": canary.model_dump(mode="json")})["passed"]
    assert asked == ["green"]


@pytest.mark.parametrize("answer", [answering("v1"), answering("v2", score=0.7), lambda body, variant: {}])
def test_a_challenger_that_answers_otherwise_fails(canary: RolloutPlan, world: World, answer: Any) -> None:
    put_smoke(world)
    world.sagemaker.answer = answer

    with pytest.raises(SmokeTestFailed):
        world.run(smoke_test, {"plan": canary.model_dump(mode="json")})


def test_an_endpoint_that_does_not_answer_fails_the_smoke_test(canary: RolloutPlan, world: World) -> None:
    put_smoke(world)
    world.sagemaker.endpoints.clear()

    with pytest.raises(SmokeTestFailed):
        world.run(smoke_test, {"plan": canary.model_dump(mode="json")})


# --- steps ---


def test_a_healthy_challenger_climbs_the_steps_and_finishes(canary: RolloutPlan, world: World) -> None:
    world.announced()
    step = start(world, canary)
    shares = [step["traffic_share"]]
    while step["decision"] == "advance":
        apply(world, step)
        world.now += timedelta(minutes=2)
        for slot in ("blue", "green"):
            traffic(world, slot, requests=200)
        world.now += timedelta(minutes=1)
        step = analyse(world, canary, step)
        shares.append(step["traffic_share"])

    assert step["decision"] == "finish"
    assert sorted(shares) == shares
    assert {RolloutAdvanced} == {type(event) for event in world.announced()}


def test_silence_holds_and_keeps_the_beginning_of_the_step(canary: RolloutPlan, world: World) -> None:
    step = start(world, canary)
    apply(world, step)
    world.announced()
    world.now += timedelta(minutes=3)

    held = analyse(world, canary, step)

    assert ("hold", 1, step["started_at"]) == (held["decision"], held["holds"], held["started_at"])
    [event] = world.announced()
    assert isinstance(event, RolloutHeld)
    assert event.evidence["requests"] == 0


def test_silence_for_too_long_goes_back_and_never_promotes(canary: RolloutPlan, world: World) -> None:
    step = start(world, canary)
    apply(world, step)
    while step["decision"] in ("advance", "hold"):
        world.now += timedelta(minutes=3)
        step = analyse(world, canary, step)

    assert step["decision"] == "roll back"


def test_server_errors_of_the_challenger_roll_back(canary: RolloutPlan, world: World) -> None:
    step = start(world, canary)
    apply(world, step)
    world.now += timedelta(minutes=2)
    traffic(world, "green", requests=200, errors=60)
    traffic(world, "blue", requests=2000, errors=1)
    world.now += timedelta(minutes=1)

    decided = analyse(world, canary, step)

    assert (decided["decision"], decided["cause"]) == ("roll back", "analysis")


def test_p70_a_challenger_that_answers_400_to_everybody_is_rolled_back(canary: RolloutPlan, world: World) -> None:
    step = start(world, canary)
    apply(world, step)
    world.now += timedelta(minutes=2)
    traffic(world, "green", requests=200, refused=200)
    traffic(world, "blue", requests=2000, refused=3)
    world.now += timedelta(minutes=1)

    decided = analyse(world, canary, step)

    assert (decided["decision"], decided["cause"]) == ("roll back", "analysis")
    assert "200 of 200 requests got no good answer" in decided["reasons"][0]


def test_what_callers_do_wrong_is_not_held_against_the_challenger(canary: RolloutPlan, world: World) -> None:
    """Also in the last step, where the champion answers too few requests to compare with."""
    step = start(world, canary)
    for few in (False, True):
        apply(world, step)
        world.now += timedelta(minutes=2)
        traffic(world, "green", requests=300, refused=93)
        traffic(world, "blue", requests=3 if few else 2700, refused=1 if few else 810)
        world.now += timedelta(minutes=1)
        step = analyse(world, canary, step)

    assert step["decision"] == "finish"


def test_a_step_of_many_days_is_read_in_periods_that_cloudwatch_takes(canary: RolloutPlan, world: World) -> None:
    """A period is 86,400 s at most."""
    step = start(world, canary)
    apply(world, step)
    asked: list[int] = []
    world.clients.cloudwatch.meta.events.register_first(
        "provide-client-params.cloudwatch.GetMetricData",
        lambda params, **_: asked.extend(query["MetricStat"]["Period"] for query in params["MetricDataQueries"]),
    )
    for _ in range(3):
        world.now += timedelta(days=1)
        traffic(world, "green", requests=200)
        traffic(world, "blue", requests=2000)
    world.now += timedelta(minutes=1)

    decided = analyse(world, canary, step)

    assert max(asked) == 86_400
    assert decided["decision"] == "advance"
    [event] = world.announced()[-1:]
    assert isinstance(event, RolloutAdvanced)
    assert event.evidence["requests"] == 600


def test_a_challenger_that_is_much_slower_is_rolled_back(canary: RolloutPlan, world: World) -> None:
    step = start(world, canary)
    apply(world, step)
    world.now += timedelta(minutes=2)
    traffic(world, "green", requests=200, latency_ms=90)
    traffic(world, "blue", requests=2000, latency_ms=20)
    world.now += timedelta(minutes=1)

    decided = analyse(world, canary, step)

    assert (decided["decision"], decided["cause"]) == ("roll back", "analysis")
    assert "90 ms" in decided["reasons"][0]


def predictions(world: World, version: str, answers: dict[str, int]) -> None:
    """What ingest_capture kept of one capture file."""
    item = {"answers": {version: answers}, "rows": sum(answers.values())}
    world.catalog.put(keys.predictions_item("demo", keys.sortable(world.now), version), item)


@pytest.mark.parametrize(("answers", "decision"), [({"0": 100}, "roll back"), ({"0": 48, "9": 52}, "finish")])
def test_a_challenger_that_answers_differently_is_rolled_back(
    world: World, answers: dict[str, int], decision: str
) -> None:
    policy = {"min_samples": 50, "steps": [1.0], "fast": {"max_prediction_shift": 0.2}}
    world.deploy(make_loop(rollout=policy))
    promote_first(world)
    alarm(world, "demo-green-errors", "OK")
    plan = prepare(world)
    deploy_plan(world, plan)
    step = start(world, plan)
    apply(world, step)
    world.now += timedelta(minutes=2)
    for slot in ("blue", "green"):
        traffic(world, slot, requests=200)
    predictions(world, "v1", {"0": 50, "9": 50})
    predictions(world, "v2", answers)
    world.now += timedelta(minutes=1)

    assert decision == analyse(world, plan, step)["decision"]


@pytest.mark.parametrize(("value", "decision"), [(0.70, "roll back"), (0.89, "finish")])
def test_a_challenger_whose_labels_say_that_it_is_worse_is_rolled_back(
    world: World, value: float, decision: str
) -> None:
    world.deploy(make_loop(rollout={"min_samples": 50, "steps": [1.0], "slow": {"max_quality_drop": 0.05}}))
    promote_first(world)
    alarm(world, "demo-green-errors", "OK")
    plan = prepare(world)
    deploy_plan(world, plan)
    step = start(world, plan)
    apply(world, step)
    world.now += timedelta(minutes=2)
    for slot in ("blue", "green"):
        traffic(world, slot, requests=200)
    for version, quality in (("v1", 0.9), ("v2", value)):
        score = {"metric": "auc", "value": quality, "low": quality - 0.02, "high": quality + 0.02, "rows": 500}
        world.catalog.put(keys.score_item("demo", "labels", version), score | {"as_of": world.now.isoformat()})
    world.now += timedelta(minutes=1)

    assert decision == analyse(world, plan, step)["decision"]


def test_traffic_of_before_the_step_does_not_count(canary: RolloutPlan, world: World) -> None:
    traffic(world, "green", requests=500)
    world.now += timedelta(minutes=10)
    step = start(world, canary)
    apply(world, step)
    world.now += timedelta(minutes=3)

    assert analyse(world, canary, step)["decision"] == "hold"


def test_the_challengers_alarm_rolls_back_and_the_champions_does_not(canary: RolloutPlan, world: World) -> None:
    step = start(world, canary)
    apply(world, step)
    world.now += timedelta(minutes=2)
    for slot in ("blue", "green"):
        traffic(world, slot, requests=200)
    world.now += timedelta(minutes=1)
    alarm(world, "demo-blue-errors", "ALARM")
    assert analyse(world, canary, step)["decision"] == "advance"

    world.catalog.update(keys.rollout_item("demo", "v2"), {"analysis": {}})
    alarm(world, "demo-green-errors", "ALARM")
    decided = analyse(world, canary, step)

    assert (decided["decision"], decided["cause"]) == ("roll back", "alarm")


@pytest.mark.parametrize("state", ["INSUFFICIENT_DATA", None])
def test_an_alarm_that_knows_nothing_holds(canary: RolloutPlan, world: World, state: str | None) -> None:
    step = start(world, canary)
    apply(world, step)
    world.now += timedelta(minutes=2)
    traffic(world, "green", requests=200)
    traffic(world, "blue", requests=200)
    world.now += timedelta(minutes=1)
    if state is None:
        world.clients.cloudwatch.delete_alarms(AlarmNames=["demo-green-errors"])
    else:
        alarm(world, "demo-green-errors", state)

    assert analyse(world, canary, step)["decision"] == "hold"


def test_a_silent_rollback_of_the_endpoint_is_seen(canary: RolloutPlan, world: World) -> None:
    step = start(world, canary)
    apply(world, step)
    world.sagemaker.endpoints[ENDPOINT].config_name = "the-one-before"
    world.now += timedelta(minutes=3)

    decided = analyse(world, canary, step)

    assert (decided["decision"], decided["cause"]) == ("roll back", "failure")


def test_weights_that_somebody_else_changed_are_seen(canary: RolloutPlan, world: World) -> None:
    step = start(world, canary)
    apply(world, step)
    world.sagemaker.endpoints[ENDPOINT].weights = {"blue": 0.2, "green": 0.8}
    world.now += timedelta(minutes=3)

    assert analyse(world, canary, step)["decision"] == "roll back"


def test_an_endpoint_in_change_is_looked_at_again_later(canary: RolloutPlan, world: World) -> None:
    step = start(world, canary)
    world.sagemaker.endpoints[ENDPOINT].status = "Updating"

    with pytest.raises(EndpointBusy):
        analyse(world, canary, step)


def test_an_analysis_asked_twice_gives_one_answer_and_one_announcement(canary: RolloutPlan, world: World) -> None:
    step = start(world, canary)
    apply(world, step)
    world.announced()
    world.now += timedelta(minutes=3)
    first = analyse(world, canary, step)
    world.now += timedelta(seconds=20)

    assert first == analyse(world, canary, step)
    one, two = world.announced()
    assert one == two


def test_a_rollout_that_was_rolled_back_meanwhile_does_not_advance(canary: RolloutPlan, world: World) -> None:
    pointer_of(world).change("alarm", lambda state: state.marked("rolling back"))

    assert start(world, canary)["decision"] == "roll back"


# --- finish ---


def finish(world: World, plan: RolloutPlan) -> dict[str, Any]:
    answer: dict[str, Any] = world.run(finish_rollout, {"plan": plan.model_dump(mode="json"), "run_id": "v2"})
    return answer


def test_the_challenger_becomes_the_champion_and_the_lock_is_free(canary: RolloutPlan, world: World) -> None:
    world.announced()

    answer = finish(world, canary)

    assert (answer["status"], answer["retire"]) == ("promoted", True)
    assert (
        world.live.live.champion_slot,
        world.live.live.champion.model_version if world.live.live.champion else None,
        world.live.rollout,
    ) == ("green", "v2", None)
    assert world.live.to_item()["slots"] == {"green": "v2"}
    assert world.sagemaker.endpoints[ENDPOINT].weights == {"blue": 0.0, "green": 1.0}
    assert lock_of(world).acquire("v3", now=world.now, lease_seconds=1) - 1 == 2
    [event] = world.announced()
    assert isinstance(event, ModelPromoted)
    assert event.previous_version == "v1"


def test_some_champion_has_weight_at_every_moment(canary: RolloutPlan, world: World) -> None:
    def check(operation: str) -> None:
        champion = world.live.live.champion_slot or "blue"
        assert world.sagemaker.endpoints[ENDPOINT].weights[champion] > 0

    deploy_plan(world, canary, {"blue": 0.01, "green": 0.99})
    world.sagemaker.meanwhile = check

    finish(world, canary)

    check("afterwards")


def test_finished_twice_is_finished_once(canary: RolloutPlan, world: World) -> None:
    world.announced()
    first = finish(world, canary)
    items, said = world.items(), world.announced()
    world.now += timedelta(minutes=1)

    assert first == finish(world, canary)
    assert items == world.items()
    assert said == world.announced()


def test_a_rollout_that_is_being_rolled_back_is_not_finished(canary: RolloutPlan, world: World) -> None:
    pointer_of(world).change("alarm", lambda state: state.marked("rolling back"))

    with pytest.raises(Fenced):
        finish(world, canary)

    assert world.live.live.champion_slot == "blue"
    assert world.sagemaker.endpoints[ENDPOINT].weights["blue"] == 1.0


def test_a_stale_holder_is_fenced(canary: RolloutPlan, world: World) -> None:
    world.now += timedelta(days=2)
    lock_of(world).acquire("v3", now=world.now, lease_seconds=3600)

    with pytest.raises(Fenced):
        finish(world, canary)


def test_an_endpoint_of_another_configuration_is_not_promoted(canary: RolloutPlan, world: World) -> None:
    world.sagemaker.endpoints[ENDPOINT].config_name = "something-else"

    with pytest.raises(EndpointDiverged):
        finish(world, canary)


def test_a_kept_previous_champion_stays_warm_at_no_weight(world: World) -> None:
    world.deploy(make_loop(rollout={"keep_previous": True}))
    promote_first(world)
    plan = prepare(world)
    deploy_plan(world, plan)

    answer = finish(world, plan)

    assert not answer["retire"]
    assert (world.live.previous_slot, world.live.to_item()["slots"]) == ("blue", {"blue": "v1", "green": "v2"})


def test_a_crash_after_the_pointer_moved_is_made_good_by_the_next_try(canary: RolloutPlan, world: World) -> None:
    world.sagemaker.endpoints[ENDPOINT].weights = {"blue": 0.01, "green": 0.99}
    original = world.sagemaker.meanwhile

    def crash(operation: str) -> None:
        if operation == "UpdateEndpointWeightsAndCapacities":
            raise KeyboardInterrupt

    world.sagemaker.meanwhile = crash
    with pytest.raises(KeyboardInterrupt):
        finish(world, canary)
    world.sagemaker.meanwhile = original
    assert world.live.live.champion_slot == "green"

    finish(world, canary)

    assert world.sagemaker.endpoints[ENDPOINT].weights == {"blue": 0.0, "green": 1.0}
    assert (world.catalog.get(keys.rollout_item("demo", "v2")) or {})["status"] == "promoted"


def test_every_answer_is_json(canary: RolloutPlan, world: World) -> None:
    step = start(world, canary)
    apply(world, step)

    assert json.loads(json.dumps(step)) == step
    assert json.loads(json.dumps(canary.model_dump(mode="json")))
