"""
Endpoints of a running local cloud: they really serve.

Facts (2026-11-24): SageMaker API reference, CreateEndpoint, UpdateEndpoint, UpdateEndpointWeightsAndCapacities,
DescribeEndpoint, InvokeEndpoint; developer guide, "Data capture", "Shadow variants", "Metrics for monitoring Amazon
SageMaker AI with Amazon CloudWatch".
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.fidelity.serving import BUCKET, INFERENCE, Lab, running, variant
from tests.waiting import until

CALLS = 1000
SLOW = """
def input_fn(body, content_type):
    import time
    print("was entered", file=sys.stderr)
    time.sleep(4)
"""
CAPTURE = {
    "EnableCapture": True,
    "InitialSamplingPercentage": 100,
    "DestinationS3Uri": f"s3://{BUCKET}/capture",
    "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
    "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"], "JsonContentTypes": ["application/json"]},
}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with running(waits=60) as lab:
        for name in ("champion", "challenger", "sick"):
            lab.model(name, environment={"GREETING": f"from {name}"})
        yield lab


@pytest.fixture(scope="module")
def two(lab: Lab) -> str:
    """An endpoint whose traffic is split between a champion and a challenger."""
    config = lab.config("two", {"blue": ("champion", 0.7), "green": ("challenger", 0.3)}, DataCaptureConfig=CAPTURE)
    return lab.endpoint("two", config)


def weigh(lab: Lab, endpoint: str, **weights: float) -> dict[str, Any]:
    changes = [{"VariantName": slot, "DesiredWeight": weight} for slot, weight in weights.items()]
    lab.sagemaker.update_endpoint_weights_and_capacities(EndpointName=endpoint, DesiredWeightsAndCapacities=changes)
    return lab.settled(endpoint)


def weights_of(described: dict[str, Any]) -> dict[str, tuple[float, float]]:
    return {v["VariantName"]: (v["CurrentWeight"], v["DesiredWeight"]) for v in described["ProductionVariants"]}


def metric(lab: Lab, endpoint: str, slot: str, name: str, stat: str = "Sum") -> float | None:
    now = datetime.now(UTC)
    found = lab.cloudwatch.get_metric_data(
        MetricDataQueries=[{"Id": "m", "MetricStat": {"Metric": {
            "Namespace": "AWS/SageMaker", "MetricName": name,
            "Dimensions": [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": slot}],
        }, "Period": 3600, "Stat": stat}}],
        StartTime=now - timedelta(minutes=30), EndTime=now + timedelta(seconds=1),
    )["MetricDataResults"][0]["Values"]  # fmt: skip
    return found[0] if found else None


def test_an_endpoint_serves_its_model_with_the_models_environment(lab: Lab, two: str) -> None:
    """moto 5.2.5 answers `body`, even for an endpoint that does not exist."""
    answer = lab.ask(two, TargetVariant="blue")
    assert answer["said"] == {"model": "champion", "body": "hello", "greeting": "from champion"}
    assert answer["InvokedProductionVariant"] == "blue"
    assert answer["ContentType"] == "application/json"


def test_traffic_is_split_by_weight_over_a_thousand_calls(lab: Lab, two: str) -> None:
    """The share of a variant is its weight divided by the sum of the weights (API reference, ProductionVariant)."""
    weigh(lab, two, blue=3, green=1)
    with ThreadPoolExecutor(4) as pool:
        slots = Counter(pool.map(lambda _: lab.ask(two)["InvokedProductionVariant"], range(CALLS)))
    share, deviation = slots["green"] / CALLS, math.sqrt(0.25 * 0.75 / CALLS)
    assert abs(share - 0.25) < 3 * deviation
    assert sum(slots.values()) == CALLS


def test_a_target_variant_is_obeyed_even_at_weight_zero(lab: Lab, two: str) -> None:
    """InvokeEndpoint, TargetVariant: overrides the weights. moto 5.2.5 drops a weight of 0."""
    described = weigh(lab, two, blue=1, green=0)
    assert weights_of(described) == {"blue": (1, 1), "green": (0, 0)}
    assert {lab.ask(two)["InvokedProductionVariant"] for _ in range(30)} == {"blue"}
    assert lab.ask(two, TargetVariant="green")["said"]["model"] == "challenger"
    with pytest.raises(ClientError, match="Variant grey not found"):
        lab.ask(two, TargetVariant="grey")


def test_weights_move_while_updating_and_no_other_change_is_taken_meanwhile(lab: Lab, two: str) -> None:
    """
    UpdateEndpointWeightsAndCapacities: Updating, then InService; while Updating every change is a ValidationException
    "Cannot update in-progress endpoint".
    """
    changes = [{"VariantName": "green", "DesiredWeight": 0.5}]
    lab.sagemaker.update_endpoint_weights_and_capacities(EndpointName=two, DesiredWeightsAndCapacities=changes)
    described = lab.sagemaker.describe_endpoint(EndpointName=two)
    assert described["EndpointStatus"] == "Updating"
    assert weights_of(described)["green"] == (0, 0.5)
    for change in (
        lambda: lab.sagemaker.update_endpoint(EndpointName=two, EndpointConfigName="two"),
        lambda: lab.sagemaker.delete_endpoint(EndpointName=two),
        lambda: weigh(lab, two, blue=1),
    ):
        with pytest.raises(ClientError, match=r"ValidationException.*Cannot update in-progress endpoint"):
            change()
    assert weights_of(lab.settled(two))["green"] == (0.5, 0.5)
    with pytest.raises(ClientError, match="Could not find variant"):
        weigh(lab, two, grey=1)


def test_what_does_not_exist_is_a_validation_error(lab: Lab) -> None:
    """DescribeEndpoint answers ValidationException, not ResourceNotFound; the runtime answers ValidationError."""
    with pytest.raises(ClientError, match=r'ValidationException.*Could not find endpoint "arn:aws:sagemaker'):
        lab.sagemaker.describe_endpoint(EndpointName="nobody")
    with pytest.raises(ClientError, match=r"ValidationError.*Endpoint nobody of account .* not found"):
        lab.ask("nobody")
    with pytest.raises(ClientError, match="Could not find endpoint configuration"):
        lab.sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="nobody")
    with pytest.raises(ClientError, match="Could not find model"):
        lab.config("bad", {"blue": ("nobody", 1)})
    with pytest.raises(ClientError, match="Cannot create already existing endpoint"):
        lab.sagemaker.create_endpoint(EndpointName="two", EndpointConfigName="two")


def test_an_inference_id_has_at_most_64_characters(lab: Lab, two: str) -> None:
    """API reference, InvokeEndpoint, InferenceId."""
    assert lab.ask(two, InferenceId="i" * 64)
    with pytest.raises(ClientError, match="inferenceId"):
        lab.ask(two, InferenceId="i" * 65)


def test_a_failing_model_is_a_model_error_with_its_own_words(lab: Lab, two: str) -> None:
    """ModelError, HTTP 424, OriginalStatusCode and OriginalMessage (API reference, InvokeEndpoint, Errors)."""
    before = metric(lab, two, "blue", "Invocation5XXErrors") or 0
    with pytest.raises(ClientError) as caught:
        lab.ask(two, "fail", TargetVariant="blue")
    response: Any = caught.value.response
    assert (response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]) == ("ModelError", 424)
    assert (response["OriginalStatusCode"], response["OriginalMessage"]) == (500, "ValueError: the model says no")
    assert 'Received server error (500) from blue with message "ValueError' in response["Error"]["Message"]
    assert metric(lab, two, "blue", "Invocation5XXErrors") == before + 1


def test_a_model_may_refuse_with_a_status_of_its_own(lab: Lab, two: str) -> None:
    """The image hands a werkzeug Response of output_fn on as it is (sagemaker-containers, Transformer.transform)."""
    before = metric(lab, two, "blue", "Invocation4XXErrors") or 0
    with pytest.raises(ClientError, match=r'client error \(400\) from blue with message "not such a row"'):
        lab.ask(two, "refuse", TargetVariant="blue")
    assert metric(lab, two, "blue", "Invocation4XXErrors") == before + 1


def test_each_variant_has_its_own_metrics_and_latency_is_in_microseconds(lab: Lab) -> None:
    """Dimensions EndpointName and VariantName; ModelLatency and OverheadLatency in microseconds."""
    name = lab.endpoint("measured", lab.config("measured", {"blue": ("champion", 1), "green": ("challenger", 0)}))
    for _ in range(10):
        lab.ask(name)
    lab.ask(name, TargetVariant="green")
    assert (metric(lab, name, "blue", "Invocations"), metric(lab, name, "green", "Invocations")) == (10, 1)
    assert metric(lab, name, "blue", "Invocation5XXErrors") == 0
    assert metric(lab, name, "blue", "Invocation4XXErrors", "SampleCount") == 10
    latency = metric(lab, name, "blue", "ModelLatency", "p50")
    assert latency is not None
    assert 50 < latency < 2_000_000
    units = lab.cloudwatch.get_metric_statistics(
        Namespace="AWS/SageMaker", MetricName="ModelLatency", Statistics=["Maximum"], Period=3600,
        StartTime=datetime.now(UTC) - timedelta(hours=1), EndTime=datetime.now(UTC) + timedelta(seconds=1),
        Dimensions=[{"Name": "EndpointName", "Value": name}, {"Name": "VariantName", "Value": "blue"}],
    )["Datapoints"]  # fmt: skip
    assert [point["Unit"] for point in units] == ["Microseconds"]


def captured(lab: Lab, endpoint: str, slot: str) -> list[dict[str, Any]]:
    keys = lab.keys(f"capture/{endpoint}/{slot}/")
    return [json.loads(text) for key in keys for text in lab.get(key).decode().splitlines()]


def test_requests_and_answers_are_captured_where_and_as_aws_does(lab: Lab) -> None:
    """Path {prefix}/{endpoint}/{variant}/yyyy/mm/dd/hh/*.jsonl, one JSON document a line."""
    config = lab.config("captured", {"blue": ("champion", 1)}, DataCaptureConfig=CAPTURE)
    name = lab.endpoint("captured", config)
    began = datetime.now(UTC)
    for index in range(3):
        lab.ask(name, f"{index},x", ContentType="text/csv", InferenceId=f"ride-{index}")
    until(lambda: len(captured(lab, name, "blue")) == 3)
    lines = {line["eventMetadata"]["inferenceId"]: line for line in captured(lab, name, "blue")}
    assert sorted(lines) == ["ride-0", "ride-1", "ride-2"]
    assert lines["ride-1"]["captureData"]["endpointInput"] == {
        "observedContentType": "text/csv", "mode": "INPUT", "data": "1,x", "encoding": "CSV",
    }  # fmt: skip
    output = lines["ride-1"]["captureData"]["endpointOutput"]
    assert (output["mode"], output["encoding"]) == ("OUTPUT", "JSON")
    assert json.loads(output["data"])["body"] == "1,x"
    assert len(lab.keys("capture/captured/")) < 3, "not an object for every request"
    hours = {key.rpartition("/")[0] for key in lab.keys("capture/captured/")}
    assert hours <= {f"capture/captured/blue/{at:%Y/%m/%d/%H}" for at in (began, datetime.now(UTC))}


def test_a_shadow_gets_copies_that_no_caller_sees(lab: Lab) -> None:
    """ShadowProductionVariants: exactly one of each kind; callers get production's answer. moto 5.2.5 drops them."""
    shadow = [variant("shadow", "challenger", 1)]
    with pytest.raises(ClientError, match="exactly one production variant"):
        lab.config("crowd", {"blue": ("champion", 1), "green": ("champion", 1)}, ShadowProductionVariants=shadow)
    config = lab.config(
        "shadowed", {"blue": ("champion", 1)}, ShadowProductionVariants=shadow, DataCaptureConfig=CAPTURE
    )
    name = lab.endpoint("shadowed", config)
    assert {lab.ask(name)["said"]["model"] for _ in range(5)} == {"champion"}
    until(lambda: len(captured(lab, name, "shadow")) == 5)
    said = {
        json.loads(line["captureData"]["endpointOutput"]["data"])["model"] for line in captured(lab, name, "shadow")
    }
    assert said == {"challenger"}
    assert metric(lab, name, "shadow", "Invocations") == 5
    (shown,) = lab.sagemaker.describe_endpoint(EndpointName=name)["ShadowProductionVariants"]
    assert shown["VariantName"] == "shadow"


def test_an_update_whose_variant_is_sick_rolls_back_and_serves_throughout(lab: Lab) -> None:
    """Status RollingBack, then InService with the old configuration and a FailureReason: InService is not success."""
    first = lab.config("sound", {"blue": ("champion", 1)})
    name = lab.endpoint("rolled-back", first)
    lab.config("ill", {"blue": ("champion", 0.9), "green": ("sick", 0.1)})
    lab.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName="ill")
    seen = {"Updating"}
    described = lab.sagemaker.describe_endpoint(EndpointName=name)
    assert described["PendingDeploymentSummary"]["EndpointConfigName"] == "ill"
    while described["EndpointStatus"] != "InService":
        assert lab.ask(name)["said"]["model"] == "champion"
        described = lab.sagemaker.describe_endpoint(EndpointName=name)
        seen.add(described["EndpointStatus"])
    assert seen == {"Updating", "RollingBack", "InService"}
    assert described["EndpointConfigName"] == "sound"
    assert "variant green did not pass the ping health check" in described["FailureReason"]
    assert list(weights_of(described)) == ["blue"]

    lab.config("well", {"blue": ("champion", 0.9), "green": ("challenger", 0.1)})
    lab.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName="well")
    described = lab.settled(name)
    assert "FailureReason" not in described
    assert weights_of(described) == {"blue": (0.9, 0.9), "green": (0.1, 0.1)}


def test_an_endpoint_that_never_was_healthy_is_failed(lab: Lab) -> None:
    lab.config("only-sick", {"blue": ("sick", 1)})
    lab.sagemaker.create_endpoint(EndpointName="stillborn", EndpointConfigName="only-sick")
    described = lab.settled("stillborn")
    assert described["EndpointStatus"] == "Failed"
    assert "did not pass the ping health check" in described["FailureReason"]
    group = "/aws/sagemaker/Endpoints/stillborn"
    until(lambda: any("this model can't be loaded" in e["message"] for e in
                      lab.logs.filter_log_events(logGroupName=group)["events"]))  # fmt: skip
    lab.sagemaker.delete_endpoint(EndpointName="stillborn")


def test_a_change_of_variants_loses_no_request_that_is_under_way(lab: Lab) -> None:
    """API reference, UpdateEndpoint: traffic shifts, then the old instances go, "there is no availability loss"."""
    lab.model("slow", code=INFERENCE.replace("def input_fn(body, content_type):", SLOW))
    name = lab.endpoint("drained", lab.config("drained", {"blue": ("slow", 1)}))
    lab.config("drained-2", {"blue": ("champion", 1)})
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lab.ask, name)
        until(lambda: "was entered" in printed(lab, name))
        lab.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName="drained-2")
        until(lambda: lab.ask(name)["said"]["model"] == "champion")
        assert waiting.result()["said"]["model"] == "slow"


def printed(lab: Lab, endpoint: str) -> str:
    try:
        events = lab.logs.filter_log_events(logGroupName=f"/aws/sagemaker/Endpoints/{endpoint}")["events"]
    except ClientError:
        return ""
    return "\n".join(event["message"] for event in events)


def test_an_update_resets_weights_unless_told_to_retain_them(lab: Lab) -> None:
    """UpdateEndpoint, RetainAllVariantProperties."""
    both = {"blue": ("champion", 1.0), "green": ("challenger", 1.0)}
    name = lab.endpoint("retained", lab.config("retained-1", both))
    weigh(lab, name, blue=0.2)
    lab.config("retained-2", both)
    for retain, expected in ((True, 0.2), (False, 1.0)):
        lab.sagemaker.update_endpoint(
            EndpointName=name, EndpointConfigName="retained-2", RetainAllVariantProperties=retain
        )
        assert weights_of(lab.settled(name))["blue"] == (expected, expected)


def processes_of(lab: Lab, endpoint: str) -> list[int]:
    """Process ids of the variants of an endpoint."""
    listed = subprocess.run(["ps", "-ewwo", "pid=,args="], capture_output=True, text=True, check=True).stdout
    part = str(Path(lab.server.state_dir) / "sagemaker" / "endpoint" / endpoint)
    return [int(row.split()[0]) for row in listed.splitlines() if part in row and "serve.py" in row]


def test_a_crashed_container_is_counted_and_comes_back(lab: Lab) -> None:
    """Invocation5XXErrors while it is away; hosting restarts a container that ends."""
    name = lab.endpoint("fragile", lab.config("fragile", {"blue": ("champion", 1)}))
    (before,) = processes_of(lab, name)
    with pytest.raises(ClientError, match="ServiceUnavailable"):
        lab.ask(name, "crash")

    def answers() -> bool:
        try:
            return bool(lab.ask(name)["said"])
        except ClientError:
            return False

    until(answers)
    (after,) = processes_of(lab, name)
    assert after != before
    assert (metric(lab, name, "blue", "Invocation5XXErrors") or 0) >= 1
    os.kill(after, signal.SIGKILL)
    until(lambda: processes_of(lab, name) not in ([after], []))
    until(answers)


def test_what_is_served_is_named_by_digest_and_an_endpoints_steps_are_events(lab: Lab) -> None:
    """DeployedImages.ResolvedImage (API reference, DescribeEndpoint); "SageMaker Endpoint State Change"."""
    wanted = {"detail-type": ["SageMaker Endpoint State Change"], "detail": {"EndpointName": ["told"]}}
    events = lab.queue_for_events("endpoint-events", wanted)
    name = lab.endpoint("told", lab.config("told", {"blue": ("champion", 1)}))
    (shown,) = lab.sagemaker.describe_endpoint(EndpointName=name)["ProductionVariants"]
    assert "@sha256:" in shown["DeployedImages"][0]["ResolvedImage"]
    until(lambda: len(events()) >= 2)
    assert {event["detail"]["EndpointStatus"] for event in events()} == {"CREATING", "IN_SERVICE"}


def test_a_deleted_endpoint_leaves_no_process_and_no_name(lab: Lab) -> None:
    name = lab.endpoint("gone", lab.config("gone", {"blue": ("champion", 1)}))
    assert processes_of(lab, name)
    lab.sagemaker.delete_endpoint(EndpointName=name)

    def missing() -> bool:
        try:
            lab.sagemaker.describe_endpoint(EndpointName=name)
        except ClientError as error:
            return "Could not find endpoint" in str(error)
        return False

    until(missing)
    assert processes_of(lab, name) == []
    assert name not in [e["EndpointName"] for e in lab.sagemaker.list_endpoints(MaxResults=100)["Endpoints"]]


def test_a_call_needs_the_callers_permission(lab: Lab, two: str) -> None:
    """InvokeEndpoint on the endpoint, UpdateEndpoint on its configuration too (service authorization reference)."""
    lab.iam.create_user(UserName="caller")
    keys = lab.iam.create_access_key(UserName="caller")["AccessKey"]
    signed = {"access_key": keys["AccessKeyId"], "secret_key": keys["SecretAccessKey"]}
    runtime = lab.client("sagemaker-runtime", **signed)
    with pytest.raises(ClientError, match="AccessDenied"):
        runtime.invoke_endpoint(EndpointName=two, Body=b"x")
    mine = f"arn:aws:sagemaker:us-east-1:{lab.account}:endpoint/two"
    statements = [
        {"Effect": "Allow", "Action": ["sagemaker:InvokeEndpoint", "sagemaker:UpdateEndpoint"], "Resource": mine}
    ]
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    lab.iam.put_user_policy(UserName="caller", PolicyName="two", PolicyDocument=document)
    assert runtime.invoke_endpoint(EndpointName=two, Body=b"x", ContentType="text/plain")["Body"].read()
    with pytest.raises(ClientError, match="AccessDenied"):
        runtime.invoke_endpoint(EndpointName="measured", Body=b"x")
    with pytest.raises(ClientError, match=r"AccessDenied.*endpoint-config/two"):
        lab.client("sagemaker", **signed).update_endpoint(EndpointName=two, EndpointConfigName="two")


def test_an_instance_type_that_a_new_account_may_not_serve_is_refused(lab: Lab) -> None:
    """API reference, CreateEndpoint and UpdateEndpoint, errors: ResourceLimitExceeded, HTTP 400 (2026-11)."""
    lab.model("accelerated")
    accelerated = variant("blue", "accelerated", 1) | {"InstanceType": "ml.p4d.24xlarge"}
    lab.sagemaker.create_endpoint_config(EndpointConfigName="accelerated", ProductionVariants=[accelerated])
    limit = "limit 'ml.p4d.24xlarge for endpoint usage' is 0 Instances"
    with pytest.raises(lab.sagemaker.exceptions.ResourceLimitExceeded, match=limit):
        lab.sagemaker.create_endpoint(EndpointName="accelerated", EndpointConfigName="accelerated")
    lab.model("affordable")
    name = lab.endpoint("affordable", lab.config("affordable", {"blue": ("affordable", 1)}))
    with pytest.raises(lab.sagemaker.exceptions.ResourceLimitExceeded, match=limit):
        lab.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName="accelerated")
    assert lab.ask(name)["said"]["model"] == "affordable"
    described = lab.sagemaker.describe_endpoint(EndpointName=name)
    assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("InService", "affordable")


def test_an_endpoint_has_a_status_from_the_moment_it_can_be_described(lab: Lab) -> None:
    """DescribeEndpoint: EndpointStatus is always there."""
    config = lab.config("seen-early", {"blue": ("champion", 1.0)})
    missing: list[dict[str, Any]] = []
    with ThreadPoolExecutor(4) as pool:
        for number in range(5):
            name = f"seen-early-{number}"

            def look(name: str = name) -> None:
                for _ in range(40):
                    try:
                        described = lab.sagemaker.describe_endpoint(EndpointName=name)
                    except ClientError:
                        continue
                    if "EndpointStatus" not in described:
                        missing.append(described)

            looks = [pool.submit(look) for _ in range(3)]
            lab.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
            for one in looks:
                one.result()
    assert missing == []
