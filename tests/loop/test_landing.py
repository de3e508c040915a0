"""Files land: by the AWS CLI, twice, in two orders, 200 at once."""

from __future__ import annotations

import io
from collections import Counter

import pyarrow.parquet as pq
import pytest

from loops.bikeshare import stream
from tests.loop.conftest import SMALL_FILES, History
from tests.loop.journey import Journey

pytestmark = pytest.mark.local_cloud


def test_a_file_copied_by_the_aws_cli_becomes_a_batch(journey: Journey, history: History):
    landing = history.landings[history.first]
    assert landing["status"] == "accepted"
    batch = history.batches_before[landing["batch_id"]]
    assert (batch["rows"], batch["quarantined"]) == (stream.week(0).rows, 0)
    listed = journey.aws(
        "s3api", "list-objects-v2", "--bucket", journey.deployment["LakeBucket"], "--prefix", batch["curated_key"]
    )
    assert [one["Key"] for one in listed["Contents"]] == [batch["curated_key"]]


def test_a_file_again_under_the_same_and_under_other_keys_is_the_same_batch(history: History):
    batch_id = history.landings[history.first]["batch_id"]
    assert len(history.again) == 4
    assert {history.landings[file]["batch_id"] for file in history.again} == {batch_id}
    assert history.batches[batch_id] == history.batches_before[batch_id]


def test_two_orders_give_the_same_catalog_and_the_same_bytes(history: History):
    one, other = history.orders
    assert len(one["batches"]) == 2
    assert one == other


def test_of_200_small_files_at_once_each_is_one_batch_and_no_row_is_lost_or_doubled(journey: Journey, history: History):
    ids = [history.landings[file]["batch_id"] for file in history.small]
    assert len(set(ids)) == SMALL_FILES
    assert Counter(history.batches[batch_id]["status"] for batch_id in ids) == {"accepted": SMALL_FILES}
    s3, lake = journey.client("s3"), journey.deployment["LakeBucket"]
    curated = [
        s3.get_object(Bucket=lake, Key=history.batches[batch_id]["curated_key"])["Body"].read() for batch_id in ids
    ]
    found = [value for body in curated for value in pq.read_table(io.BytesIO(body))["record_id"].to_pylist()]
    assert sorted(found) == sorted(history.small_ids)


def test_the_catalog_holds_nothing_but_the_batches_that_landed(journey: Journey, history: History):
    assert set(history.batches) == {landing["batch_id"] for landing in history.landings.values()} | set(
        history.orders[1]["batches"]
    )
    queues = journey.client("sqs").list_queues()["QueueUrls"]
    waiting = {
        url: journey.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])[
            "Attributes"
        ]["ApproximateNumberOfMessages"]
        for url in queues
        if "dead" in url.lower() or "undelivered" in url.lower()
    }
    assert waiting and set(waiting.values()) == {"0"}
