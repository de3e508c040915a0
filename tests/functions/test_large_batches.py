"""A file that is too large for a function becomes, by a job and record_batch, what a function would have made of it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws

from functions import record_batch, validate_batch
from perennial import keys
from perennial.aws.large_batches import LargeOrder
from perennial.events import BatchAccepted, BatchRejected
from tests.functions.builders import make_csv
from tests.functions.test_uniqueness import REASON, deploy, make_rows
from tests.functions.test_validate_batch import batch_id_of
from tests.functions.world import LANDING, World, make_world
from training import make_batch


def land_large(world: World, data: bytes, name: str = "large.csv") -> dict[str, Any]:
    """Land a file that is too large; gives the event of its arrival."""
    event = world.land(data, f"batches/{name}")
    assert world.run(validate_batch, event, max_object_bytes=10) == {"batchItemFailures": []}
    return event


def started(world: World) -> dict[str, dict[str, Any]]:
    """What each execution was given, by its name."""
    states = world.clients.stepfunctions
    listed = states.list_executions(stateMachineArn=world.machine_arn)["executions"]
    described = [states.describe_execution(executionArn=one["executionArn"]) for one in listed]
    return {one["name"]: json.loads(one["input"]) for one in described}


def run_job(world: World, folder: Path, given: dict[str, Any]) -> None:
    """The job's own program, with its order where SageMaker puts it."""
    order = folder / "input" / "order" / "order.json"
    order.parent.mkdir(parents=True, exist_ok=True)
    order.write_bytes(world.lake.get(given["order_key"]))
    make_batch.main(["--base", str(folder)])


def make_and_record(world: World, folder: Path) -> Any:
    """Run the only order's job, then record what it made."""
    [given] = started(world).values()
    run_job(world, folder, given)
    return world.run(record_batch, {**given, "job": {}})


def what_stands(world: World) -> tuple[Any, Any, Any]:
    """Batches and their places in time, outputs, and what was said."""
    kept = ("demo#batches", "demo#timeline", "demo#id-log")
    items = {key: item for key, item in world.items().items() if key[0] in kept}
    objects = {key: data for key, data in world.objects().items() if not key.startswith("ingest/")}
    said = [event.model_dump(mode="json", exclude={"at"}) for event in world.announced()]
    return items, objects, said


FILES = {
    "good": make_csv(rows=60),
    "some bad rows": make_csv(rows=60, bad_rows=2),
    "rejected": make_csv(rows=20, bad_rows=15),
    "no rows": b"id,ts,x,color\n",
    "no table": b"\x00\x01\x02" * 40,
}


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_job_makes_the_batch_that_a_function_would_have_made(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    stands = []
    for large in (False, True):
        with mock_aws():
            world = make_world()
            if large:
                land_large(world, FILES[name])
                make_and_record(world, tmp_path)
            else:
                world.run(validate_batch, world.land(FILES[name], "batches/large.csv"))
            stands.append(what_stands(world))

    assert stands[0] == stands[1]


def test_until_the_job_is_done_the_landing_is_processing_and_nothing_is_said(world: World) -> None:
    event = land_large(world, make_csv())

    version = json.loads(event["Records"][0]["body"])["detail"]["object"]["version-id"]
    landing = world.catalog.get(keys.landing_item("demo", LANDING, "batches/large.csv", version)) or {}
    assert (landing["status"], landing["attempt"]) == ("processing", 1)
    assert world.announced() == []
    [(name, given)] = started(world).items()
    assert given["message"] == event["Records"][0]["body"]
    assert len(given["job_name"]) <= 63 and given["job_name"].startswith(keys.resource_prefix("demo", "dev"))
    order = LargeOrder.model_validate_json(world.lake.get(given["order_key"]))
    assert (order.version_id, order.outcome_key) == (version, keys.large_outcome_key(name))


def test_a_file_that_comes_again_is_not_ordered_again(world: World) -> None:
    event = land_large(world, make_csv())
    once = started(world)

    world.run(validate_batch, event, max_object_bytes=10)

    assert once == started(world)


def test_p16_a_failed_attempt_can_be_made_again_under_another_name(world: World, tmp_path: Path) -> None:
    event = land_large(world, make_csv())
    [first] = started(world)
    stop(world, first)

    world.run(validate_batch, event, max_object_bytes=10)

    names = started(world)
    assert len(names) == 2
    assert len({given["job_name"] for given in names.values()}) == 2
    [second] = set(names) - {first}
    run_job(world, tmp_path, names[second])
    answer = world.run(record_batch, names[second])
    assert answer == {"status": "accepted", "batch_id": batch_id_of(make_csv())}


def stop(world: World, name: str) -> None:
    arn = f"{world.machine_arn.replace('stateMachine', 'execution')}:{name}"
    world.clients.stepfunctions.stop_execution(executionArn=arn)


def test_recording_again_changes_nothing_and_says_nothing_new(world: World, tmp_path: Path) -> None:
    event = land_large(world, make_csv())
    make_and_record(world, tmp_path)
    stood = what_stands(world)
    [given] = started(world).values()

    world.run(record_batch, given)
    world.run(validate_batch, event, max_object_bytes=10)

    assert [isinstance(event, BatchAccepted) for event in world.announced()] == []
    assert stood[:2] == what_stands(world)[:2]
    assert len(started(world)) == 1


def test_the_same_content_that_a_function_took_meanwhile_is_one_batch(world: World, tmp_path: Path) -> None:
    land_large(world, make_csv())
    world.run(validate_batch, world.land(make_csv(), "batches/copy.csv"))
    before = what_stands(world)

    make_and_record(world, tmp_path)

    assert before[:2] == what_stands(world)[:2]
    assert sum(item.get("announced", False) for (pk, _), item in world.items().items() if pk == "demo#landings") == 2


def test_a_version_that_is_gone_before_the_job_reads_it_is_recorded(world: World, tmp_path: Path) -> None:
    event = land_large(world, make_csv())
    version = json.loads(event["Records"][0]["body"])["detail"]["object"]["version-id"]
    world.clients.s3.delete_object(Bucket=LANDING, Key="batches/large.csv", VersionId=version)

    assert make_and_record(world, tmp_path) == {"status": "missing"}

    assert (world.catalog.get(keys.landing_item("demo", LANDING, "batches/large.csv", version)) or {})[
        "status"
    ] == "missing"
    assert world.announced() == []


def test_an_overwritten_key_is_read_in_the_version_that_the_event_names(world: World, tmp_path: Path) -> None:
    first = make_csv(1)
    land_large(world, first)
    world.land(make_csv(2), "batches/large.csv")

    assert make_and_record(world, tmp_path)["batch_id"] == batch_id_of(first)


def test_what_is_too_large_for_a_job_too_is_refused_with_the_limit(world: World) -> None:
    world.run(validate_batch, world.land(make_csv()), max_object_bytes=10, max_job_bytes=1000)

    [event] = world.announced()
    assert isinstance(event, BatchRejected)
    assert "at most 1000 bytes" in event.reasons[0]
    assert started(world) == {}


def test_ids_are_unique_across_both_ways(world: World, tmp_path: Path) -> None:
    deploy(world)
    world.run(validate_batch, world.land(make_rows([1, 2, 3]), "batches/small.csv"))
    land_large(world, make_rows([3, 4, 5], on=2))
    make_and_record(world, tmp_path)
    world.run(validate_batch, world.land(make_rows([5, 6], on=3), "batches/third.csv"))

    batches = [
        world.catalog.get(keys.batch_item("demo", batch_id_of(data))) or {}
        for data in (make_rows([1, 2, 3]), make_rows([3, 4, 5], on=2), make_rows([5, 6], on=3))
    ]
    assert [(batch["rows"], batch["quarantined"]) for batch in batches] == [(3, 0), (2, 1), (1, 1)]
    assert batches[1]["reason_counts"] == {REASON: 1}


@pytest.mark.parametrize(("size_bytes", "volume_gb"), [(11, 31), (10 * 2**30, 60), (2**40, 3102), (2**45, 16_384)])
def test_the_jobs_disk_holds_the_file_several_times(world: World, size_bytes: int, volume_gb: int) -> None:
    from perennial.aws.large_batches import _volume_gb

    assert _volume_gb(size_bytes) == volume_gb == min(16_384, 30 + math.ceil(3 * size_bytes / 2**30))


def test_a_large_object_is_fetched_in_parts_of_the_version_that_was_named(world: World, tmp_path: Path) -> None:
    data = bytes(range(256)) * 4096 * 20
    version = world.clients.s3.put_object(Bucket=LANDING, Key="batches/x", Body=data)["VersionId"]
    world.clients.s3.put_object(Bucket=LANDING, Key="batches/x", Body=b"other")

    digest = world.shell(validate_batch).bucket(LANDING).download_large("batches/x", tmp_path / "x", version_id=version)

    assert digest[:40] == batch_id_of(data)
    assert (tmp_path / "x").read_bytes() == data
