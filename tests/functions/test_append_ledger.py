"""append_ledger: every event once, in a chain that verifies, whatever the queue does."""

from __future__ import annotations

import json
import random
from typing import Any

from functions import append_ledger
from perennial import keys
from perennial.events import DataOutage, Event, RetrainingDeclined
from perennial.ledger import Head, LedgerEntry, verify
from tests.builders import NOW, day
from tests.functions.world import AUDIT, World, messages, on_bus


def declined(number: int) -> Event:
    return RetrainingDeclined(loop="demo", at=NOW, signal="drift", as_of=day(number), reasons=(f"cooldown: {number}",))


def append(world: World, *events: Event) -> Any:
    return world.run(append_ledger, messages(*(on_bus(event) for event in events)))


def chain(world: World) -> list[LedgerEntry]:
    objects = world.objects(AUDIT)
    return [LedgerEntry.model_validate_json(objects[key]) for key in sorted(objects)]


def test_events_become_a_chain_that_verifies_in_catalog_and_bucket(world: World) -> None:
    assert append(world, *(declined(number) for number in range(5))) == {"batchItemFailures": []}

    entries = chain(world)
    kept = [LedgerEntry.model_validate_json(item["entry"]) for _, item in world.catalog.query("demo#ledger")]
    head = world.catalog.get(keys.ledger_head_item("demo")) or {}
    assert entries == kept
    assert Head(4, entries[-1].digest) == verify(entries, Head(head["sequence"], head["digest"]))


def test_an_event_that_comes_twice_has_one_entry(world: World) -> None:
    append(world, declined(1), declined(1))
    append(world, declined(1))

    assert len(chain(world)) == 1


def test_events_out_of_order_and_repeated_still_verify(world: World) -> None:
    events = [declined(number % 7) for number in range(20)]
    random.Random(1).shuffle(events)
    for event in events:
        append(world, event)

    assert len(chain(world)) == 7
    assert verify(chain(world)) is not None


def test_a_reader_finds_the_sentence_in_the_catalog(world: World) -> None:
    append(world, declined(3))

    [(sequence, item)] = world.catalog.query(keys.ledger_partition("demo"))
    assert (sequence, item["detail_type"]) == ("000000000000", "Retraining Declined")
    assert "cooldown: 3" in item["sentence"]


def test_two_workers_at_once_take_two_places(world: World) -> None:
    raced: list[None] = []

    def race(**_: Any) -> None:
        if not raced:
            raced.append(None)
            append(world, declined(2))

    world.clients.dynamodb.meta.events.register_first("before-call.dynamodb.TransactWriteItems", race)

    append(world, declined(1))

    assert [entry.sequence for entry in chain(world)] == [0, 1]
    assert verify(chain(world)) is not None


def test_two_workers_with_one_event_take_one_place(world: World) -> None:
    raced: list[None] = []

    def race(**_: Any) -> None:
        if not raced:
            raced.append(None)
            append(world, declined(1))

    world.clients.dynamodb.meta.events.register_first("before-call.dynamodb.TransactWriteItems", race)

    assert append(world, declined(1)) == {"batchItemFailures": []}
    assert len(chain(world)) == 1


def test_a_crash_between_catalog_and_bucket_is_made_good_by_the_next_delivery(world: World) -> None:
    def crash(**_: Any) -> None:
        raise ConnectionError("gone")

    world.clients.s3.meta.events.register_first("before-call.s3.PutObject", crash)
    assert len(append(world, declined(1))["batchItemFailures"]) == 1
    world.clients.s3.meta.events.unregister("before-call.s3.PutObject", crash)
    append(world, declined(2))
    assert sorted(world.objects(AUDIT)) == ["ledger/000000000001.json"]

    append(world, declined(1))

    assert [entry.sequence for entry in chain(world)] == [0, 1]
    assert verify(chain(world)) is not None


def test_an_object_that_somebody_put_in_its_place_is_found(world: World) -> None:
    world.clients.s3.put_object(Bucket=AUDIT, Key=keys.ledger_key(0), Body=b"{}")

    assert len(append(world, declined(1))["batchItemFailures"]) == 1


def test_what_is_not_of_this_loop_is_refused_and_does_not_come_again(world: World) -> None:
    other = DataOutage(loop="other", at=NOW, last_batch_at=None, expected_every_seconds=1, reasons=("x",))
    spoofed = on_bus(declined(1)) | {"source": "somebody"}

    answer = world.run(append_ledger, messages(on_bus(other), spoofed, {"detail-type": "nonsense"}))

    assert answer == {"batchItemFailures": []}
    assert chain(world) == []


def test_the_head_is_anchored_in_the_log(world: World, capsys: Any) -> None:
    append(world, declined(1))

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    said = [line["message"] for line in lines if isinstance(line.get("message"), dict)]
    assert {"event": "ledger appended", "sequence": 0, "digest": chain(world)[0].digest} in said
