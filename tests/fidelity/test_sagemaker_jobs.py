"""
Training and processing jobs of a running local cloud: they really run.

Facts (2026-11-24): SageMaker API reference, CreateTrainingJob, StopTrainingJob, DescribeTrainingJob,
CreateProcessingJob; developer guide, "How Amazon SageMaker AI runs your training image";
github.com/aws/sagemaker-training-toolkit.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.fidelity.serving import BUCKET, IMAGE, Lab, running, tar_gz, untar
from tests.waiting import until

TRAIN = """
import json, os, pathlib, signal, sys, time
how = dict(zip(sys.argv[1::2], sys.argv[2::2]))
data = pathlib.Path(os.environ["SM_CHANNEL_TRAIN"])
model = pathlib.Path(os.environ["SM_MODEL_DIR"])
print("auc=0.5;")
if how.get("--how") == "fail":
    pathlib.Path(os.environ["SM_OUTPUT_DIR"], "failure").write_text("the labels are all the same")
    sys.exit(7)
if how.get("--how") == "raise":
    raise ValueError("no such column")
if how.get("--how") == "wait":
    (model / "checkpoint").write_text("half")
    signal.signal(signal.SIGTERM, lambda *_: (print("asked to stop"), sys.exit(0)))
    time.sleep(600)
(model / "seen.json").write_text(json.dumps({
    "files": {str(p.relative_to(data)): p.read_text() for p in sorted(data.rglob("*")) if p.is_file()},
    "arguments": how, "environment": dict(os.environ), "cwd": os.getcwd(),
}))
pathlib.Path(os.environ["SM_OUTPUT_DATA_DIR"], "curve.json").write_text("[1]")
print("auc=0.75;")
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with running(waits=60) as lab:
        assert lab.role
        lab.put("source/sourcedir.tar.gz", tar_gz({"train.py": TRAIN}))
        lab.put("data/day/a.csv", "1")
        lab.put("data/day/deep/b.csv", "2")
        lab.put("data/other.csv", "3")
        yield lab


def start(
    lab: Lab, name: str, *, hyperparameters: Mapping[str, str] | None = None, source: Mapping[str, str] | None = None,
    bundle: str = f"s3://{BUCKET}/source/sourcedir.tar.gz", runtime: int = 300, **rest: Any,
) -> None:  # fmt: skip
    channel = source or {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/data/day"}
    own = {"sagemaker_program": "train.py", "sagemaker_submit_directory": bundle, "sagemaker_region": "us-east-1"}
    lab.sagemaker.create_training_job(**{
        "TrainingJobName": name,
        "HyperParameters": own | dict(hyperparameters or {}),
        "AlgorithmSpecification": {
            "TrainingImage": IMAGE,
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": "auc", "Regex": "auc=([0-9.]+);"}],
        },
        "RoleArn": lab.role,
        "InputDataConfig": [{"ChannelName": "train", "DataSource": {"S3DataSource": channel}}],
        "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/jobs"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
        "StoppingCondition": {"MaxRuntimeInSeconds": runtime},
        **rest,
    })  # fmt: skip


def ended(lab: Lab, name: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        job: dict[str, Any] = lab.sagemaker.describe_training_job(TrainingJobName=name)
        return job if job["TrainingJobStatus"] in ("Completed", "Failed", "Stopped") else None

    return until(look)  # type: ignore[return-value]


def seen(lab: Lab, name: str) -> dict[str, Any]:
    """What the program of a completed job saw."""
    found: dict[str, Any] = json.loads(untar(lab.get(f"jobs/{name}/output/model.tar.gz"))["seen.json"])
    return found


def test_a_training_job_runs_its_program_under_the_contract_and_keeps_its_model(lab: Lab) -> None:
    """moto 5.2.5 answers Completed at once and runs nothing."""
    start(lab, "good", hyperparameters={"trees": "10", "c": '"x"'}, Environment={"GREETING": "hello"})
    job = ended(lab, "good")
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Completed", "Completed"), job
    steps = [step["Status"] for step in job["SecondaryStatusTransitions"]]
    assert steps == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert job["ModelArtifacts"]["S3ModelArtifacts"] == f"s3://{BUCKET}/jobs/good/output/model.tar.gz"
    assert [(m["MetricName"], m["Value"]) for m in job["FinalMetricDataList"]] == [("auc", 0.75)]
    assert job["BillableTimeInSeconds"] >= 1

    found = seen(lab, "good")
    assert found["files"] == {"a.csv": "1", "deep/b.csv": "2"}
    assert found["arguments"] == {"--trees": "10", "-c": "x"}
    assert found["environment"]["GREETING"] == "hello"
    assert list(untar(lab.get("jobs/good/output/output.tar.gz"))) == ["curve.json"]


def test_a_program_sees_the_contracts_variables_and_nothing_of_the_host(lab: Lab) -> None:
    """A container has no environment but its own, and its role's credentials, never those of whoever started it."""
    start(lab, "bare")
    ended(lab, "bare")
    environment = seen(lab, "bare")["environment"]
    allowed = ("SM_", "SAGEMAKER_", "TRAINING_JOB_", "AWS_", "PYTHON", "OMP_", "OPENBLAS_")
    others = {name for name in environment if not name.startswith(allowed)}
    assert others <= {"PATH", "HOME", "TMPDIR", "LANG", "LC_CTYPE"}
    assert environment["AWS_ACCESS_KEY_ID"].startswith("ASIA")
    assert environment["AWS_ENDPOINT_URL"] == lab.server.endpoint_url


def test_a_job_without_a_network_has_its_source_in_a_channel_and_no_credentials(lab: Lab) -> None:
    """mkt-algo-model-internet-free.html, 2026-12: no calls, not even to S3, and no credentials; SageMaker itself
    downloads channels and uploads the model. sagemaker-training's files.download_and_extract takes a local archive."""
    code = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/source/sourcedir.tar.gz"}
    data = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/data/day"}
    channels = [
        {"ChannelName": name, "DataSource": {"S3DataSource": source}}
        for name, source in (("code", code), ("train", data))
    ]
    inside = "/opt/ml/input/data/code/sourcedir.tar.gz"
    start(lab, "isolated", bundle=inside, InputDataConfig=channels, EnableNetworkIsolation=True)
    assert ended(lab, "isolated")["TrainingJobStatus"] == "Completed"
    found = seen(lab, "isolated")
    assert found["files"] == {"a.csv": "1", "deep/b.csv": "2"}
    assert [name for name in found["environment"] if name.startswith("AWS_")] == []

    start(lab, "unreachable", EnableNetworkIsolation=True)
    assert "can't be read without a network" in ended(lab, "unreachable")["FailureReason"]


def test_a_bundle_does_not_see_the_checkout_it_was_made_from(lab: Lab) -> None:
    """A container has the packages of its image, not the developer's source tree: what is forgotten is missing."""
    lab.put("source/forgetful.tar.gz", tar_gz({"train.py": "import localcloud"}))
    start(lab, "forgetful", bundle=f"s3://{BUCKET}/source/forgetful.tar.gz")
    assert "No module named 'localcloud'" in ended(lab, "forgetful")["FailureReason"]


def test_a_channel_may_be_a_manifest_and_addresses_may_be_https(lab: Lab) -> None:
    """API reference, S3DataSource: ManifestFile; CDK writes https://s3.<region>.amazonaws.com addresses."""
    lab.put("manifests/m.json", json.dumps([{"prefix": f"s3://{BUCKET}/data/"}, "other.csv", "day/a.csv"]))
    manifest = {"S3DataType": "ManifestFile", "S3Uri": f"https://s3.us-east-1.amazonaws.com/{BUCKET}/manifests/m.json"}
    start(
        lab, "listed", source=manifest,
        bundle=f"https://s3.us-east-1.amazonaws.com/{BUCKET}/source/sourcedir.tar.gz",
    )  # fmt: skip
    assert ended(lab, "listed")["TrainingJobStatus"] == "Completed"
    assert seen(lab, "listed")["files"] == {"other.csv": "3", "day/a.csv": "1"}


def test_the_name_of_a_job_is_taken_for_ever(lab: Lab) -> None:
    """ResourceInUse (API reference, CreateTrainingJob, Errors). moto 5.2.5 accepts the name again."""
    start(lab, "once", hyperparameters={"how": "raise"})
    for _ in range(2):
        with pytest.raises(lab.sagemaker.exceptions.ResourceInUse, match="must be unique within an AWS account"):
            start(lab, "once")
        ended(lab, "once")


def test_a_failure_file_is_the_reason(lab: Lab) -> None:
    """Developer guide: /opt/ml/output/failure becomes FailureReason, as AlgorithmError, with the exit code."""
    start(lab, "failing", hyperparameters={"how": "fail"})
    job = ended(lab, "failing")
    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Failed"
    assert job["FailureReason"] == "AlgorithmError: the labels are all the same, exit code: 7"
    assert "ModelArtifacts" not in job


def test_an_exception_is_the_reason_when_there_is_no_failure_file(lab: Lab) -> None:
    """The training toolkit writes ExecuteUserScriptError with the program's last words."""
    start(lab, "raising", hyperparameters={"how": "raise"})
    reason = ended(lab, "raising")["FailureReason"]
    assert reason.startswith("AlgorithmError: ExecuteUserScriptError:\nExitCode 1\nErrorMessage")
    assert "ValueError: no such column" in reason
    assert reason.endswith("exit code: 1")


def test_a_stopped_job_is_asked_first_and_keeps_what_it_has(lab: Lab) -> None:
    """StopTrainingJob: SIGTERM, then Stopped, and the model directory is kept. moto 5.2.5 has no stop_training_job."""
    start(lab, "stopped", hyperparameters={"how": "wait"})
    until(lambda: lab.sagemaker.describe_training_job(TrainingJobName="stopped")["SecondaryStatus"] == "Training")
    until(lambda: "auc=0.5;" in printed(lab, "stopped"))
    lab.sagemaker.stop_training_job(TrainingJobName="stopped")
    job = ended(lab, "stopped")
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert "checkpoint" in untar(lab.get("jobs/stopped/output/model.tar.gz"))
    until(lambda: "asked to stop" in printed(lab, "stopped"))
    with pytest.raises(ClientError, match="is in status Stopped"):
        lab.sagemaker.stop_training_job(TrainingJobName="stopped")


def test_a_job_that_takes_too_long_is_stopped(lab: Lab) -> None:
    """API reference, SecondaryStatus: MaxRuntimeExceeded, with TrainingJobStatus Stopped."""
    start(lab, "slow", hyperparameters={"how": "wait"}, runtime=2)
    job = ended(lab, "slow")
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")


def printed(lab: Lab, job: str, group: str = "/aws/sagemaker/TrainingJobs") -> str:
    try:
        found = lab.logs.filter_log_events(logGroupName=group, logStreamNamePrefix=f"{job}/")["events"]
    except ClientError:
        return ""
    return "\n".join(event["message"] for event in found)


def test_missing_data_and_missing_permissions_fail_the_job_in_words(lab: Lab) -> None:
    """ "No S3 objects found under S3 URL" (developer guide, troubleshooting); the role's permissions count."""
    start(lab, "no-data", source={"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/nowhere/"})
    assert "No S3 objects found under S3 URL" in ended(lab, "no-data")["FailureReason"]
    start(lab, "no-right", RoleArn=lab.make_role("powerless", ["logs:*"]))
    job = ended(lab, "no-right")
    assert "AccessDenied" in job["FailureReason"], job["FailureReason"]


def test_another_image_and_wrong_names_are_refused(lab: Lab) -> None:
    with pytest.raises(ClientError, match="sagemaker-scikit-learn"):
        start(lab, "image", AlgorithmSpecification={"TrainingImage": "xgboost", "TrainingInputMode": "File"})
    with pytest.raises(ClientError, match="regular expression pattern"):
        start(lab, "under_score")
    with pytest.raises(ClientError, match="MaxWaitTimeInSeconds"):
        start(lab, "spot", EnableManagedSpotTraining=True)
    with pytest.raises(ClientError, match="Requested resource not found"):
        lab.sagemaker.describe_training_job(TrainingJobName="nobody")


def test_each_step_of_a_job_is_an_event(lab: Lab) -> None:
    """ "SageMaker Training Job State Change" (developer guide, "Events that SageMaker sends to EventBridge")."""
    wanted = {"source": ["aws.sagemaker"], "detail": {"TrainingJobName": ["told"]}}
    events = lab.queue_for_events("training-events", wanted)
    start(lab, "told", Tags=[{"Key": "loop", "Value": "rides"}])
    ended(lab, "told")
    until(lambda: any(event["detail"]["TrainingJobStatus"] == "Completed" for event in events()))
    (last,) = [event for event in events() if event["detail"]["TrainingJobStatus"] == "Completed"]
    assert last["detail-type"] == "SageMaker Training Job State Change"
    assert last["detail"]["Tags"] == {"loop": "rides"}
    assert last["resources"] == [last["detail"]["TrainingJobArn"]]
    assert isinstance(last["detail"]["CreationTime"], int)


def test_requirements_are_installed_from_the_bundle_alone(lab: Lab) -> None:
    """The image installs requirements.txt with pip; without a package index the bundle must bring its wheels."""
    wheel = {
        "tiny/__init__.py": "WORD = 'vendored'\n",
        "tiny-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
        "tiny-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "tiny-1.0.dist-info/RECORD": "",
    }
    program = "import os, pathlib, tiny\npathlib.Path(os.environ['SM_MODEL_DIR'], 'word').write_text(tiny.WORD)\n"
    requirements = "--no-index\n--find-links wheels\ntiny\n"
    bundle = tar_gz_with_wheel({"train.py": program, "requirements.txt": requirements}, wheel)
    lab.put("source/vendored.tar.gz", bundle)
    start(lab, "vendored", bundle=f"s3://{BUCKET}/source/vendored.tar.gz")
    job = ended(lab, "vendored")
    assert job["TrainingJobStatus"] == "Completed", job
    assert untar(lab.get("jobs/vendored/output/model.tar.gz"))["word"] == b"vendored"


def tar_gz_with_wheel(files: Mapping[str, str], wheel: Mapping[str, str]) -> bytes:
    import io
    import tarfile
    import zipfile

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, text in wheel.items():
            archive.writestr(name, text)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        everything = {name: text.encode() for name, text in files.items()}
        for name, data in (everything | {"wheels/tiny-1.0-py3-none-any.whl": packed.getvalue()}).items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


PROCESS = """
import json, os, pathlib, sys
base = pathlib.Path(os.environ["SM_PROCESSING_BASE_DIR"])
out = pathlib.Path(sys.argv[sys.argv.index("--out") + 1])
(out / "sub").mkdir()
(out / "sub" / "evaluation.json").write_text(json.dumps({
    "input": (base / "input" / "data" / "a.csv").read_text(), "configured": os.environ["WHERE"], "out": str(out),
}))
pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"], "output", "message").write_text("rows: 1")
print("evaluated")
sys.exit(3 if "--fail" in sys.argv else 0)
"""


def process(lab: Lab, name: str, *arguments: str, **rest: Any) -> None:
    def given(name: str, key: str) -> dict[str, Any]:
        where = {"S3Uri": f"s3://{BUCKET}/{key}", "LocalPath": f"/opt/ml/processing/input/{name}"}
        return {"InputName": name, "S3Input": {**where, "S3DataType": "S3Prefix", "S3InputMode": "File"}}

    output = {"S3Uri": f"s3://{BUCKET}/evaluations/{name}", "LocalPath": "/opt/ml/processing/output"}
    lab.sagemaker.create_processing_job(**{
        "ProcessingJobName": name,
        "RoleArn": lab.role,
        "AppSpecification": {
            "ImageUri": IMAGE,
            "ContainerEntrypoint": ["python3", "/opt/ml/processing/input/code/evaluate.py"],
            "ContainerArguments": ["--out", "/opt/ml/processing/output", *arguments],
        },
        "Environment": {"WHERE": "/opt/ml/processing/input"},
        "ProcessingInputs": [given("code", "code/"), given("data", "data/day/")],
        "ProcessingOutputConfig": {
            "Outputs": [{"OutputName": "evaluation", "S3Output": {**output, "S3UploadMode": "EndOfJob"}}]
        },
        "ProcessingResources": {
            "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5}
        },
        **rest,
    })  # fmt: skip


def processed(lab: Lab, name: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        job: dict[str, Any] = lab.sagemaker.describe_processing_job(ProcessingJobName=name)
        return job if job["ProcessingJobStatus"] in ("Completed", "Failed", "Stopped") else None

    return until(look)  # type: ignore[return-value]


def test_a_processing_job_runs_on_its_inputs_and_leaves_its_outputs(lab: Lab) -> None:
    """API reference, CreateProcessingJob: LocalPath below /opt/ml/processing, S3UploadMode EndOfJob, ExitMessage."""
    lab.put("code/evaluate.py", PROCESS)
    process(lab, "evaluation")
    job = processed(lab, "evaluation")
    assert (job["ProcessingJobStatus"], job["ExitMessage"]) == ("Completed", "rows: 1"), job
    found = json.loads(lab.get("evaluations/evaluation/sub/evaluation.json"))
    assert found["input"] == "1"
    assert found["configured"].endswith("/ml/processing/input")
    assert not found["out"].startswith("/opt/ml")
    assert "evaluated" in printed(lab, "evaluation", "/aws/sagemaker/ProcessingJobs")
    with pytest.raises(lab.sagemaker.exceptions.ResourceInUse):
        process(lab, "evaluation")
    with pytest.raises(lab.sagemaker.exceptions.ResourceNotFound):
        lab.sagemaker.describe_processing_job(ProcessingJobName="nobody")


def test_a_failed_processing_job_says_its_exit_code(lab: Lab) -> None:
    """FailureReason, "AlgorithmError: ..., exit code: N"."""
    lab.put("code/evaluate.py", PROCESS)
    process(lab, "failing-evaluation", "--fail")
    job = processed(lab, "failing-evaluation")
    assert (job["ProcessingJobStatus"], job["FailureReason"]) == ("Failed", "AlgorithmError: rows: 1, exit code: 3")


def test_jobs_are_listed_by_name_and_status_page_by_page(lab: Lab) -> None:
    """ListTrainingJobs: NameContains, StatusEquals, SortBy, MaxResults, NextToken (API reference)."""
    names = [f"listing-{index}" for index in range(3)]
    for name in names:
        start(lab, name, hyperparameters={"how": "raise"})
    for name in names:
        ended(lab, name)
    asked = {"NameContains": "LISTING-", "StatusEquals": "Failed", "SortBy": "Name", "SortOrder": "Descending"}
    first = lab.sagemaker.list_training_jobs(MaxResults=2, **asked)
    second = lab.sagemaker.list_training_jobs(MaxResults=2, NextToken=first["NextToken"], **asked)
    listed = [job["TrainingJobName"] for page in (first, second) for job in page["TrainingJobSummaries"]]
    assert listed == names[::-1]
    assert "NextToken" not in second
