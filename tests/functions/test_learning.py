"""judge_candidate, register_model, request_approval, settle_approval, conclude_run: from evaluation to approval."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any

import pytest

from functions import conclude_run, judge_candidate, register_model, request_approval, settle_approval
from perennial import keys
from perennial.artifact import archive_digest
from perennial.aws.lake import Lake
from perennial.errors import ApprovalRefused, ArtifactChanged, EventInvalid
from perennial.events import (
    ApprovalDenied,
    ApprovalGranted,
    ApprovalRequested,
    CandidateJudged,
    LearningConcluded,
    ModelRegistered,
)
from tests.builders import make_loop
from tests.functions.builders import ARTIFACT, ARTIFACT_DIGEST, learning_state, make_archive, put_evaluation, put_run
from tests.functions.world import GROUP, LAKE, TABLE, World, load_event

RUN = "r" * 40


def judge(world: World) -> dict[str, Any]:
    world.deploy(make_loop(gate={"metric": "accuracy"}))
    answer: dict[str, Any] = world.run(judge_candidate, {"run_id": RUN, "dataset": {"dataset_id": "d1"}})
    return answer


def register(world: World) -> dict[str, Any]:
    put_run(world, RUN)
    answer: dict[str, Any] = world.run(register_model, learning_state(world, RUN))
    return answer


def ask(world: World, model: dict[str, Any], token: str = "token-1") -> Any:
    return world.run(request_approval, {"task_token": token, "run_id": RUN, "model": model})


def respond(
    world: World, model: dict[str, Any], status: str, description: str = "by ann: looks right", **more: Any
) -> Any:
    """Somebody answers in the registry; gives what the function makes of the event."""
    arn = model["model_package_arn"]
    world.sagemaker.packages[arn] |= {"ModelApprovalStatus": status, "ApprovalDescription": description, **more}
    event = load_event("model_package_state_change")
    event["detail"] |= {"ModelPackageArn": arn, "ModelApprovalStatus": status}
    return world.run(settle_approval, event)


@pytest.fixture
def waiting(world: World) -> dict[str, Any]:
    """A registered model that waits for a person."""
    world.deploy(make_loop(governance={"approval": "manual"}))
    put_evaluation(world, RUN)
    model = register(world)
    ask(world, model)
    world.announced()
    return model


# --- judge ---


def test_a_better_candidate_passes_and_its_verdict_is_kept(world: World) -> None:
    put_evaluation(world, RUN)

    answer = judge(world)

    assert (answer["verdict"], answer["artifact_digest"]) == ("passed", ARTIFACT_DIGEST)
    assert (world.catalog.get(keys.run_item("demo", RUN)) or {})["verdict"]["verdict"] == "passed"
    [event] = world.announced()
    assert isinstance(event, CandidateJudged)


def test_judged_twice_is_said_once(world: World) -> None:
    put_evaluation(world, RUN)
    first = judge(world)
    world.now += timedelta(minutes=1)

    assert first == judge(world)
    one, two = world.announced()
    assert one == two


def test_an_evaluation_of_another_run_is_refused(world: World) -> None:
    put_evaluation(world, "another")
    world.put(
        f"{keys.evaluation_prefix(RUN)}evaluation.json",
        world.objects()[f"{keys.evaluation_prefix('another')}evaluation.json"],
    )

    with pytest.raises(ArtifactChanged):
        judge(world)


def test_without_a_number_nothing_passes(world: World) -> None:
    put_evaluation(world, RUN, candidate={"overall": {"accuracy": {"value": None, "rows": 0}}})

    assert judge(world)["verdict"] == "failed"


# --- register ---


def test_a_passed_candidate_is_registered_with_its_digest(world: World) -> None:
    model = register(world)

    [package] = world.sagemaker.packages.values()
    assert package["ModelApprovalStatus"] == "PendingManualApproval"
    assert ARTIFACT_DIGEST == package["CustomerMetadataProperties"]["artifact_digest"] == model["artifact_digest"]
    [event] = world.announced()
    assert isinstance(event, ModelRegistered)


def test_registered_twice_is_one_package(world: World) -> None:
    assert register(world) == register(world)
    assert len(world.sagemaker.packages) == 1
    one, two = world.announced()
    assert one == two


def test_two_stages_whose_runs_have_the_same_id_have_a_package_each(world: World) -> None:
    """A run's id comes from its data, and SageMaker's tokens are an account's: the second stage got the first's."""
    ours, theirs = (
        world.shell(register_model, model_package_group=group).registry(group) for group in (GROUP, f"{GROUP}-2")
    )
    given = {"image_uri": "image", "model_data_url": "s3://b/model", "evaluation_uri": "s3://b/e", "properties": {}}

    arns = [one.register(run_id=RUN, description="", **given) for one in (ours, ours, theirs)]

    assert arns[0] == arns[1] != arns[2]


def test_a_crash_after_the_registry_took_it_does_not_register_it_again(world: World) -> None:
    register(world)
    gone = {name: {"S": value} for name, value in keys.model_item("demo", RUN).items()}
    world.clients.dynamodb.delete_item(TableName=TABLE, Key=gone)

    register(world)

    assert len(world.sagemaker.packages) == 1


def test_a_candidate_that_did_not_pass_is_not_registered(world: World) -> None:
    put_run(world, RUN, verdict="inconclusive")

    with pytest.raises(ApprovalRefused):
        world.run(register_model, learning_state(world, RUN))


def test_an_artifact_other_than_the_judged_one_is_not_registered(world: World) -> None:
    put_run(world, RUN)
    state = learning_state(world, RUN)
    world.put(f"models/{RUN}/job/output/model.tar.gz", b"swapped")

    with pytest.raises(ArtifactChanged):
        world.run(register_model, state)
    assert world.sagemaker.packages == {}


def test_what_was_judged_is_served_from_a_place_of_its_own_whatever_the_job_writes_later(world: World) -> None:
    model = register(world)
    world.put(f"models/{RUN}/job/output/model.tar.gz", make_archive(model_joblib=b"another"))

    assert model["model_data_url"] == f"s3://{LAKE}/{keys.approved_key(ARTIFACT_DIGEST)}"
    assert world.shell(register_model).lake.get(keys.approved_key(ARTIFACT_DIGEST)) == ARTIFACT
    [package] = world.sagemaker.packages.values()
    assert package["InferenceSpecification"]["Containers"][0]["ModelDataUrl"] == model["model_data_url"]
    record = world.catalog.get(keys.model_item("demo", RUN)) or {}
    assert record["model_digest"] == archive_digest(io.BytesIO(ARTIFACT))


def test_a_copy_that_is_there_already_is_left_as_it_is_and_must_be_the_same(world: World) -> None:
    put_run(world, RUN)
    state = learning_state(world, RUN)
    others = make_archive(model_joblib=b"somebody else's")
    world.put(keys.approved_key(ARTIFACT_DIGEST), others)

    with pytest.raises(ArtifactChanged, match=ARTIFACT_DIGEST):
        world.run(register_model, state)
    assert world.shell(register_model).lake.get(keys.approved_key(ARTIFACT_DIGEST)) == others
    assert world.sagemaker.packages == {}


def test_the_version_that_was_judged_is_copied_although_a_newer_one_comes_in_between(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_run(world, RUN)
    state = learning_state(world, RUN)
    copy = Lake.copy_new

    def overtaken(lake: Lake, key: str, version_id: str, target: str) -> bool:
        world.put(key, b"swapped in between")
        return copy(lake, key, version_id, target)

    monkeypatch.setattr(Lake, "copy_new", overtaken)
    world.run(register_model, state)

    assert world.shell(register_model).lake.get(keys.approved_key(ARTIFACT_DIGEST)) == ARTIFACT


# --- approve ---


def test_inside_the_envelope_the_policy_approves_and_the_machine_goes_on(world: World) -> None:
    put_evaluation(world, RUN)
    model = register(world)

    ask(world, model)

    record = world.catalog.get(keys.model_item("demo", RUN)) or {}
    assert (record["status"], record["approved_digest"]) == ("approved", ARTIFACT_DIGEST)
    assert world.sagemaker.packages[model["model_package_arn"]]["ModelApprovalStatus"] == "Approved"
    [(token, output)] = world.answers
    assert (token, output["approved"], output["by"]) == ("token-1", True, "policy")


def test_an_approval_asked_for_twice_is_given_once(world: World) -> None:
    put_evaluation(world, RUN)
    model = register(world)
    ask(world, model)
    world.now += timedelta(seconds=30)
    ask(world, model)

    assert len(world.answers) == 1
    assert len({e.model_dump_json() for e in world.announced() if isinstance(e, ApprovalGranted)}) == 1


def test_outside_the_envelope_a_person_is_asked_and_nothing_is_answered(world: World) -> None:
    world.deploy(make_loop(governance={"approval": "manual"}))
    put_evaluation(world, RUN)
    model = register(world)

    ask(world, model)

    assert world.answers == []
    assert (world.catalog.get(keys.approval_item("demo", RUN)) or {})["status"] == "pending"
    assert any(isinstance(event, ApprovalRequested) for event in world.announced())


def test_a_retried_task_waits_with_its_newest_token(waiting: dict[str, Any], world: World) -> None:
    ask(world, waiting, token="token-2")

    respond(world, waiting, "Approved")

    assert [token for token, _ in world.answers] == ["token-2"]


def test_a_persons_approval_reaches_the_machine(waiting: dict[str, Any], world: World) -> None:
    answer = respond(world, waiting, "Approved")

    assert answer["approved"]
    assert world.answers == [("token-1", {"approved": True, "by": "ann", "reasons": ["looks right"]})]
    record = world.catalog.get(keys.model_item("demo", RUN)) or {}
    assert (
        record["status"],
        record["approved_by"],
        record["approved_digest"],
    ) == ("approved", "ann", ARTIFACT_DIGEST)
    [event] = world.announced()
    assert isinstance(event, ApprovalGranted)


def test_the_identity_that_aws_recorded_goes_before_a_signature(waiting: dict[str, Any], world: World) -> None:
    respond(world, waiting, "Approved", LastModifiedBy={"IamIdentity": {"Arn": "arn:aws:iam::1:user/eve"}})

    [(_, output)] = world.answers
    assert output["by"] == "arn:aws:iam::1:user/eve"


def test_an_approval_delivered_twice_counts_once(waiting: dict[str, Any], world: World) -> None:
    respond(world, waiting, "Approved")

    assert not respond(world, waiting, "Approved")["settled"]
    assert len(world.answers) == 1


def test_a_persons_refusal_ends_the_run(waiting: dict[str, Any], world: World) -> None:
    respond(world, waiting, "Rejected", "by ann: too risky")

    assert world.answers == [("token-1", {"approved": False, "by": "ann", "reasons": ["too risky"]})]
    [event] = world.announced()
    assert isinstance(event, ApprovalDenied)


def test_who_asked_cannot_approve(world: World) -> None:
    world.deploy(make_loop(governance={"approval": "manual"}))
    put_evaluation(world, RUN)
    model = register(world)
    put_run(world, RUN, requested_by="Ann")
    ask(world, model)

    answer = respond(world, model, "Approved")

    assert not answer["settled"]
    assert world.answers == []
    assert world.sagemaker.packages[model["model_package_arn"]]["ModelApprovalStatus"] == "PendingManualApproval"


def test_an_artifact_changed_after_the_request_is_denied(waiting: dict[str, Any], world: World) -> None:
    world.put(keys.approved_key(ARTIFACT_DIGEST), b"swapped")

    respond(world, waiting, "Approved")

    [(_, output)] = world.answers
    assert not output["approved"]
    assert world.sagemaker.packages[waiting["model_package_arn"]]["ModelApprovalStatus"] == "Rejected"
    assert (world.catalog.get(keys.model_item("demo", RUN)) or {})["status"] == "denied"


def test_an_approval_past_its_time_does_not_count(waiting: dict[str, Any], world: World) -> None:
    world.now += timedelta(days=8)

    assert not respond(world, waiting, "Approved")["settled"]


def test_a_bundle_must_be_quoted(world: World) -> None:
    world.deploy(make_loop(governance={"approval": "bundle"}))
    put_evaluation(world, RUN)
    model = register(world)
    ask(world, model)
    bundle = (world.catalog.get(keys.approval_item("demo", RUN)) or {})["bundle_digest"]

    assert not respond(world, model, "Approved", "by ann: fine")["settled"]
    assert respond(world, model, "Approved", f"by ann: read {bundle}")["approved"]


def test_an_event_about_another_group_is_refused(world: World) -> None:
    event = load_event("model_package_state_change")
    event["detail"]["ModelPackageGroupName"] = "somebody-else"

    with pytest.raises(EventInvalid):
        world.run(settle_approval, event)


def test_the_task_token_is_in_no_log(waiting: dict[str, Any], world: World, capsys: Any) -> None:
    ask(world, waiting, token="secret-token")
    respond(world, waiting, "Approved")

    assert "secret-token" not in capsys.readouterr().out


# --- conclude ---


@pytest.mark.parametrize(
    ("outcome", "state", "reason"),
    [
        ("promoted", {"verdict": {"reasons": ["better"]}}, "better"),
        ("rejected", {"verdict": {"reasons": ["worse"]}}, "worse"),
        ("denied", {"approval": {"approved": False, "reasons": ["too risky"]}}, "too risky"),
        ("denied", {"error": {"Error": "States.Timeout"}}, "nobody answered in time"),
        ("declined", {"error": {"Error": "DatasetTooSmall", "Cause": '{"errorMessage": "3 rows"}'}}, "3 rows"),
        (
            "failed",
            {"error": {"Error": "States.TaskFailed", "Cause": '{"FailureReason": "no capacity"}'}},
            "no capacity",
        ),
    ],
)
def test_a_run_ends_on_record_however_it_ends(world: World, outcome: str, state: dict[str, Any], reason: str) -> None:
    world.run(conclude_run, {"run_id": RUN, "outcome": outcome, "state": state})
    world.now += timedelta(seconds=5)
    world.run(conclude_run, {"run_id": RUN, "outcome": outcome, "state": state})

    assert outcome == (world.catalog.get(keys.run_item("demo", RUN)) or {})["outcome"]
    one, two = world.announced()
    assert one == two
    assert isinstance(one, LearningConcluded)
    assert reason in one.reasons[0]


def test_a_rolled_back_run_says_why_the_rollout_was(world: World) -> None:
    said = {"reasons": ["alarm: green errors"]}
    world.catalog.put(keys.rollout_item("demo", RUN), {"said_model_rolled_back": said})

    world.run(conclude_run, {"run_id": RUN, "outcome": "rolled back", "state": {}})

    [event] = world.announced()
    assert isinstance(event, LearningConcluded)
    assert event.reasons == ("alarm: green errors",)
