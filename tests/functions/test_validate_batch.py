"""validate_batch: a landed file becomes a batch, once, whatever the events do."""

from __future__ import annotations

import hashlib
import json

import pyarrow.parquet as pq
import pytest

from functions import validate_batch
from perennial import keys
from perennial.aws.history import batches_until
from perennial.events import BatchAccepted, BatchRejected
from tests.functions.builders import make_csv
from tests.functions.world import LANDING, World, load_event, messages


def batch_id_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:40]


def test_a_good_file_is_curated_profiled_recorded_and_announced(world: World) -> None:
    data = make_csv(rows=50, bad_rows=1)

    answer = world.run(validate_batch, world.land(data))

    batch_id = batch_id_of(data)
    batch = world.catalog.get(keys.batch_item("demo", batch_id))
    assert answer == {"batchItemFailures": []}
    assert batch is not None
    assert (batch["status"], batch["rows"], batch["quarantined"], batch["blank"]) == ("accepted", 49, 1, 0)
    assert {keys.curated_key(batch_id), keys.profile_key(batch_id), keys.quarantine_key(batch_id)} <= set(
        world.objects()
    )
    [event] = world.announced()
    assert isinstance(event, BatchAccepted)
    assert (batch_id, 49, 1) == (event.batch_id, event.rows, event.quarantined)


def test_landed_rows_are_curated_quarantined_or_blank_and_counted_once(world: World) -> None:
    data = make_csv(rows=40, bad_rows=2) + b"\n\n"

    world.run(validate_batch, world.land(data))

    batch = world.catalog.get(keys.batch_item("demo", batch_id_of(data))) or {}
    curated = pq.read_table(_file(world, batch["curated_key"]))
    quarantined = world.objects()[batch["quarantine_key"]].splitlines()
    assert 38 == curated.num_rows == batch["rows"]
    assert 2 == len(quarantined) == batch["quarantined"]
    assert "row" in json.loads(quarantined[0])


def test_a_file_that_breaks_the_contract_is_quarantined_whole_and_announced(world: World) -> None:
    data = make_csv(rows=20, bad_rows=15)

    world.run(validate_batch, world.land(data))

    [event] = world.announced()
    assert isinstance(event, BatchRejected)
    assert event.reasons
    assert world.objects()[keys.quarantined_original_key(batch_id_of(data))] == data
    assert list(batches_until(world.catalog, "demo")) == []


def test_every_event_delivered_twice_changes_nothing_and_announces_nothing_new(world: World) -> None:
    event = world.land(make_csv())
    world.run(validate_batch, event)
    items, objects, said = world.items(), world.objects(), world.announced()

    world.run(validate_batch, event)

    assert items == world.items()
    assert objects == world.objects()
    assert len(said) == 1
    assert world.announced() == []


def test_the_same_file_under_two_keys_is_one_batch_with_two_landings(world: World) -> None:
    data = make_csv()

    world.run(validate_batch, world.land(data, "batches/a.csv"))
    world.run(validate_batch, world.land(data, "batches/b.csv"))

    partitions = [pk for pk, _ in world.items()]
    assert 1 == partitions.count("demo#batches") == partitions.count("demo#timeline")
    assert partitions.count("demo#landings") == 2


def test_an_overwritten_key_is_two_batches_each_read_from_its_own_version(world: World) -> None:
    first, second = make_csv(1), make_csv(2)
    events = [world.land(first, "batches/same.csv"), world.land(second, "batches/same.csv")]

    for event in reversed(events):
        world.run(validate_batch, event)

    assert {batch_id_of(first), batch_id_of(second)} == {sk for pk, sk in world.items() if pk == "demo#batches"}


def test_batches_in_any_order_give_the_same_catalog(world: World) -> None:
    files = [make_csv(number) for number in (1, 2, 3)]
    events = [world.land(data, f"batches/{number}.csv") for number, data in enumerate(files)]
    for event in events:
        world.run(validate_batch, event)
    partitions = ("demo#batches", "demo#timeline")
    forward = {key: item for key, item in world.items().items() if key[0] in partitions}
    for key in list(forward):
        world.clients.dynamodb.delete_item(TableName="demo-catalog", Key={"pk": {"S": key[0]}, "sk": {"S": key[1]}})
    for pk, sk in [key for key in world.items() if key[0] == "demo#landings"]:
        world.clients.dynamodb.delete_item(TableName="demo-catalog", Key={"pk": {"S": pk}, "sk": {"S": sk}})

    for event in reversed(events):
        world.run(validate_batch, event)

    assert forward == {key: item for key, item in world.items().items() if key[0] in partitions}


@pytest.mark.parametrize("deleted", [True, False])
def test_a_version_that_is_gone_is_recorded_and_does_not_come_again(world: World, deleted: bool) -> None:
    event = world.land(make_csv(), "batches/gone.csv")
    version = json.loads(event["Records"][0]["body"])["detail"]["object"]["version-id"]
    if deleted:
        version = world.clients.s3.delete_object(Bucket=LANDING, Key="batches/gone.csv")["VersionId"]
        event = world.arrival("batches/gone.csv", version)
    else:
        world.clients.s3.delete_object(Bucket=LANDING, Key="batches/gone.csv", VersionId=version)

    answer = world.run(validate_batch, event)

    item = world.catalog.get(keys.landing_item("demo", LANDING, "batches/gone.csv", version)) or {}
    assert answer == {"batchItemFailures": []}
    assert item["status"] in ("missing", "deleted")


@pytest.mark.parametrize(
    ("bucket", "key"), [("other-landing", "batches/a.csv"), (LANDING, "elsewhere/a.csv"), (LANDING, "labels/a.csv")]
)
def test_a_spoofed_event_is_refused_and_not_retried_for_ever(world: World, bucket: str, key: str) -> None:
    answer = world.run(validate_batch, world.arrival(key, "v", bucket=bucket))

    assert answer == {"batchItemFailures": []}
    assert world.items() == {}


def test_an_event_of_another_account_is_refused(world: World) -> None:
    event = world.land(make_csv())

    world.run(validate_batch, event, account_id="999999999999")

    assert world.items() == {}


def test_one_poison_message_of_ten_returns_alone(world: World) -> None:
    bodies = [json.loads(world.land(make_csv(n), f"batches/{n}.csv")["Records"][0]["body"]) for n in range(1, 11)]
    event = messages(*bodies)
    poison = bodies[4]["detail"]["object"]["key"]
    world.clients.s3.meta.events.register("before-call.s3.HeadObject", _failing_for(poison))

    answer = world.run(validate_batch, event)

    assert answer == {"batchItemFailures": [{"itemIdentifier": "m4"}]}
    assert sum(pk == "demo#batches" for pk, _ in world.items()) == 9


def test_a_message_that_is_no_event_is_logged_and_dropped(world: World) -> None:
    event = load_event("sqs_s3_object_created")
    event["Records"][0]["body"] = "not json {"

    assert world.run(validate_batch, event) == {"batchItemFailures": []}


def test_a_file_beyond_the_size_limit_is_refused_without_being_fetched(world: World) -> None:
    world.run(validate_batch, world.land(make_csv(rows=100)), max_object_bytes=10, max_job_bytes=100)

    [event] = world.announced()
    assert isinstance(event, BatchRejected)
    assert "at most 100 bytes" in event.reasons[0]


def test_a_key_with_a_wrong_suffix_does_not_spoil_the_same_content_under_a_right_one(world: World) -> None:
    data = make_csv()
    world.run(validate_batch, world.land(data, "batches/a.txt"))

    world.run(validate_batch, world.land(data, "batches/a.csv"))

    assert (world.catalog.get(keys.batch_item("demo", batch_id_of(data))) or {})["status"] == "accepted"


@pytest.mark.parametrize(
    "key", ["batches/../up.csv", "batches//x+y%2e.csv", "batches/a\nb.csv", f"batches/{'k' * 990}.csv"]
)
def test_hostile_keys_are_opaque(world: World, key: str) -> None:
    world.run(validate_batch, world.land(make_csv(), key))

    [event] = world.announced()
    assert isinstance(event, BatchAccepted)
    assert key == event.key


def test_no_row_value_reaches_the_log(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    canary = "canary@personal.example"
    data = make_csv(rows=30).replace(b"d1-0,", canary.encode() + b",") + f"{canary},notatime,{canary},red\n".encode()

    world.run(validate_batch, world.land(data))

    output = capsys.readouterr()
    assert canary not in output.out + output.err


def test_metrics_say_what_landed_under_loop_and_stage_alone(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.run(validate_batch, world.land(make_csv(rows=50, bad_rows=1)))

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    [emf] = [line for line in lines if "_aws" in line]
    assert emf["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["loop", "stage"]]
    assert (emf["loop"], emf["stage"]) == ("demo", "dev")
    assert emf["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Perennial"
    assert (emf["RowsLanded"], emf["RowsAccepted"], emf["RowsQuarantined"]) == ([50.0], [49.0], [1.0])


def _failing_for(key: str) -> object:
    def hook(params: dict[str, object], **_: object) -> None:
        if key in str(params["url_path"]):
            raise ConnectionError("the network is down")

    return hook


def _file(world: World, key: str) -> object:
    import io

    return io.BytesIO(world.objects()[key])
