"""A file that is too large for a function, by the job that AWS would run; a job that a person stops, and once more."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loops.bikeshare import stream
from perennial.project import load_loop
from perennial.validation import validate_file
from tests.loop.conftest import LARGEST_DIRECT_BYTES, ROOT
from tests.loop.journey import LOOP, Execution, Journey, batch_file
from tests.loop.second_engine import answers_of, replay

pytestmark = pytest.mark.local_cloud

MACHINE = "LargeBatchMachineArn"
LARGE_WEEKS, STOPPED_WEEKS = range(3), range(4, 8)


def several(weeks: Sequence[int], *, spoilt: int = 0) -> bytes:
    """Some weeks in one file; the first `spoilt` rows have no humidity that is a number."""
    header, lines = "", []
    for number in weeks:
        header, *more = stream.week(number).batch_csv().decode().splitlines()
        lines += more
    place = header.split(",").index("hum")
    for row in range(spoilt):
        cells = lines[row].split(",")
        lines[row] = ",".join([*cells[:place], "wet", *cells[place + 1 :]])
    body = batch_file(lines, header)
    assert len(body) > LARGEST_DIRECT_BYTES
    return body


@dataclass(frozen=True)
class Large:
    """One large file: what landed, the execution, and what the catalog then held of it."""

    body: bytes
    execution: Execution
    landing: dict[str, Any]
    batch: dict[str, Any]


@pytest.fixture(scope="module")
def large(journey: Journey) -> Large:
    """Three weeks in one file; in a whole session it lands after everything that counts batches."""
    body = several(LARGE_WEEKS, spoilt=3)
    file = journey.land("batches", "three-weeks.csv", body)
    execution = journey.await_execution(MACHINE)
    landing = journey.await_landed([file])[file]
    return Large(body, execution, landing, journey.partition("batches")[landing["batch_id"]])


def test_a_large_file_is_made_into_a_batch_by_the_machine(large: Large):
    assert large.execution.run.states == ("MakeBatch", "RecordBatch", "Recorded")
    assert large.execution.output["batch"] == {"status": "accepted", "batch_id": large.landing["batch_id"]}
    assert (large.landing["status"], large.batch["quarantined"]) == ("accepted", 3)


def test_it_is_the_batch_that_one_pass_without_a_job_makes(journey: Journey, large: Large, tmp_path: Path):
    source, curated, refused = (tmp_path / name for name in ("landed", "curated", "refused"))
    source.write_bytes(large.body)
    outcome = validate_file(
        source,
        contract=load_loop(ROOT / "loops" / LOOP).contract,
        key=large.landing["key"],
        size_bytes=len(large.body),
        curated=curated,
        quarantine=refused,
        now=datetime.fromisoformat(large.landing["landed_at"]),
    )
    assert outcome.profile is not None
    assert outcome.profile.to_bytes() == lake_bytes(journey, large.batch["profile_key"])
    assert refused.read_bytes() == lake_bytes(journey, large.batch["quarantine_key"])
    assert rows(curated.read_bytes()) == rows(lake_bytes(journey, large.batch["curated_key"]))
    assert dict(outcome.reason_counts) == large.batch["reason_counts"]


def lake_bytes(journey: Journey, key: str) -> bytes:
    """An object of the lake."""
    body = journey.client("s3").get_object(Bucket=journey.deployment["LakeBucket"], Key=key)["Body"].read()
    assert isinstance(body, bytes)
    return body


def rows(content: bytes) -> Any:
    """The rows of Parquet bytes."""
    return pq.read_table(pa.BufferReader(content), pre_buffer=False, use_threads=False).to_pylist()


@pytest.fixture(scope="module")
def stopped(journey: Journey, large: Large) -> tuple[Execution, tuple[str, str]]:
    """A job that somebody stops: its file's message is among the dead letters."""
    file = journey.land("batches", "four-weeks.csv", several(STOPPED_WEEKS))
    sagemaker = journey.client("sagemaker")

    def running() -> str | None:
        listed = sagemaker.list_processing_jobs(StatusEquals="InProgress")["ProcessingJobSummaries"]
        return listed[0]["ProcessingJobName"] if listed else None

    job = journey.until(running, what="a job", pause_seconds=0.05)
    sagemaker.stop_processing_job(ProcessingJobName=job)
    return journey.await_execution(MACHINE, known=[large.execution.name]), file


def test_a_job_that_fails_refuses_nothing_and_its_message_waits(
    journey: Journey, stopped: tuple[Execution, tuple[str, str]]
):
    execution, (key, version) = stopped
    assert execution.run.states == ("MakeBatch", "GiveBack", "NotMade")
    [landing] = [item for item in journey.partition("landings").values() if item["version_id"] == version]
    assert (landing["key"], landing["status"]) == (key, "processing")
    assert (
        json.loads(execution.described["input"])["message"]
        == journey.client("sqs").receive_message(
            QueueUrl=journey.deployment["BatchesDeadLetterQueueUrl"], VisibilityTimeout=0
        )["Messages"][0]["Body"]
    )


def test_sent_again_it_becomes_a_batch_in_the_next_attempt(
    journey: Journey, stopped: tuple[Execution, tuple[str, str]]
):
    _, file = stopped
    move_back(journey)
    landing = journey.await_landed([file])[file]
    assert (landing["status"], landing["attempt"]) == ("accepted", 2)
    assert [one["status"] for one in journey.executions(MACHINE)] == ["SUCCEEDED", "FAILED", "SUCCEEDED"]


def test_a_second_engine_goes_through_the_same_states_to_the_same_end(
    journey: Journey, large: Large, stopped: tuple[Execution, tuple[str, str]]
):
    described = journey.client("stepfunctions").describe_state_machine(stateMachineArn=journey.deployment[MACHINE])
    for execution in (large.execution, stopped[0]):
        given = json.loads(execution.described["input"])
        assert replay(json.loads(described["definition"]), given, answers_of(execution.history)) == execution.run


def move_back(journey: Journey) -> None:
    """What StartMessageMoveTask does, which the fabric doesn't have."""
    sqs, dead = journey.client("sqs"), journey.deployment["BatchesDeadLetterQueueUrl"]
    for message in sqs.receive_message(QueueUrl=dead, MaxNumberOfMessages=10)["Messages"]:
        sqs.send_message(QueueUrl=journey.deployment["BatchesQueueUrl"], MessageBody=message["Body"])
        sqs.delete_message(QueueUrl=dead, ReceiptHandle=message["ReceiptHandle"])
