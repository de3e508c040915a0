"""reconcile_landings: what landed without a word is found, once, and only that (P17)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from functions import join_labels, reconcile_landings, validate_batch
from perennial import keys
from tests.functions.builders import make_csv, make_label_csv
from tests.functions.world import LANDING, World, messages

HOURS = timedelta(hours=1)


@pytest.fixture(autouse=True)
def two_hours_later(world: World) -> None:
    """S3's clock is the real one; a test can only move ours."""
    world.now = datetime.now(UTC) + 2 * HOURS


def reconcile(world: World) -> tuple[dict[str, int], list[dict[str, Any]]]:
    """What the function answers, and what it put into the queues."""
    sqs = world.clients.sqs
    queues = {name: sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("batches", "labels")}
    said = world.run(reconcile_landings, {}, batches_queue_url=queues["batches"], labels_queue_url=queues["labels"])
    found = []
    for name, url in queues.items():
        for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
            found.append({"queue": name, **json.loads(message["Body"])})
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return said, found


def test_p17_files_whose_event_never_came_are_sent_and_processed(world: World) -> None:
    world.land(make_csv(1), "batches/never+told.csv")
    world.land(make_label_csv(1), "labels/never-told.csv")

    said, found = reconcile(world)

    assert said == {"looked_at": 2, "sent": 2}
    assert [one["queue"] for one in found] == ["batches", "labels"]
    for function, one in zip((validate_batch, join_labels), found, strict=True):
        assert world.run(function, messages(one)) == {"batchItemFailures": []}
    assert {event.detail_type for event in world.announced()} == {"Batch Accepted", "Labels Joined"}
    assert reconcile(world) == ({"looked_at": 2, "sent": 0}, [])


def test_what_is_on_record_is_left_alone_whatever_became_of_it(world: World) -> None:
    world.run(validate_batch, world.land(make_csv(1)))
    world.run(validate_batch, world.land(make_csv(2, bad_rows=90), "batches/rejected.csv"))
    world.run(validate_batch, world.land(make_csv(3), "batches/large.csv"), max_object_bytes=10)

    assert reconcile(world) == ({"looked_at": 3, "sent": 0}, [])


def test_each_version_of_an_overwritten_key_is_looked_for(world: World) -> None:
    world.run(validate_batch, world.land(make_csv(1), "batches/same.csv"))
    world.land(make_csv(2), "batches/same.csv")
    world.clients.s3.delete_object(Bucket=LANDING, Key="batches/same.csv")

    said, [one] = reconcile(world)

    assert said == {"looked_at": 2, "sent": 1}
    version = one["detail"]["object"]["version-id"]
    assert world.catalog.get(keys.landing_item("demo", LANDING, "batches/same.csv", version)) is None


@pytest.mark.parametrize(("later", "looked_at"), [(0.5 * HOURS, 0), (1.5 * HOURS, 1), (71 * HOURS, 1), (73 * HOURS, 0)])
def test_what_may_be_on_its_way_and_what_was_looked_at_before_is_passed_over(
    world: World, later: timedelta, looked_at: int
) -> None:
    world.land(make_csv())
    world.now = datetime.now(UTC) + later

    assert reconcile(world)[0] == {"looked_at": looked_at, "sent": looked_at}


def test_what_is_elsewhere_in_the_bucket_is_nobodys(world: World) -> None:
    world.land(b"x", "elsewhere/a.csv")

    assert reconcile(world) == ({"looked_at": 0, "sent": 0}, [])
