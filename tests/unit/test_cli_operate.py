"""What a person does to a deployed loop by `perennial`: approve, reject, pause, resume, lineage, audit verify."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from moto import mock_aws
from typer.testing import CliRunner

from functions import append_ledger, decide_retraining, request_approval, settle_approval
from perennial import keys
from perennial.cli import operate
from perennial.cli.app import app, run
from perennial.cli.audit import parse_anchor, verify_ledger
from perennial.cli.deployment import Deployment
from perennial.cli.lineage import trace
from perennial.errors import ApprovalRefused, EnvironmentLacking, LedgerBroken, ModelUnknown
from perennial.events import DataOutage, LoopPaused, LoopResumed
from tests.builders import NOW, make_batches, make_dataset_version, make_labels, make_loop
from tests.functions.builders import learning_state, put_evaluation, put_run
from tests.functions.test_learning import register
from tests.functions.world import (
    AUDIT,
    BUS,
    GROUP,
    LAKE,
    LANDING,
    TABLE,
    World,
    load_event,
    make_world,
    messages,
    on_bus,
)

RUN = "r" * 40
OUTPUTS = {"LandingBucket": LANDING, "LakeBucket": LAKE, "AuditBucket": AUDIT, "CatalogTable": TABLE, "BusName": BUS}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A fresh account with a deployed loop, and nothing that leads to the real AWS."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-east-1",
        "MOTO_ACCOUNT_ID": "123456789012",
        "POWERTOOLS_TRACE_DISABLED": "true",
        "COLUMNS": "200",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield make_world()


@pytest.fixture
def deployment(world: World) -> Deployment:
    """The loop as the command line finds it."""
    return Deployment("demo", "dev", {**OUTPUTS, "ModelPackageGroupName": GROUP}, world.session)


@pytest.fixture
def stacks(world: World) -> None:
    """The stack by whose outputs the command line finds the loop."""
    template = {
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {name: {"Value": value} for name, value in OUTPUTS.items()},
    }
    client = world.session.client("cloudformation")
    client.create_stack(StackName="Perennial-demo--dev-Data", TemplateBody=json.dumps(template))


@pytest.fixture
def waiting(world: World) -> dict[str, Any]:
    """A registered model that waits for a person, and a loop that takes answers up as soon as somebody looks."""
    return wait_for_a_person(world, approval="manual")


def wait_for_a_person(world: World, *, approval: str) -> dict[str, Any]:
    world.deploy(make_loop(governance={"approval": approval}))
    put_evaluation(world, RUN)
    model = register(world)
    world.run(request_approval, {"task_token": "token", "run_id": RUN, "model": model})
    world.announced()
    busy = False

    def take_up(operation: str) -> None:
        nonlocal busy
        if operation == "DescribeModelPackage" and not busy:
            busy = True
            event = load_event("model_package_state_change")
            event["detail"] |= {"ModelPackageArn": model["model_package_arn"]}
            world.run(settle_approval, event)
            busy = False

    world.sagemaker.meanwhile = take_up
    return model


def say(deployment: Deployment, world: World, model: str = RUN, *, approve: bool = True, **more: Any) -> Any:
    told = {"by": "ann", "reason": "better on every slice", "now": world.now, "pause_seconds": 0.0, **more}
    return operate.answer(deployment, model, approve=approve, **told)


def command(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


# --- approve, reject ---


def test_an_approval_lets_the_machine_go_on_and_is_signed(
    world: World, deployment: Deployment, waiting: dict[str, Any]
) -> None:
    answered = say(deployment, world)

    assert answered == operate.Answered(RUN, "granted", ("better on every slice",))
    [(token, output)] = world.answers
    assert (token, output["approved"], output["by"]) == ("token", True, "ann")
    package = world.sagemaker.packages[waiting["model_package_arn"]]
    assert package["ApprovalDescription"] == "by ann: better on every slice"


def test_a_rejection_ends_the_run(world: World, deployment: Deployment, waiting: dict[str, Any]) -> None:
    answered = say(deployment, world, approve=False, reason="too good to be true")

    assert (answered.status, answered.reasons) == ("denied", ("too good to be true",))
    assert world.answers[0][1]["approved"] is False


def test_an_answer_is_given_once(world: World, deployment: Deployment, waiting: dict[str, Any]) -> None:
    say(deployment, world)
    calls = list(world.sagemaker.calls)

    again = say(deployment, world, approve=False)

    assert (again.status, again.changed) == ("granted", False)
    assert again.reasons[0] == "granted before, by ann"
    assert calls == world.sagemaker.calls


def test_a_bundle_that_was_not_read_is_refused_and_the_right_one_counts(world: World, deployment: Deployment) -> None:
    wait_for_a_person(world, approval="bundle")
    bundle = (world.catalog.get(keys.approval_item("demo", RUN)) or {})["bundle_digest"]

    refused = say(deployment, world)
    granted = say(deployment, world, bundle=bundle)

    assert refused.status == "refused"
    assert bundle in refused.reasons[0]
    assert granted.status == "granted"


def test_after_its_time_an_answer_changes_nothing(
    world: World, deployment: Deployment, waiting: dict[str, Any]
) -> None:
    answered = say(deployment, world, now=world.now + timedelta(days=400))

    assert (answered.status, answered.changed) == ("refused", False)
    assert world.sagemaker.packages[waiting["model_package_arn"]]["ModelApprovalStatus"] == "PendingManualApproval"


def test_an_answer_that_nobody_takes_up_is_still_waiting(
    world: World, deployment: Deployment, waiting: dict[str, Any]
) -> None:
    world.sagemaker.meanwhile = lambda operation: None

    assert say(deployment, world, wait_seconds=0.0).status == "waiting"


def test_an_unknown_model_is_told_which_ones_were_asked_for(
    world: World, deployment: Deployment, waiting: dict[str, Any]
) -> None:
    with pytest.raises(ModelUnknown, match=RUN):
        say(deployment, world, "nonsense")
    assert say(deployment, world, RUN[:7]).status == "granted"


@pytest.mark.parametrize("name", ["", "  ", "ann: admin", "ann\nbob", "a" * 201])
def test_a_name_that_cannot_be_read_back_signs_nothing(
    world: World, deployment: Deployment, waiting: dict[str, Any], name: str
) -> None:
    with pytest.raises(ApprovalRefused):
        say(deployment, world, by=name)
    assert "UpdateModelPackage" not in world.sagemaker.calls


# --- pause, resume ---


def test_a_paused_loop_starts_nothing_and_a_resumed_one_does_again(world: World, stacks: None) -> None:
    world.deploy(make_loop(triggers={"first_batches": 2}))
    signal = {"signal": "manual", "reason": "try"}

    paused = command("pause", "demo", "--reason", "holidays", "--by", "ann", "--json")
    declined = world.run(decide_retraining, signal)
    resumed = command("resume", "demo", "--by", "ann")
    after = world.run(decide_retraining, {**signal, "signal_id": "again"})

    assert json.loads(paused.stdout) == {"paused": True, "reason": "ann: holidays", "changed": True}
    assert declined["reasons"] == ["paused: ann: holidays; resume the loop first"]
    assert (resumed.exit_code, resumed.stdout.strip()) == (0, "loop demo is running")
    assert not any("paused" in reason for reason in after["reasons"])


def test_pausing_forgets_nothing_that_the_trigger_remembers(world: World, deployment: Deployment) -> None:
    item = keys.trigger_item("demo")
    before = {"rows_at_last_fit": 7, "running": {"run_id": "r1"}, "spent_usd": {"2026-03": 1.5}}
    world.catalog.put_version(item, before, expected=0, token="t")

    operate.set_paused(deployment, paused=True, by="ann", reason="holidays", now=NOW)
    operate.set_paused(deployment, paused=False, by="ann", reason="", now=NOW)

    after = world.catalog.get(item) or {}
    assert {**before, "paused": False, "paused_reason": None, "said_paused": after["said_paused"]} == after


def test_pausing_and_resuming_are_events_for_the_ledger(world: World, deployment: Deployment) -> None:
    operate.set_paused(deployment, paused=True, by="ann", reason="holidays", now=NOW)
    operate.set_paused(deployment, paused=False, by="bob", reason="", now=NOW)

    paused, resumed = world.announced()
    assert paused == LoopPaused(loop="demo", at=NOW, paused_by="ann", reasons=("holidays",))
    assert resumed == LoopResumed(loop="demo", at=NOW, resumed_by="bob")


def test_a_pause_whose_word_was_lost_is_told_by_the_next_call(world: World, deployment: Deployment) -> None:
    without_bus = {name: value for name, value in deployment.outputs.items() if name != "BusName"}
    with pytest.raises(EnvironmentLacking):
        operate.set_paused(
            Deployment("demo", "dev", without_bus, world.session), paused=True, by="ann", reason="holidays", now=NOW
        )

    later = NOW + timedelta(minutes=1)
    operate.set_paused(deployment, paused=True, by="bob", reason="me too", now=later)

    assert world.announced() == [LoopPaused(loop="demo", at=NOW, paused_by="ann", reasons=("holidays",))]


def test_pausing_twice_keeps_the_first_reason(deployment: Deployment) -> None:
    operate.set_paused(deployment, paused=True, by="ann", reason="holidays", now=NOW)

    again = operate.set_paused(deployment, paused=True, by="bob", reason="me too", now=NOW)

    assert again == operate.Paused(True, "ann: holidays", changed=False)


@pytest.mark.parametrize("name", ["pause", "resume", "approve", "reject", "lineage", "audit verify"])
def test_an_unknown_loop_is_one_sentence_that_says_which_are_deployed(
    stacks: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    more = {"pause": ["--reason", "x"], "approve": [RUN, "--reason", "x"], "reject": [RUN, "--reason", "x"]}
    monkeypatch.setattr(sys, "argv", ["perennial", *name.split(), "nonsense", *more.get(name, [])])

    with pytest.raises(SystemExit) as ended:
        run()

    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.startswith(
        "loop must be one that is deployed (demo in stage dev). Got 'nonsense' in stage 'dev' instead."
    )


def test_another_stage_of_a_deployed_loop_is_not_taken_for_this_one(
    stacks: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PERENNIAL_STAGE", "prod")
    monkeypatch.setattr(sys, "argv", ["perennial", "status", "demo"])

    with pytest.raises(SystemExit) as ended:
        run()

    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.startswith("loop must be one that is deployed (demo in stage dev). Got 'demo' in stage 'prod' instead.")
    assert "cdk deploy --all -c loop=demo -c stage=prod" in said


def test_a_stage_that_no_resource_can_bear_is_refused_before_anything_is_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["perennial", "status", "demo", "--stage", "My_Stage"])

    with pytest.raises(SystemExit) as ended:
        run()

    assert ended.value.code == 2
    assert "such as dev, test, staging or prod. Got 'My_Stage' instead." in capsys.readouterr().err


# --- lineage ---


def frozen_model(world: World) -> dict[str, Any]:
    """A champion, its dataset version and the files behind it: the first batch landed twice, the last one never."""
    batches = make_batches(4)
    labels = make_labels()
    split = {"train": tuple(batches[:3]), "holdout": tuple(batches[3:]), "anchor": tuple(batches[:1])}
    version = make_dataset_version(run_id=RUN, labels=[labels]).model_copy(update=split)
    put_run(world, RUN, signal="drift", reasons=["temp moved"], as_of=NOW.isoformat())
    state = learning_state(world, RUN)
    world.put(f"datasets/d1/runs/{RUN}/version.json", version.model_dump_json().encode())
    world.catalog.put(
        keys.model_item("demo", RUN),
        {"status": "champion", "version_uri": state["dataset"]["version_uri"], "artifact_digest": "d" * 64},
    )
    world.catalog.put(keys.live_item("demo"), {"champion": RUN})
    landed = [("batches/w1.csv", "v1", batches[0]), ("batches/w1-again.csv", "v2", batches[0])]
    landed += [(f"batches/w{number}.csv", f"v{number + 1}", batches[number - 1]) for number in (2, 3)]
    for moment, (key, file_version, batch) in enumerate(landed):
        told = {"key": key, "version_id": file_version, "landed_at": (NOW + timedelta(minutes=moment)).isoformat()}
        world.catalog.put(keys.landing_item("demo", LANDING, key, file_version), told | {"batch_id": batch.batch_id})
    told = {"key": "labels/l1.csv", "version_id": "v9", "landed_at": NOW.isoformat(), "labels_id": labels.labels_id}
    world.catalog.put(keys.landing_item("demo", LANDING, "labels/l1.csv", "v9"), told)
    return {"batches": batches, "labels": labels}


def test_a_model_is_traced_to_the_files_that_landed(world: World, deployment: Deployment) -> None:
    made = frozen_model(world)

    traced = trace(deployment)

    assert (traced.model_version, traced.run["signal"]) == (RUN, "drift")
    assert [part.name for part in traced.batches] == [batch.batch_id for batch in made["batches"]]
    assert [part.roles for part in traced.batches] == [("train", "anchor"), ("train",), ("train",), ("holdout",)]
    files = [[file.key for file in part.files] for part in traced.batches]
    assert files == [["batches/w1.csv", "batches/w1-again.csv"], ["batches/w2.csv"], ["batches/w3.csv"], []]
    [labels] = traced.labels
    assert (labels.name, labels.files[0].key) == (made["labels"].labels_id, "labels/l1.csv")


def test_the_tree_and_the_json_say_the_same(world: World, stacks: None) -> None:
    frozen_model(world)

    tree, document = command("lineage", "demo", RUN[:5]), command("lineage", "demo", "--json")

    told = json.loads(document.stdout)
    assert (tree.exit_code, document.exit_code) == (0, 0)
    for part in [*told["batches"], *told["labels"]]:
        assert part["name"][:12] in tree.stdout
        assert all(file["key"] in tree.stdout for file in part["files"])
    assert "no landed file is on record" in tree.stdout


def test_a_model_that_does_not_exist_is_told_which_do(world: World, deployment: Deployment) -> None:
    with pytest.raises(ModelUnknown, match="must have a champion"):
        trace(deployment)
    frozen_model(world)
    with pytest.raises(ModelUnknown, match=RUN):
        trace(deployment, "nonsense")


# --- audit verify ---


def ledger(world: World, count: int = 4) -> None:
    """A ledger as append_ledger writes it."""
    for number in range(count):
        at = NOW + timedelta(hours=number)
        outage = DataOutage(loop="demo", at=at, last_batch_at=NOW, expected_every_seconds=60, reasons=("late",))
        world.run(append_ledger, messages(on_bus(outage)))


def test_a_ledger_that_nobody_touched_verifies(world: World, stacks: None) -> None:
    ledger(world)

    outcome = command("audit", "verify", "demo", "--json")

    told = json.loads(outcome.stdout)
    assert (outcome.exit_code, told["verified"], told["entries"], told["anchors"]) == (0, True, 4, ["catalog"])
    noted = f"{told['head']['sequence']}:{told['head']['digest']}"
    ledger(world, 6)
    assert command("audit", "verify", "demo", "--anchor", noted).exit_code == 0


def test_an_empty_ledger_is_no_broken_one(deployment: Deployment) -> None:
    audited = verify_ledger(deployment)

    assert (audited.good, audited.entries, audited.head) == (True, 0, None)


def edit_one(world: World) -> None:
    body = json.loads(world.objects(AUDIT)[keys.ledger_key(1)])
    body["detail"]["reasons"] = ["never mind"]
    _overwrite(world, keys.ledger_key(1), json.dumps(body).encode())


def drop_one(world: World) -> None:
    _remove(world, keys.ledger_key(1))


def cut_the_end(world: World) -> None:
    _remove(world, keys.ledger_key(3))


def drop_everything(world: World) -> None:
    for number in range(4):
        _remove(world, keys.ledger_key(number))


def write_over(world: World) -> None:
    world.clients.s3.put_object(Bucket=AUDIT, Key=keys.ledger_key(1), Body=world.objects(AUDIT)[keys.ledger_key(1)])


def mark_deleted(world: World) -> None:
    world.clients.s3.delete_object(Bucket=AUDIT, Key=keys.ledger_key(3))


def put_nonsense(world: World) -> None:
    world.clients.s3.put_object(Bucket=AUDIT, Key=keys.ledger_key(4), Body=b"{}")


def swap_two(world: World) -> None:
    first, second = (world.objects(AUDIT)[keys.ledger_key(number)] for number in (1, 2))
    _overwrite(world, keys.ledger_key(1), second)
    _overwrite(world, keys.ledger_key(2), first)


def _remove(world: World, key: str) -> None:
    for version in world.clients.s3.list_object_versions(Bucket=AUDIT, Prefix=key)["Versions"]:
        world.clients.s3.delete_object(Bucket=AUDIT, Key=key, VersionId=version["VersionId"])


def _overwrite(world: World, key: str, body: bytes) -> None:
    _remove(world, key)
    world.clients.s3.put_object(Bucket=AUDIT, Key=key, Body=body)


@pytest.mark.parametrize(
    "damage",
    [edit_one, drop_one, cut_the_end, drop_everything, write_over, mark_deleted, put_nonsense, swap_two],
    ids=lambda damage: damage.__name__.replace("_", " "),
)
def test_whatever_is_done_to_the_ledger_shows(world: World, stacks: None, damage: Any) -> None:
    ledger(world)
    damage(world)

    outcome = command("audit", "verify", "demo", "--json")

    told = json.loads(outcome.stdout)
    assert (outcome.exit_code, told["verified"], told["head"]) == (1, False, None)
    assert told["broken"]


def test_a_ledger_that_was_rewritten_whole_does_not_pass_an_anchor(world: World, deployment: Deployment) -> None:
    ledger(world)
    stranger = parse_anchor("2:" + "a" * 64)

    assert not verify_ledger(deployment, stranger).good


@pytest.mark.parametrize("text", ["", "3", "x:" + "a" * 64, "3:abc"])
def test_what_is_no_anchor_is_said_to_be_none(text: str) -> None:
    with pytest.raises(LedgerBroken, match="SEQUENCE:DIGEST"):
        parse_anchor(text)
