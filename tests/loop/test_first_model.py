"""Labels land, and a model is trained, judged, registered and served: seen through AWS's own calls."""

from __future__ import annotations

import hashlib

import pytest

from tests.loop.conftest import Cycle, History
from tests.loop.journey import LOOP, Journey

pytestmark = pytest.mark.local_cloud


def test_labels_start_the_learning_machine_which_ends_with_a_champion(journey: Journey, first_model: Cycle):
    listed = journey.aws(
        "stepfunctions", "list-executions", "--state-machine-arn", journey.deployment["LearningMachineArn"]
    )["executions"]
    mine = next(one for one in listed if one["name"] == first_model.run_id)
    assert mine["status"] == "SUCCEEDED"
    history = journey.aws("stepfunctions", "get-execution-history", "--execution-arn", mine["executionArn"])["events"]
    assert history[0]["type"] == "ExecutionStarted"
    assert history[-1]["type"] == "ExecutionSucceeded"
    assert first_model.learning.run.states[:4] == ("FreezeDataset", "Train", "Evaluate", "Judge")
    assert "ConcludePromoted" in first_model.learning.run.states


def test_the_run_was_asked_for_by_the_labels_and_learnt_only_what_was_known_by_then(
    journey: Journey, first_model: Cycle
):
    run = journey.partition("runs")[first_model.run_id]
    assert (run["signal"], run["outcome"]) == ("new data", "promoted")
    assert run["reasons"][0].startswith("first model")
    uri = first_model.learning.output["dataset"]["version_uri"]
    version = journey.lake_json(uri.partition(journey.deployment["LakeBucket"] + "/")[2] + "version.json")
    assert max(batch["last_event_at"] for batch in version["train"] + version["holdout"]) <= version["as_of"]


def test_the_training_job_is_described_with_its_channels_and_its_artifact(journey: Journey, first_model: Cycle):
    name = first_model.learning.output["dataset"]["training_job_name"]
    job = journey.aws("sagemaker", "describe-training-job", "--training-job-name", name)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Completed", "Completed")
    assert {channel["ChannelName"] for channel in job["InputDataConfig"]} == {"code", "dataset", "version"}
    assert job["EnableNetworkIsolation"] is True
    bucket, _, key = job["ModelArtifacts"]["S3ModelArtifacts"].removeprefix("s3://").partition("/")
    artifact = journey.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    evaluated = journey.lake_json(f"reports/evaluations/{first_model.run_id}/evaluation.json")
    digest = hashlib.sha256(artifact).hexdigest()
    assert digest == evaluated["artifact_digest"]
    assert first_model.learning.output["model"]["model_data_url"] == f"s3://{bucket}/approved/{digest}/model.tar.gz"


def test_the_model_package_is_listed_as_approved(journey: Journey, first_model: Cycle):
    group = journey.deployment["ModelPackageGroupName"]
    listed = journey.aws("sagemaker", "list-model-packages", "--model-package-group-name", group)
    package = next(one for one in listed["ModelPackageSummaryList"] if one["ModelPackageVersion"] == 1)
    assert package["ModelApprovalStatus"] == "Approved"
    assert package["ModelPackageArn"] == first_model.learning.output["model"]["model_package_arn"]


def test_what_lands_before_there_is_a_model_starts_no_run(history: History, first_model: Cycle):
    assert len(history.batches) > 200
    assert first_model.learning.described["status"] == "SUCCEEDED"


def test_rules_and_tables_are_listed_by_the_aws_cli(journey: Journey, first_model: Cycle):
    rules = journey.aws("events", "list-rules", "--event-bus-name", journey.deployment["BusName"])["Rules"]
    assert rules and {rule["State"] for rule in rules} == {"ENABLED"}
    landing = journey.aws("events", "list-rules")["Rules"]
    assert any("Object Created" in rule.get("EventPattern", "") for rule in landing)
    found = journey.aws(
        "dynamodb", "scan", "--table-name", journey.deployment["CatalogTable"], "--filter-expression", "pk = :pk",
        "--expression-attribute-values", f'{{":pk": {{"S": "{LOOP}#runs"}}}}',
    )  # fmt: skip
    assert first_model.run_id in {item["sk"]["S"] for item in found["Items"]}


def test_functions_and_jobs_log_what_they_did(journey: Journey, first_model: Cycle):
    groups = [one["logGroupName"] for one in journey.aws("logs", "describe-log-groups")["logGroups"]]
    (deciding,) = [name for name in groups if "DecideRetraining" in name]
    events = journey.aws(
        "logs", "filter-log-events", "--log-group-name", deciding, "--filter-pattern", '"retraining requested"'
    )["events"]
    assert any(first_model.run_id in event["message"] for event in events)
    assert any(name.startswith("/aws/sagemaker/TrainingJobs") for name in groups)
