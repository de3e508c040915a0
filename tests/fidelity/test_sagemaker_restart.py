"""
What a stop and a start of the local cloud leaves of SageMaker and CloudWatch.

AWS never stops; a laptop does. What was there is there again, and what can't go on says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.fidelity.serving import BUCKET, IMAGE, Lab, running, tar_gz
from tests.waiting import until

CAPTURE = {
    "EnableCapture": True,
    "InitialSamplingPercentage": 100,
    "DestinationS3Uri": f"s3://{BUCKET}/capture",
    "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
}
FOREVER = "import time\nprint('begun')\ntime.sleep(600)\n"


def fill(lab: Lab) -> None:
    """An endpoint with a captured request, a job that runs, an alarm in ALARM."""
    for model in ("champion", "challenger"):
        lab.model(model)
    both = {"blue": ("champion", 0.0), "green": ("challenger", 1.0)}
    lab.endpoint("kept", lab.config("kept", both, DataCaptureConfig=CAPTURE))
    lab.ask("kept", InferenceId="last")
    lab.put("sourcedir.tar.gz", tar_gz({"train.py": FOREVER}))
    own = {"sagemaker_program": "train.py", "sagemaker_submit_directory": f"s3://{BUCKET}/sourcedir.tar.gz"}
    lab.sagemaker.create_training_job(
        TrainingJobName="endless",
        HyperParameters=own,
        AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        RoleArn=lab.role,
        OutputDataConfig={"S3OutputPath": f"s3://{BUCKET}/jobs"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
        StoppingCondition={"MaxRuntimeInSeconds": 600},
    )
    until(lambda: lab.sagemaker.describe_training_job(TrainingJobName="endless")["SecondaryStatus"] == "Training")
    lab.cloudwatch.put_metric_data(Namespace="Test", MetricData=[{"MetricName": "Kept", "Values": [1.0, 3.0]}])
    lab.cloudwatch.put_metric_alarm(
        AlarmName="kept", Namespace="Test", MetricName="Kept", Statistic="Sum", Period=60, EvaluationPeriods=1,
        Threshold=1, ComparisonOperator="LessThanThreshold", TreatMissingData="ignore",
    )  # fmt: skip
    lab.cloudwatch.set_alarm_state(AlarmName="kept", StateValue="ALARM", StateReason="by hand")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A local cloud that was stopped and started."""
    state_dir: Path = tmp_path_factory.mktemp("state")
    with running(state_dir, waits=1) as lab:
        fill(lab)
    with running(state_dir, waits=1) as lab:
        yield lab


def test_an_endpoint_is_in_service_again_with_its_weights(lab: Lab) -> None:
    assert lab.sagemaker.describe_endpoint(EndpointName="kept")["EndpointStatus"] == "InService"
    assert lab.ask("kept")["said"]["model"] == "challenger"
    assert lab.ask("kept", TargetVariant="blue")["said"]["model"] == "champion"


def test_no_captured_line_was_lost(lab: Lab) -> None:
    lines = [json.loads(line) for key in lab.keys("capture/kept/green/") for line in lab.get(key).splitlines()]
    assert [line["eventMetadata"].get("inferenceId") for line in lines][:1] == ["last"]


def test_a_job_that_ran_has_failed_and_says_why(lab: Lab) -> None:
    job: dict[str, Any] = lab.sagemaker.describe_training_job(TrainingJobName="endless")
    assert job["TrainingJobStatus"] == "Failed"
    assert "the local cloud was stopped" in job["FailureReason"]


def test_alarms_keep_their_state_and_metrics_their_datapoints(lab: Lab) -> None:
    (alarm,) = lab.cloudwatch.describe_alarms(AlarmNames=["kept"])["MetricAlarms"]
    assert (alarm["StateValue"], alarm["Threshold"]) == ("ALARM", 1.0)
    now = datetime.now(UTC)
    (point,) = lab.cloudwatch.get_metric_statistics(
        Namespace="Test", MetricName="Kept", StartTime=now - timedelta(minutes=10), EndTime=now, Period=3600,
        Statistics=["Sum", "SampleCount"],
    )["Datapoints"]  # fmt: skip
    assert (point["Sum"], point["SampleCount"]) == (4.0, 2.0)
