"""validate_batch with `unique_within`: a record id is accepted once among batches that are near in time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from functions import validate_batch
from perennial import keys
from perennial.aws.id_log import IdLog
from perennial.uniqueness import LogEntry, earlier
from perennial.validation import RecentIds
from tests.builders import day, make_contract, make_loop
from tests.functions.test_validate_batch import batch_id_of
from tests.functions.world import World

REASON = "id must not repeat a recent batch"


def make_rows(ids: Sequence[int], *, on: int = 1, spoilt: int = 0) -> bytes:
    """A file with these ids, a minute apart from each other; the first `spoilt` rows have no number for x."""
    lines = [
        f"r{number},{(day(on) + timedelta(minutes=number)).isoformat()},{'oops' if place < spoilt else '1.5'},red"
        for place, number in enumerate(ids)
    ]
    return ("\n".join(["id,ts,x,color", *lines]) + "\n").encode()


def deploy(world: World, *, within: str = "7d", max_invalid_rate: float = 0.9) -> None:
    quality = {"unique_within": within, "max_invalid_rate": max_invalid_rate}
    world.deploy(make_loop(contract=make_contract(quality=quality)))


def land(world: World, data: bytes, name: str) -> dict[str, Any]:
    event = world.land(data, f"batches/{name}.csv")
    assert world.run(validate_batch, event) == {"batchItemFailures": []}
    return world.catalog.get(keys.batch_item("demo", batch_id_of(data))) or {}


def test_rows_whose_ids_came_before_are_quarantined_with_that_reason(world: World) -> None:
    deploy(world)
    first, second = make_rows([1, 2, 3]), make_rows([2, 3, 4, 5], on=2)

    one, other = land(world, first, "one"), land(world, second, "other")

    assert (one["rows"], one["quarantined"]) == (3, 0)
    assert (other["rows"], other["quarantined"], other["reason_counts"]) == (2, 2, {REASON: 2})
    quarantined = [json.loads(line) for line in world.objects()[other["quarantine_key"]].splitlines()]
    assert [(row["row"], row["reasons"], row["text"].split(",")[0]) for row in quarantined] == [
        (1, [REASON], "r2"),
        (2, [REASON], "r3"),
    ]


def test_a_batch_without_repeated_ids_is_what_it_would_be_alone(world: World) -> None:
    data = make_rows([4, 5, 6], on=2)
    alone = land(world, data, "alone")
    made = world.objects()[alone["curated_key"]]
    deploy(world)
    for pk, sk in list(world.items()):
        world.clients.dynamodb.delete_item(TableName="demo-catalog", Key={"pk": {"S": pk}, "sk": {"S": sk}})
    land(world, make_rows([1, 2, 3]), "first")

    assert alone == land(world, data, "again")
    assert made == world.objects()[alone["curated_key"]]


def test_without_the_setting_nothing_of_other_batches_counts_and_no_ids_are_kept(world: World) -> None:
    land(world, make_rows([1, 2]), "one")

    assert land(world, make_rows([1, 2, 3]), "other")["rows"] == 3
    assert [key for key in world.objects() if key.startswith("ids/")] == []


@pytest.mark.parametrize(("later", "accepted"), [(8, 0), (9, 2)])
def test_only_batches_within_the_time_count(world: World, later: int, accepted: int) -> None:
    deploy(world, within="7d", max_invalid_rate=1.0)
    land(world, make_rows([1, 2], on=1), "one")

    assert land(world, make_rows([1, 2], on=later), "other")["rows"] == accepted


def test_a_long_batch_is_found_wherever_the_other_lies_in_it(world: World) -> None:
    deploy(world, within="1h")
    ids = [1, 60 * 24 * 200]
    land(world, make_rows(ids), "a year")

    assert land(world, make_rows([ids[1], ids[1] + 1]), "within")["rows"] == 1
    assert land(world, make_rows([7, 8], on=30), "in the middle")["rows"] == 2


def test_ids_of_a_file_that_was_rejected_do_not_count(world: World) -> None:
    deploy(world, max_invalid_rate=0.5)
    rejected = land(world, make_rows([1, 2, 3], spoilt=2), "rejected")

    assert rejected["status"] == "rejected"
    assert land(world, make_rows([2, 3, 4]), "other")["rows"] == 3


def test_what_came_before_is_no_fault_of_the_rows_beside_it(world: World) -> None:
    """A producer whose files overlap by more than may be invalid loses none of the new rows."""
    deploy(world, max_invalid_rate=0.1)
    land(world, make_rows([1, 2, 3]), "one")

    batch = land(world, make_rows([1, 2, 3, 4]), "overlaps")

    assert (batch["status"], batch["rows"], batch["quarantined"]) == ("accepted", 1, 3)


def test_a_file_of_nothing_new_is_a_batch_without_rows(world: World) -> None:
    deploy(world)
    land(world, make_rows([1, 2, 3]), "one")

    batch = land(world, make_rows([3, 2, 1]), "in another order")

    assert (batch["status"], batch["rows"], batch["quarantined"], batch["last_event_at"]) == ("accepted", 0, 3, None)
    assert sum(pk == "demo#timeline" for pk, _ in world.items()) == 1


def test_the_same_file_again_repeats_nothing(world: World) -> None:
    deploy(world)
    data = make_rows([1, 2])
    once = land(world, data, "one")

    assert once == land(world, data, "copy")
    assert sum(pk == "demo#id-log" for pk, _ in world.items()) == 1


def test_who_died_after_taking_a_position_keeps_nobody_waiting(world: World) -> None:
    """Its rows are its own, though the later batch is done first."""
    deploy(world)
    first, second = make_rows([1, 2, 3]), make_rows([3, 4], on=2)
    event = world.land(first, "batches/first.csv")
    dead = dying_after(world, "TransactWriteItems")
    world.clients.dynamodb.meta.events.register("before-call.dynamodb.*", dead)
    world.run(validate_batch, event)
    world.clients.dynamodb.meta.events.unregister("before-call.dynamodb.*", dead)

    other = land(world, second, "second")
    world.run(validate_batch, event)

    one = world.catalog.get(keys.batch_item("demo", batch_id_of(first))) or {}
    assert (one["rows"], other["rows"], other["quarantined"]) == (3, 1, 1)


def dying_after(world: World, operation: str) -> Any:
    """A hook that lets nothing through once `operation` was called."""
    seen: list[str] = []

    def hook(model: Any, **_: Any) -> None:
        if operation in seen:
            raise ConnectionError("gone")
        seen.append(model.name)

    return hook


def ids(numbers: Sequence[int]) -> RecentIds:
    return RecentIds.of(pa.array([f"r{number}" for number in numbers], pa.string()))


def enter(log: IdLog, scratch: Path, name: str, numbers: Sequence[int]) -> LogEntry:
    facts = {"first_event_at": day(1), "last_event_at": day(2), "within_seconds": 0.0}
    return log.enter(name, ids(numbers), scratch / name, **facts)


def test_a_set_of_ids_is_compared_in_pieces_that_cut_an_id(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perennial.aws.lake._CHUNK_BYTES", 13)
    log = IdLog(world.catalog, world.lake, "demo")
    enter(log, tmp_path, "one", range(40))

    repeated = log.repeated(enter(log, tmp_path, "other", range(30, 60)), ids(range(30, 60)))

    assert repeated == ids(range(30, 40))


def make_entry(position: int, count: int = 10) -> LogEntry:
    return LogEntry(
        position=position, batch_id=f"b{position}", ids_key=f"ids/b{position}", ids_count=count, first_event_at=day(1),
        last_event_at=day(2), within_seconds=0.0,
    )  # fmt: skip


def test_what_one_batch_may_cost_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perennial.uniqueness.MOST_BATCHES", 3)
    others = [make_entry(position) for position in (5, 1, 4, 2, 3, 7)]
    assert [one.position for one in earlier(make_entry(6), others)] == [5, 4, 3]
    monkeypatch.setattr("perennial.uniqueness.MOST_IDS", 15)
    assert [one.position for one in earlier(make_entry(6), others)] == [5]
