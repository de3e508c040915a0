"""Lambda: what a function sees, how it fails, and what AWS writes about it."""

from __future__ import annotations

import json
import os
import struct
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from localcloud.lambdas import architecture, bundle, embedded_metrics
from tests.fidelity.cloud import ACCOUNT, Cloud, allow, fresh, zipped
from tests.waiting import until


def test_an_errors_type_is_its_class(cloud: Cloud) -> None:
    """docs.aws.amazon.com/lambda/latest/dg/python-exceptions.html, 2026-11: errorType is the exception's class;
    ministack 1.5.33 says Runtime.HandlerError always."""
    name = cloud.function("class Boom(Exception): pass\ndef handler(event, context): raise Boom('no')")
    body, error = cloud.invoke(name)
    assert (body["errorType"], body["errorMessage"], error) == ("Boom", "no", "Unhandled")
    assert "raise Boom" in "".join(body["stackTrace"])


def test_a_module_that_cannot_be_imported_is_said_as_aws_says_it(cloud: Cloud) -> None:
    """docs.aws.amazon.com/lambda/latest/dg/troubleshooting-deployment.html, 2026-11: Runtime.ImportModuleError."""
    body, _ = cloud.invoke(cloud.function("import nothing_like_that"))
    assert body["errorType"] == "Runtime.ImportModuleError"
    assert body["errorMessage"] == "Unable to import module 'index': No module named 'nothing_like_that'"


def test_a_function_sees_its_bundle_and_the_sdk_and_nothing_else_that_is_installed_here(cloud: Cloud) -> None:
    """docs.aws.amazon.com/lambda/latest/dg/lambda-python.html, 2026-11: the runtime brings boto3. ministack runs
    functions with every package of its own interpreter, so that a missing dependency shows on AWS first."""
    code = """
import importlib.util
def handler(event, context):
    return {name: importlib.util.find_spec(name) is not None for name in ("boto3", "botocore", "pytest", "ministack")}
"""
    assert cloud.invoke(cloud.function(code))[0] == {
        "boto3": True, "botocore": True, "pytest": False, "ministack": False,
    }  # fmt: skip


def test_a_timeout_and_a_crash_have_awss_names_and_the_next_call_starts_anew(cloud: Cloud) -> None:
    """Sandbox.Timedout and Runtime.ExitError: docs.aws.amazon.com/lambda/latest/dg/troubleshooting-invocation.html."""
    code = """
import os, time
def handler(event, context):
    if event.get("sleep"): time.sleep(30)
    if event.get("exit"): os._exit(3)
    return os.getpid()
"""
    name = cloud.function(code, timeout=1)
    slow, _ = cloud.invoke(name, {"sleep": True})
    assert slow["errorType"] == "Sandbox.Timedout"
    assert slow["errorMessage"].endswith("Task timed out after 1.00 seconds")
    assert cloud.invoke(name, {"exit": True})[0]["errorType"] == "Runtime.ExitError"
    pid = cloud.invoke(name)[0]
    assert pid == cloud.invoke(name)[0]


def test_calls_at_the_same_time_run_in_workers_of_their_own(cloud: Cloud, tmp_path: Path) -> None:
    """Each waits for the other, so one worker for both would never answer."""
    code = """
import os, pathlib, time
def handler(event, context):
    folder = pathlib.Path(event["folder"])
    (folder / str(os.getpid())).touch()
    while len(list(folder.iterdir())) < 2:
        time.sleep(0.01)
    return os.getpid()
"""
    name = cloud.function(code, timeout=60)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: cloud.invoke(name, {"folder": str(tmp_path)}), range(2)))
    assert {error for _, error in answers} == {None}
    assert len({body for body, _ in answers}) == 2


def test_more_calls_than_cores_wait_for_a_warm_worker(cloud: Cloud) -> None:
    """Not as on AWS, where each has hardware of its own; docs/fidelity.md says so."""
    name = cloud.function("import os, time\ndef handler(event, context):\n    time.sleep(0.1)\n    return os.getpid()")
    at_once = max(2, os.cpu_count() or 1)
    with ThreadPoolExecutor(at_once + 4) as pool:
        pids = [body for body, _ in pool.map(lambda _: cloud.invoke(name), range(at_once + 4))]
    assert len(set(pids)) <= at_once


def test_reserved_concurrency_throttles(cloud: Cloud) -> None:
    """docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html, 2026-11: 429 TooManyRequestsException."""
    name = cloud.function("def handler(event, context): return 1")
    cloud.client("lambda").put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    with pytest.raises(ClientError) as refused:
        cloud.invoke(name)
    assert refused.value.response["Error"]["Code"] == "TooManyRequestsException"


def test_the_log_has_start_end_and_report_in_one_stream_a_worker(cloud: Cloud) -> None:
    """docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html, 2026-11; ministack 1.5.33 makes a stream
    an invocation."""
    name = cloud.function("def handler(event, context):\n    print('hello')\n    return context.log_stream_name")
    stream = cloud.invoke(name)[0]
    assert cloud.invoke(name)[0] == stream
    logs = cloud.client("logs")
    events = logs.get_log_events(logGroupName=f"/aws/lambda/{name}", logStreamName=stream)["events"]
    kinds = [event["message"].split(maxsplit=1)[0] for event in events]
    assert kinds == ["INIT_START", "START", "hello", "END", "REPORT", "START", "hello", "END", "REPORT"]


def test_metrics_in_the_log_become_metrics(cloud: Cloud) -> None:
    """The embedded metric format, as in embedded_metrics; ministack 1.5.33 has none."""
    namespace = fresh("Fidelity")
    document = {
        "_aws": {
            "Timestamp": int(time.time() * 1000),
            "CloudWatchMetrics": [
                {
                    "Namespace": namespace,
                    "Dimensions": [["loop"], ["loop", "slot"]],
                    "Metrics": [{"Name": "rows", "Unit": "Count"}],
                }
            ],
        },
        "loop": "a",
        "slot": "blue",
        "rows": [1, 2, 3],
    }
    cloud.invoke(cloud.function(f"def handler(event, context): print({json.dumps(document)!r})"))
    metrics = cloud.client("cloudwatch").list_metrics(Namespace=namespace)["Metrics"]
    assert sorted(len(metric["Dimensions"]) for metric in metrics) == [1, 2]
    now = time.time()
    found = cloud.client("cloudwatch").get_metric_statistics(
        Namespace=namespace, MetricName="rows", Dimensions=[{"Name": "loop", "Value": "a"}], Period=60,
        StartTime=now - 300, EndTime=now + 60, Statistics=["Sum", "SampleCount"], Unit="Count",
    )["Datapoints"]  # fmt: skip
    assert (sum(point["Sum"] for point in found), sum(point["SampleCount"] for point in found)) == (6.0, 3.0)


@pytest.mark.parametrize("line", ["hello", "{}", '{"_aws": {"CloudWatchMetrics": 1}}', '{"_aws": "CloudWatchMetrics"'])
def test_a_line_that_is_not_in_the_format_is_no_metric(line: str) -> None:
    assert list(embedded_metrics.read(line)) == []


def test_every_invocation_is_counted_whoever_invoked(cloud: Cloud) -> None:
    """docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html, 2026-11; ministack counts only Invoke."""
    name = cloud.function("def handler(event, context): raise ValueError(1)")
    cloud.client("lambda").put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0)
    cloud.client("lambda").invoke(FunctionName=name, InvocationType="Event", Payload=b"{}")
    cloud.invoke(name)

    def errors() -> float:
        now = time.time()
        points = cloud.client("cloudwatch").get_metric_statistics(
            Namespace="AWS/Lambda", MetricName="Errors", Dimensions=[{"Name": "FunctionName", "Value": name}],
            Period=60, StartTime=now - 300, EndTime=now + 60, Statistics=["Sum"],
        )["Datapoints"]  # fmt: skip
        return sum(point["Sum"] for point in points)

    until(lambda: errors() == 2)


def test_an_asynchronous_failure_is_retried_and_told_to_its_destination_and_dead_letter_queue(cloud: Cloud) -> None:
    """docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html, 2026-11. ministack 1.5.33 has no
    OnSuccess, and sends the destination's record to a dead-letter queue."""
    told, told_arn = cloud.queue()
    dead, dead_arn = cloud.queue()
    code = "def handler(event, context):\n    if event['fail']: raise KeyError('x')\n    return 'fine'"
    name = cloud.function(code, DeadLetterConfig={"TargetArn": dead_arn})
    destination = {"Destination": told_arn}
    cloud.client("lambda").put_function_event_invoke_config(
        FunctionName=name, MaximumRetryAttempts=1,
        DestinationConfig={"OnFailure": destination, "OnSuccess": destination},
    )  # fmt: skip
    for fail in (False, True):
        cloud.client("lambda").invoke(
            FunctionName=name, InvocationType="Event", Payload=json.dumps({"fail": fail}).encode()
        )
        record = json.loads(cloud.receive(told)["Body"])
        assert record["requestPayload"] == {"fail": fail}
        assert record["requestContext"]["condition"] == ("RetriesExhausted" if fail else "Success")
        assert record["requestContext"]["approximateInvokeCount"] == (2 if fail else 1)
    letter = cloud.receive(dead)
    assert json.loads(letter["Body"]) == {"fail": True}
    assert letter["MessageAttributes"]["ErrorMessage"]["StringValue"] == "'x'"


def test_a_queue_keeps_what_a_batch_reports_as_failed_and_gives_up_on_it_in_the_end(cloud: Cloud) -> None:
    """docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html, 2026-11: ReportBatchItemFailures."""
    dead, dead_arn = cloud.queue()
    redrive = json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": 2})
    url, arn = cloud.queue(VisibilityTimeout="1", RedrivePolicy=redrive)
    code = """
def handler(event, context):
    bad = [r["messageId"] for r in event["Records"] if r["body"] == "bad"]
    return {"batchItemFailures": [{"itemIdentifier": one} for one in bad]}
"""
    cloud.client("lambda").create_event_source_mapping(
        FunctionName=cloud.function(code), EventSourceArn=arn, BatchSize=10,
        FunctionResponseTypes=["ReportBatchItemFailures"],
    )  # fmt: skip
    sqs = cloud.client("sqs")
    entries = [{"Id": str(n), "MessageBody": "bad" if n == 3 else "good"} for n in range(6)]
    sqs.send_message_batch(QueueUrl=url, Entries=entries)
    letter = cloud.receive(dead)
    assert letter["Body"] == "bad"
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    left = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    assert set(left.values()) == {"0"}


def test_a_function_may_do_what_its_role_allows_and_no_more(cloud: Cloud) -> None:
    """docs.aws.amazon.com/lambda/latest/dg/lambda-intro-execution-role.html, 2026-11."""
    bucket = fresh("bucket")
    cloud.client("s3").create_bucket(Bucket=bucket)
    code = """
import boto3
def handler(event, context):
    boto3.client("s3").put_object(Bucket=event["bucket"], Key=event["key"], Body=b"x")
    return boto3.client("sts").get_caller_identity()["Arn"]
"""
    role = cloud.role(allow("s3:PutObject", resource=f"arn:aws:s3:::{bucket}/in/*"))
    name = cloud.function(code, role=role)
    who, error = cloud.invoke(name, {"bucket": bucket, "key": "in/a"})
    assert error is None
    assert who.startswith(f"arn:aws:sts::{ACCOUNT}:assumed-role/{role.rpartition('/')[2]}/")
    body, error = cloud.invoke(name, {"bucket": bucket, "key": "out/a"})
    assert (error, body["errorType"]) == ("Unhandled", "AccessDenied")


def test_another_python_than_the_hosts_is_refused(cloud: Cloud) -> None:
    """What runs here is this interpreter; a function for another version would be tested on the wrong one."""
    with pytest.raises(ClientError, match=r"its own interpreter, python3\.12\. Got python3\.9 instead"):
        cloud.client("lambda").create_function(
            FunctionName=fresh("old"), Runtime="python3.9", Role=cloud.role(), Handler="index.handler",
            Code={"ZipFile": zipped(index="")},
        )  # fmt: skip


def _foreign_library() -> str:
    """The head of a shared object for the architecture that this machine is not."""
    machine = 62 if architecture.host()[1] == "aarch64" else 183
    return (b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 3, machine) + bytes(100)).decode("latin-1")


def _bundle_with_foreign_numpy(numpy_version: str) -> bytes:
    info = f"numpy-{numpy_version}.dist-info"
    record = f"numpy/__init__.py,,\nnumpy/core.so,,\n{info}/METADATA,,\n"
    files = {
        "index": "import numpy\ndef handler(event, context): return [numpy.__version__, float(numpy.ones(3).sum())]",
        "numpy/__init__": "raise ImportError('foreign')",
        "numpy/core.so": _foreign_library(),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: numpy\nVersion: {numpy_version}\n",
        f"{info}/RECORD": record,
    }
    import io
    import zipfile

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            last = name.rpartition("/")[2]
            path = f"{name}.py" if "." not in last and last.islower() else name
            archive.writestr(path, text.encode("latin-1"))
    return buffer.getvalue()


def test_binaries_for_another_machine_are_replaced_by_this_interpreters_own(cloud: Cloud) -> None:
    """Bundles for arm64 hold aarch64 shared objects (docs.aws.amazon.com/lambda/latest/dg/foundation-arch.html)."""
    installed = version("numpy")
    body, error = cloud.invoke(cloud.function(_bundle_with_foreign_numpy(installed), timeout=30))
    assert (error, body) == (None, [installed, 3.0])


def test_binaries_that_this_interpreter_cannot_replace_are_refused_with_what_to_do(cloud: Cloud) -> None:
    body, error = cloud.invoke(cloud.function(_bundle_with_foreign_numpy("0.1.2")))
    assert error == "Unhandled"
    assert f"this interpreter must have numpy 0.1.2. Got {version('numpy')} instead" in body["errorMessage"]


def test_a_binary_of_this_machine_is_known_as_such(tmp_path: object) -> None:
    from pathlib import Path

    assert not architecture.is_foreign(Path(sys.executable).resolve())
    path = Path(str(tmp_path)) / "foreign.so"
    path.write_bytes(_foreign_library().encode("latin-1"))
    assert architecture.is_foreign(path)
    assert issubclass(bundle.UnusableBundle, RuntimeError)
