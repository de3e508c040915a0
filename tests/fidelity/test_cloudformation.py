"""CloudFormation, and the real CDK CLI on it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.cdk_cli import CLI, ROOT, cdk_environment, install_cdk, node_home
from localcloud.cloudformation.patience import held_back
from localcloud.server import Server
from tests.fidelity.cloud import ACCOUNT, REGION, SCALES, Cloud, fresh
from tests.waiting import until

APP = Path(__file__).parent / "cdk_app" / "app.py"


def deploy(cloud: Cloud, resources: dict[str, Any]) -> tuple[str, str, str]:
    """(name, status, reason of the first failure) of a new stack with these resources."""
    cloudformation = cloud.client("cloudformation")
    name = fresh("stack")
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps({"Resources": resources}))
    status = until(lambda: (found := _status(cloudformation, name)).endswith(("COMPLETE", "FAILED")) and found)
    events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    failures = [event["ResourceStatusReason"] for event in events if event["ResourceStatus"].endswith("_FAILED")]
    return name, status, failures[-1] if failures else ""


def _status(cloudformation: Any, name: str) -> str:
    return str(cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"])


def test_an_unknown_type_fails_the_stack(cloud: Cloud) -> None:
    """A resource that is silently not made is worse than an error."""
    with pytest.raises(ClientError, match=r"Unrecognized resource types: \[AWS::Made::Up\]"):
        deploy(cloud, {"Thing": {"Type": "AWS::Made::Up"}})


@pytest.mark.parametrize(
    ("asked", "states", "answered"),
    [
        (b"Action=DescribeStacks&StackName=a", ["CREATE_IN_PROGRESS", "CREATE_COMPLETE"], "CREATE_COMPLETE"),
        (b"Action=DescribeStacks&StackName=a", ["REVIEW_IN_PROGRESS", "CREATE_COMPLETE"], "REVIEW_IN_PROGRESS"),
        (b"Action=DescribeStacks", ["CREATE_IN_PROGRESS", "CREATE_COMPLETE"], "CREATE_IN_PROGRESS"),
        (b"Action=ListStacks", ["CREATE_IN_PROGRESS", "CREATE_COMPLETE"], "CREATE_IN_PROGRESS"),
    ],
)
def test_a_stack_in_progress_is_described_when_there_is_news(asked: bytes, states: list[str], answered: str) -> None:
    """AWS answers at once; the CDK CLI and boto3's waiters then sleep for longer than most stacks take here."""
    left = iter(states)

    async def answer(*_: Any) -> Any:
        return 200, {}, f"<StackStatus>{next(left)}</StackStatus>".encode()

    *_, text = asyncio.run(held_back(answer)("POST", "/", {}, asked, {}))
    assert text == f"<StackStatus>{answered}</StackStatus>".encode()


def test_a_bucket_property_that_nothing_sets_fails_the_stack(cloud: Cloud) -> None:
    _, status, reason = deploy(
        cloud, {"B": {"Type": "AWS::S3::Bucket", "Properties": {"ReplicationConfiguration": {}}}}
    )
    assert (status, "does not know the property ReplicationConfiguration" in reason) == ("ROLLBACK_COMPLETE", True)


def test_a_definition_that_could_not_run_fails_the_stack(cloud: Cloud) -> None:
    """AWS::StepFunctions::StateMachine, 2026-11; ministack 1.5.33 takes any definition."""
    properties = {"RoleArn": cloud.role(service="states"), "DefinitionString": '{"StartAt": "A", "States": {}}'}
    _, status, reason = deploy(cloud, {"M": {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}})
    assert (status, "Invalid State Machine Definition" in reason) == ("ROLLBACK_COMPLETE", True)


def test_a_bucket_with_objects_in_it_is_not_deleted(cloud: Cloud) -> None:
    """aws-resource-s3-bucket.html, 2026-11: "You can only delete empty buckets". ministack 1.5.33 deletes all."""
    name, status, _ = deploy(cloud, {"B": {"Type": "AWS::S3::Bucket"}})
    assert status == "CREATE_COMPLETE"
    cloudformation, s3 = cloud.client("cloudformation"), cloud.client("s3")
    bucket = cloudformation.describe_stack_resources(StackName=name)["StackResources"][0]["PhysicalResourceId"]
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    cloudformation.delete_stack(StackName=name)
    until(lambda: _status(cloudformation, name) == "DELETE_FAILED")
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == b"x"


class Cli:
    """The pinned CDK CLI, pointed at a local cloud of its own, and what it synthesized."""

    def __init__(self, cloud: Cloud, directory: Path) -> None:
        self.cloud = cloud
        self.directory = directory
        self.environment = cdk_environment() | cloud.server.environment()
        install_cdk()

    def synthesize(self, *contexts: dict[str, Any]) -> list[Path]:
        """One assembly a context, all by one process: starting jsii takes long."""
        assemblies = {str(self.directory / str(number)): context for number, context in enumerate(contexts)}
        command = [sys.executable, str(APP), json.dumps(assemblies)]
        subprocess.run(command, env=self.environment, check=True, capture_output=True)
        return [Path(name) for name in assemblies]

    def __call__(self, *arguments: str, app: Path | None = None) -> str:
        command = [str(node_home() / "bin/node"), str(ROOT / CLI), *arguments, *(["--app", str(app)] if app else [])]
        ran = subprocess.run(
            command, cwd=self.directory, env=self.environment, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout + ran.stderr


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    with Server(scales=SCALES) as server:
        yield Cli(Cloud(server), tmp_path_factory.mktemp("cdk"))


def _everything(cloud: Cloud) -> dict[str, set[str]]:
    """Names of all that a stack could have made."""

    def names(service: str, operation: str, member: str, key: str | None) -> set[str]:
        listed = getattr(cloud.client(service), operation)().get(member) or []
        return {str(item[key]) if key else str(item) for item in listed}

    kms = cloud.client("kms")
    keys = [kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"] for key in kms.list_keys()["Keys"]]
    budgets = cloud.client("budgets").describe_budgets(AccountId=ACCOUNT).get("Budgets", [])
    return {
        "buckets": names("s3", "list_buckets", "Buckets", "Name"),
        "tables": names("dynamodb", "list_tables", "TableNames", None),
        "queues": names("sqs", "list_queues", "QueueUrls", None),
        "topics": names("sns", "list_topics", "Topics", "TopicArn"),
        "functions": names("lambda", "list_functions", "Functions", "FunctionName"),
        "mappings": names("lambda", "list_event_source_mappings", "EventSourceMappings", "UUID"),
        "log groups": names("logs", "describe_log_groups", "logGroups", "logGroupName"),
        "roles": names("iam", "list_roles", "Roles", "RoleName"),
        "buses": names("events", "list_event_buses", "EventBuses", "Name"),
        "rules": names("events", "list_rules", "Rules", "Name"),
        "archives": names("events", "list_archives", "Archives", "ArchiveName"),
        "schedules": names("scheduler", "list_schedules", "Schedules", "Name"),
        "schedule groups": names("scheduler", "list_schedule_groups", "ScheduleGroups", "Name"),
        "machines": names("stepfunctions", "list_state_machines", "stateMachines", "name"),
        "alarms": names("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName"),
        "dashboards": names("cloudwatch", "list_dashboards", "DashboardEntries", "DashboardName"),
        "parameters": names("ssm", "describe_parameters", "Parameters", "Name"),
        "model groups": names(
            "sagemaker", "list_model_package_groups", "ModelPackageGroupSummaryList", "ModelPackageGroupName"
        ),
        "keys": {key["KeyId"] for key in keys if key["KeyState"] == "Enabled"},
        "budgets": {budget["BudgetName"] for budget in budgets},
    }


@pytest.mark.local_cloud
def test_the_cdk_cli_bootstraps_deploys_updates_and_destroys_and_leaves_nothing(cli: Cli) -> None:
    """aws-cdk 2.1148.1, unchanged templates. ministack 1.5.33 has no Archive, Budget, CompositeAlarm or
    ModelPackageGroup, and drops a bucket's encryption, lock and lifecycle and a table's recovery, key and lifetime."""
    cloud = cli.cloud
    cli("bootstrap", f"aws://{ACCOUNT}/{REGION}")
    before = _everything(cloud)
    first, second = cli.synthesize({}, {"greeting": "bonjour", "number": 50})
    cli("deploy", "--all", "--require-approval", "never", app=first)
    outputs = _outputs(cloud)
    _check_configuration(cloud, outputs)
    _check_that_it_works(cloud, outputs)
    assert "Number of stacks with differences: 0" in cli("diff", app=first)

    assert "bonjour" in cli("diff", app=second)
    cli("deploy", "--all", "--require-approval", "never", app=second)
    changed = _outputs(cloud)
    assert (outputs["Doubled"], changed["Doubled"]) == ("42", "100")
    assert changed["Landing"] == outputs["Landing"]
    function = cloud.client("lambda").get_function_configuration(FunctionName=changed["FunctionName"])
    assert function["Environment"]["Variables"]["GREETING"] == "bonjour"

    _empty(cloud, outputs["Landing"])
    cli("destroy", "--all", "--force", app=second)
    after = _everything(cloud)
    # What functions logged by themselves is nobody's resource, on AWS too.
    left = {kind: names - before[kind] for kind, names in after.items() if names - before[kind]}
    left["log groups"] = {name for name in left.get("log groups", set()) if not name.startswith("/aws/lambda/")}
    assert {kind: names for kind, names in left.items() if names} == {}


def _outputs(cloud: Cloud) -> dict[str, str]:
    stack = cloud.client("cloudformation").describe_stacks(StackName="FidelityApp")["Stacks"][0]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def _check_configuration(cloud: Cloud, outputs: dict[str, str]) -> None:
    s3, dynamodb = cloud.client("s3"), cloud.client("dynamodb")
    bucket, table = outputs["Landing"], outputs["TableName"]
    rule = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    lifecycle = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"][0]
    assert lifecycle["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}
    audit = next(name["Name"] for name in s3.list_buckets()["Buckets"] if "audit" in name["Name"])
    lock = s3.get_object_lock_configuration(Bucket=audit)["ObjectLockConfiguration"]
    assert lock["Rule"]["DefaultRetention"] == {"Mode": "GOVERNANCE", "Days": 1}
    described = dynamodb.describe_table(TableName=table)["Table"]
    assert described["SSEDescription"]["SSEType"] == "KMS"
    assert dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]["AttributeName"] == "expires_at"
    backups = dynamodb.describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
    assert backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"
    machine = cloud.client("stepfunctions").describe_state_machine(stateMachineArn=outputs["MachineArn"])
    assert machine["loggingConfiguration"]["level"] == "ALL"
    assert machine["tracingConfiguration"] == {"enabled": True}
    concurrency = cloud.client("lambda").get_function_concurrency(FunctionName=outputs["FunctionName"])
    assert concurrency["ReservedConcurrentExecutions"] == 5
    invoke = cloud.client("lambda").get_function_event_invoke_config(FunctionName=outputs["FunctionName"])
    assert (invoke["MaximumRetryAttempts"], invoke["MaximumEventAgeInSeconds"]) == (1, 3600)


def _check_that_it_works(cloud: Cloud, outputs: dict[str, str]) -> None:
    """A landed file becomes an item: bucket, event, encrypted queue, function with its role, encrypted table."""
    versions = {
        f"in/{number} ü.csv": cloud.client("s3").put_object(
            Bucket=outputs["Landing"], Key=f"in/{number} ü.csv", Body=b"x"
        )["VersionId"]
        for number in range(12)
    }
    scan: Callable[[], list[dict[str, Any]]] = lambda: cloud.client("dynamodb").scan(  # noqa: E731
        TableName=outputs["TableName"]
    )["Items"]
    until(lambda: len(scan()) == 12)
    assert {item["pk"]["S"]: item["version"]["S"] for item in scan()} == versions
    finished = cloud.finish(cloud.start(outputs["MachineArn"]))
    assert (finished.status, finished.output["Payload"]["echo"]) == ("SUCCEEDED", "hi")
    streams = cloud.client("logs").describe_log_groups(logGroupNamePrefix="/aws/")["logGroups"]
    assert any("MachineLog" in group["logGroupName"] for group in streams)


def _empty(cloud: Cloud, bucket: str) -> None:
    s3 = cloud.client("s3")
    for version in s3.list_object_versions(Bucket=bucket)["Versions"]:
        s3.delete_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])
