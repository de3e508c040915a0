"""AWS loses nothing when a machine of ours dies: the local cloud saves itself while it runs, whole or not at all."""

from __future__ import annotations

import itertools
import json
import logging
import os
import select
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from localcloud.server import Server
from localcloud.snapshots import Snapshots, recover
from tests.fidelity.cloud import SCALES, Cloud, allow
from tests.waiting import until

LOG = logging.getLogger("test")


def _snapshots(
    directory: Path, sources: Mapping[str, Callable[[], bytes | None]], seconds: float | None = 0.2, limit: int = 20
) -> Snapshots:
    return Snapshots(directory, lambda: sources, seconds=seconds, log=LOG, limit_seconds=limit)


def _saved(snapshots: Snapshots) -> bool:
    snapshots.look()
    return snapshots.saved


# --- the server ---


def test_what_a_killed_server_had_kept_is_there_again(tmp_path: Path) -> None:
    """Every service and every plug-in, an execution under way included, which goes on."""
    definition = {
        "StartAt": "Note",
        "States": {
            "Note": {"Type": "Pass", "Result": {"noted": True}, "Next": "Wait"},
            "Wait": {"Type": "Wait", "Seconds": 240, "End": True},
        },
    }
    with Server(state_dir=tmp_path, scales=SCALES, save_seconds=2) as server:
        first = Cloud(server)
        s3, table = first.client("s3"), first.client("dynamodb")
        s3.create_bucket(Bucket="kept")
        s3.put_bucket_versioning(Bucket="kept", VersioningConfiguration={"Status": "Enabled"})
        versions = [s3.put_object(Bucket="kept", Key="a", Body=body)["VersionId"] for body in (b"old", b"new")]
        table.create_table(
            TableName="kept",
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        table.put_item(TableName="kept", Item={"pk": {"S": "batch"}})
        queue, _ = first.queue()
        first.client("sqs").send_message(QueueUrl=queue, MessageBody="waiting")
        first.client("sagemaker").create_model_package_group(ModelPackageGroupName="kept")
        first.client("cloudwatch").put_composite_alarm(AlarmName="kept", AlarmRule="FALSE")
        function = first.function("def handler(event, context):\n    return event\n")
        execution = first.start(first.machine(definition))
        until(lambda: server.saved)
        server.kill()
    with Server(state_dir=tmp_path, scales=SCALES) as server:
        second = Cloud(server)
        bodies = [
            second.client("s3").get_object(Bucket="kept", Key="a", VersionId=one)["Body"].read() for one in versions
        ]
        assert bodies == [b"old", b"new"]
        assert second.client("dynamodb").scan(TableName="kept")["Items"] == [{"pk": {"S": "batch"}}]
        url = second.client("sqs").get_queue_url(QueueName=queue.rpartition("/")[2])["QueueUrl"]
        found = second.receive(url)
        assert found["Body"] == "waiting"
        groups = second.client("sagemaker").list_model_package_groups()["ModelPackageGroupSummaryList"]
        assert [one["ModelPackageGroupName"] for one in groups] == ["kept"]
        alarms = second.client("cloudwatch").describe_alarms(AlarmTypes=["CompositeAlarm"])["CompositeAlarms"]
        assert [one["AlarmName"] for one in alarms] == ["kept"]
        assert second.invoke(function, {"still": "here"}) == ({"still": "here"}, None)
        finished = second.finish(execution)
        assert (finished.status, finished.output) == ("SUCCEEDED", {"noted": True})
        assert finished.types.count("PassStateEntered") == 1


def test_it_saves_although_it_is_never_quiet_and_reading_is_no_change(tmp_path: Path) -> None:
    with Server(state_dir=tmp_path, scales=SCALES, save_seconds=1) as server:
        iam = Cloud(server).client("iam")
        kept = tmp_path / "ministack" / "iam.json"
        numbers = itertools.count(1)

        def kept_while_more_comes() -> bool:
            trust = {"Version": "2012-10-17", "Statement": [{**allow("sts:AssumeRole"), "Principal": "*"}]}
            iam.create_role(RoleName=f"role-{next(numbers)}", AssumeRolePolicyDocument=json.dumps(trust))
            return kept.exists() and "role-5" in kept.read_text()

        until(kept_while_more_comes, pause_seconds=0.1)
        s3 = Cloud(server).client("s3")
        # A later look may be under way. If reading were a change, nothing would ever be saved right after it.
        until(lambda: server.saved and s3.list_buckets()["Buckets"] == [] and server.saved)


# --- snapshots ---


def test_a_change_is_kept_once_it_is_quiet(tmp_path: Path) -> None:
    state = {"value": b"1"}
    snapshots = _snapshots(tmp_path, {"service/a.json": lambda: state["value"]}, seconds=30)
    snapshots.changed()
    snapshots.look()
    assert not snapshots.saved
    until(lambda: _saved(snapshots))
    assert (tmp_path / "service/a.json").read_bytes() == b"1"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["service"]


def test_a_snapshot_is_of_one_instant_though_changes_go_on_while_it_is_written(tmp_path: Path) -> None:
    state = {"a": b"before", "b": b"before"}

    def slowly() -> bytes:
        time.sleep(0.5)
        return state["a"]

    snapshots = _snapshots(tmp_path, {"a": slowly, "b": lambda: state["b"]})
    snapshots.changed()
    until(lambda: snapshots.look() or not snapshots._unsaved)
    state.update(a=b"after", b=b"after")
    until(lambda: _saved(snapshots))
    assert ((tmp_path / "a").read_bytes(), (tmp_path / "b").read_bytes()) == (b"before", b"before")


def test_a_change_during_a_snapshot_makes_another_one_due(tmp_path: Path) -> None:
    state = {"a": b"1"}

    def slowly() -> bytes:
        time.sleep(0.3)
        return state["a"]

    snapshots = _snapshots(tmp_path, {"a": slowly})
    snapshots.changed()
    until(lambda: snapshots.look() or not snapshots._unsaved)
    state["a"] = b"2"
    snapshots.changed()
    until(lambda: _saved(snapshots))
    assert (tmp_path / "a").read_bytes() == b"2"


def test_what_goes_on_after_a_request_is_kept_by_a_later_look(tmp_path: Path) -> None:
    state = {"a": b"1"}
    snapshots = _snapshots(tmp_path, {"a": lambda: state["a"]}, seconds=2.5)
    snapshots.changed()
    until(lambda: _saved(snapshots))
    state["a"] = b"2"
    until(lambda: _saved(snapshots) and (tmp_path / "a").read_bytes() == b"2")


def test_a_snapshot_that_hangs_is_given_up_and_the_kept_one_stays(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"kept")
    hang = {"seconds": 60.0}

    def slowly() -> bytes:
        time.sleep(hang["seconds"])
        return b"new"

    snapshots = _snapshots(tmp_path, {"a": slowly}, limit=1)
    snapshots.changed()
    until(lambda: snapshots.look() or snapshots._fork is not None)
    hang["seconds"] = 0.0
    until(lambda: snapshots.look() or snapshots._fork is None)
    assert ((tmp_path / "a").read_bytes(), snapshots.saved) == (b"kept", False)


def test_what_can_not_be_kept_keeps_nothing_else_from_being_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "broken").write_bytes(b"older")

    def breaks() -> bytes:
        raise TypeError("no JSON")

    _snapshots(tmp_path, {"broken": breaks, "silent": lambda: None, "whole": lambda: b"new"}).save()
    assert ((tmp_path / "broken").read_bytes(), (tmp_path / "whole").read_bytes()) == (b"older", b"new")
    assert not (tmp_path / "silent").exists()
    assert "broken can't be kept: TypeError: no JSON" in caplog.text


def test_a_server_that_saves_at_a_stop_only_saves_at_a_stop(tmp_path: Path) -> None:
    snapshots = _snapshots(tmp_path, {"a": lambda: b"1"}, seconds=None)
    snapshots.changed()
    snapshots._first_unsaved_at -= 3600
    snapshots._changed_at -= 3600
    snapshots.look()
    assert (snapshots.saved, list(tmp_path.iterdir())) == (False, [])
    snapshots.save()
    assert (snapshots.saved, (tmp_path / "a").read_bytes()) == (True, b"1")


# --- recovering ---


def test_a_whole_snapshot_takes_the_kept_ones_place_file_by_file_however_often_it_is_broken_off(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"old")
    (tmp_path / "snapshot" / "deep").mkdir(parents=True)
    # a was moved before the crash.
    (tmp_path / "a").write_bytes(b"new")
    (tmp_path / "snapshot" / "b").write_bytes(b"new")
    (tmp_path / "snapshot" / "deep" / "c").write_bytes(b"new")
    recover(tmp_path)
    recover(tmp_path)
    found = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {"a": b"new", "b": b"new", "deep/c": b"new"}
    assert not (tmp_path / "snapshot").exists()


def test_a_snapshot_that_is_not_whole_counts_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "snapshot.partial").mkdir()
    (tmp_path / "snapshot.partial" / "a").write_bytes(b"ha")
    recover(tmp_path)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"old")]


def test_a_fork_holds_nothing_of_the_server_s(tmp_path: Path) -> None:
    """Else its lock and its port would outlive it."""
    read, write = os.pipe()
    os.set_inheritable(write, True)

    go_on = tmp_path / "go-on"

    def slowly() -> bytes:
        while not go_on.exists():
            time.sleep(0.01)
        return b""

    snapshots = _snapshots(tmp_path / "state", {"a": slowly}, limit=3600)
    snapshots.changed()
    until(lambda: snapshots.look() or snapshots._fork is not None)
    os.close(write)
    # The pipe's other end closes while the fork still runs.
    until(lambda: select.select([read], [], [], 0)[0])
    assert os.read(read, 1) == b""
    assert snapshots._fork is not None
    os.close(read)
    go_on.touch()
    until(lambda: _saved(snapshots))
