"""tear_down: nothing of the loop is left, CloudFormation always gets its answer, and others' things stay."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from functions import tear_down
from perennial.aws.endpoint import DEPLOYMENT_TAG
from tests.functions.sagemaker_fake import FakeEndpoint
from tests.functions.world import AUDIT, ENDPOINT, GROUP, LAKE, LANDING, World, load_event

BUCKETS = (LANDING, LAKE, AUDIT)
OURS = {DEPLOYMENT_TAG: "demo--dev"}
JOB_LOGS = ("/aws/sagemaker/TrainingJobs", "/aws/sagemaker/ProcessingJobs")


class Inbox:
    """CloudFormation's presigned address: keeps what is PUT there."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                assert not self.headers["Content-Type"]
                inbox.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Silent."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/response"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    inbox = Inbox()
    yield inbox
    inbox.server.shutdown()
    inbox.server.server_close()


def delete(world: World, inbox: Inbox, **changes: Any) -> Any:
    event = load_event("cloudformation_delete") | {"ResponseURL": inbox.url, **changes.pop("event", {})}
    return world.run(tear_down, event, **{"bucket_names": BUCKETS, "endpoint_name": ENDPOINT, **changes})


def buckets(world: World) -> set[str]:
    """Those of `BUCKETS` that are still there."""
    return {bucket["Name"] for bucket in world.clients.s3.list_buckets()["Buckets"]} & set(BUCKETS)


def fill(world: World) -> None:
    """Objects with versions, a delete marker, an unfinished upload and a locked ledger entry."""
    s3 = world.clients.s3
    for number in range(3):
        s3.put_object(Bucket=LANDING, Key="batches/same.csv", Body=str(number).encode())
    s3.delete_object(Bucket=LANDING, Key="batches/same.csv")
    s3.create_multipart_upload(Bucket=LANDING, Key="unfinished")
    s3.put_object_lock_configuration(
        Bucket=AUDIT,
        ObjectLockConfiguration={
            "ObjectLockEnabled": "Enabled",
            "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 30}},
        },
    )
    s3.put_object(Bucket=AUDIT, Key="ledger/000000000000.json", Body=b"{}")


def test_deleting_the_stack_leaves_nothing_of_the_loop(world: World, inbox: Inbox) -> None:
    fill(world)
    fake = world.sagemaker
    fake.endpoints[ENDPOINT] = FakeEndpoint("demo--dev--v1", {"blue": 1.0})
    fake.configs = {"demo--dev--v1": OURS, "demo--dev--v1-r": OURS}
    fake.models = {"demo--dev--v1": OURS}
    fake.packages = {f"arn:aws:sagemaker:us-east-1:123456789012:model-package/{GROUP}/1": {}}
    logs = world.clients.logs
    for group in JOB_LOGS:
        logs.create_log_group(logGroupName=group)
        for stream in ("demo--dev--a/algo-1", "demo--prod--a/algo-1"):
            logs.create_log_stream(logGroupName=group, logStreamName=stream)

    answer = delete(world, inbox)

    assert answer["status"] == "SUCCESS"
    assert (fake.endpoints, fake.configs, fake.models, fake.packages) == ({}, {}, {}, {})
    assert buckets(world) == set()
    for group in JOB_LOGS:
        streams = logs.describe_log_streams(logGroupName=group)["logStreams"]
        assert [stream["logStreamName"] for stream in streams] == ["demo--prod--a/algo-1"]
    [told] = inbox.got
    sent = load_event("cloudformation_delete")
    assert ("SUCCESS", sent["PhysicalResourceId"]) == (told["Status"], told["PhysicalResourceId"])
    assert (sent["StackId"], sent["RequestId"]) == (told["StackId"], told["RequestId"])


def late_object(world: World, bucket: str, key: str, *, times: int) -> list[str]:
    """Puts an object into `bucket` just before S3 is asked to delete it; gives the keys that were put."""
    come: list[str] = []

    def put(params: Any, **_: Any) -> None:
        if params["Bucket"] == bucket and len(come) < times:
            come.append(f"{key}-{len(come)}")
            world.clients.s3.put_object(Bucket=bucket, Key=come[-1], Body=b"late")

    world.clients.s3.meta.events.register_first("provide-client-params.s3.DeleteBucket", put)
    return come


def test_captures_and_access_logs_that_come_late_do_not_keep_a_bucket(world: World, inbox: Inbox) -> None:
    """S3 delivers access logs within hours, SageMaker captures within minutes: also while their bucket is emptied."""
    fill(world)
    captures = late_object(world, LAKE, "capture/late.jsonl", times=3)

    answer = delete(world, inbox)

    assert len(captures) == 3
    assert answer["status"] == "SUCCESS"
    assert buckets(world) == set()


def test_no_access_logs_are_written_any_more_before_the_first_bucket_is_emptied(world: World, inbox: Inbox) -> None:
    fill(world)
    calls: list[str] = []
    for operation in ("PutBucketLogging", "DeleteBucket", "DeleteObjects"):
        world.clients.s3.meta.events.register_first(
            f"before-call.s3.{operation}", lambda model, **_: calls.append(model.name)
        )

    delete(world, inbox)

    assert calls[: len(BUCKETS)] == ["PutBucketLogging"] * len(BUCKETS)
    assert "PutBucketLogging" not in calls[len(BUCKETS) :]


def test_an_endpoint_that_is_changing_is_waited_for(world: World, inbox: Inbox) -> None:
    """DeleteEndpoint of one that is Updating is a ValidationException."""
    fake = world.sagemaker
    fake.endpoints[ENDPOINT] = endpoint = FakeEndpoint("demo--dev--v1", {"blue": 1.0})
    statuses = ["Updating", "Updating", "InService"]

    def slowly(operation: str) -> None:
        if operation == "DescribeEndpoint" and statuses:
            endpoint.status = statuses.pop(0)

    fake.meanwhile = slowly

    assert delete(world, inbox, bucket_names=())["status"] == "SUCCESS"
    assert (statuses, fake.endpoints) == ([], {})


def test_runs_are_stopped_before_what_they_use_goes(world: World, inbox: Inbox) -> None:
    states = world.clients.stepfunctions
    wait = json.dumps({"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 9_999, "End": True}}})
    role = "arn:aws:iam::123456789012:role/states"
    machine = states.create_state_machine(name="learning", definition=wait, roleArn=role)["stateMachineArn"]
    started = states.start_execution(stateMachineArn=machine, name="run", input="{}")["executionArn"]

    answer = delete(world, inbox, state_machine_arn=machine)

    assert answer["status"] == "SUCCESS"
    assert states.describe_execution(executionArn=started)["status"] == "ABORTED"


def test_whatever_goes_wrong_the_stack_gets_its_answer(world: World, inbox: Inbox) -> None:
    """A stack without one hangs for an hour."""

    def broken(operation: str) -> None:
        raise KeyError("EndpointStatus")

    world.sagemaker.meanwhile = broken

    assert delete(world, inbox)["status"] == "FAILED"
    assert "KeyError" in inbox.got[0]["Reason"]


def test_deleted_twice_succeeds_twice(world: World, inbox: Inbox) -> None:
    fill(world)

    assert [delete(world, inbox)["status"] for _ in range(2)] == ["SUCCESS", "SUCCESS"]


@pytest.mark.parametrize("other", ["demo-2--dev", "demo--prod", "demo--dev-2"])
def test_another_loop_and_another_stage_keep_their_own(world: World, inbox: Inbox, other: str) -> None:
    theirs = {DEPLOYMENT_TAG: other}
    world.sagemaker.configs = {f"{other}--v1": theirs, "demo--dev--v1": OURS}
    world.sagemaker.models = {f"{other}--v1": theirs, "demo--dev--by-hand": {}, "demo--dev--v1": OURS}

    delete(world, inbox)

    assert {f"{other}--v1", "demo--dev--by-hand"} == set(world.sagemaker.models)
    assert {f"{other}--v1"} == set(world.sagemaker.configs)


@pytest.mark.parametrize("request_type", ["Create", "Update"])
def test_only_a_delete_removes_anything(world: World, inbox: Inbox, request_type: str) -> None:
    fill(world)
    before = world.objects(LAKE)

    delete(world, inbox, event={"RequestType": request_type})

    assert before == world.objects(LAKE)
    assert inbox.got[0]["Status"] == "SUCCESS"


def test_a_refusal_by_aws_is_told_as_a_failure(world: World, inbox: Inbox) -> None:
    def refuse(**_: Any) -> Any:
        class Http:
            status_code = 403

        return Http(), {"Error": {"Code": "AccessDenied", "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": 403}}

    world.clients.s3.meta.events.register_first("before-call.s3.ListObjectVersions", refuse)

    assert delete(world, inbox)["status"] == "FAILED"
    assert "AccessDenied" in inbox.got[0]["Reason"]


def test_an_aws_that_does_not_answer_is_told_as_a_failure_too(world: World, inbox: Inbox) -> None:
    def silent(**_: Any) -> Any:
        raise EndpointConnectionError(endpoint_url="https://s3.example")

    world.clients.s3.meta.events.register_first("before-call.s3.ListObjectVersions", silent)

    assert delete(world, inbox)["status"] == "FAILED"
    assert "s3.example" in inbox.got[0]["Reason"]


def test_when_time_runs_short_it_goes_on_in_another_invocation(world: World, inbox: Inbox) -> None:
    fill(world)
    invoked: list[dict[str, Any]] = []

    def collect(params: Any, **_: Any) -> Any:
        class Http:
            status_code = 202

        invoked.append(json.loads(params["body"]))
        return Http(), {"StatusCode": 202, "ResponseMetadata": {"HTTPStatusCode": 202}}

    world.clients.lambda_.meta.events.register_first("before-call.lambda.Invoke", collect)

    assert delete(world, inbox, budget_seconds=0)["status"] == "CONTINUED"
    assert inbox.got == []
    assert invoked[0]["continuation"] == 1
    assert world.run(tear_down, invoked[0], bucket_names=BUCKETS, endpoint_name=ENDPOINT)["status"] == "SUCCESS"
    assert len(inbox.got) == 1


def test_it_does_not_go_on_for_ever(world: World, inbox: Inbox) -> None:
    fill(world)

    answer = delete(world, inbox, budget_seconds=0, event={"continuation": tear_down.MAX_CONTINUATIONS})

    assert answer["status"] == "FAILED"
