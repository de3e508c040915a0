"""An account with one deployed loop in moto, a clock that a test moves, and shells for its functions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache, cached_property
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import botocore.loaders
import botocore.session

from functions._shell import Shell
from perennial.aws.catalog import Catalog
from perennial.aws.clients import Clients
from perennial.aws.lake import Lake
from perennial.aws.live import LivePointer, LiveState
from perennial.events import Event, parse
from perennial.project import Loop
from tests.builders import NOW, make_loop
from tests.functions.cloudwatch_fake import FakeMetrics
from tests.functions.sagemaker_fake import FakeSageMaker

EVENTS = Path(__file__).parents[1] / "events"
REGION, ACCOUNT = "us-east-1", "123456789012"
_NUMBERS = count()
LANDING, LAKE, AUDIT, TABLE, BUS = "demo-landing", "demo-lake", "demo-audit", "demo-catalog", "demo-bus"
ENDPOINT, GROUP = "perennial-demo--dev", "perennial-demo--dev"
ALARMS = {"blue": ("demo-blue-errors",), "green": ("demo-green-errors",)}


def load_event(name: str) -> Any:
    """An event as AWS sends it, from tests/events."""
    return json.loads((EVENTS / f"{name}.json").read_text())


@dataclass
class World:
    """Everything that functions reach, and what a test looks at afterwards."""

    session: Any
    clients: Clients
    sagemaker: FakeSageMaker
    metrics: FakeMetrics
    machine_arn: str
    topic_arn: str
    queue_url: str
    now: datetime = NOW
    answers: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    slept_seconds: float = 0.0

    def shell(self, module: ModuleType, **changes: Any) -> Shell[Any]:
        """A shell of a function's own settings, in a fresh execution environment."""
        known = {
            "loop_uri": f"s3://{LAKE}/loop.json",
            "loop_name": "demo",
            "stage": "dev",
            "lake_bucket": LAKE,
            "catalog_table": TABLE,
            "bus_name": BUS,
            "landing_bucket": LANDING,
            "audit_bucket": AUDIT,
            "endpoint_name": ENDPOINT,
            "model_package_group": GROUP,
            "learning_machine_arn": self.machine_arn,
            "batches_queue_url": self.queue_url,
            "labels_queue_url": self.queue_url,
            "large_batch_machine_arn": self.machine_arn,
            "topic_arn": self.topic_arn,
            "image_uri": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/image:1",
            "source_bundle_uri": f"s3://{LAKE}/source/sourcedir.tar.gz",
            "alarm_names": ALARMS,
        }
        wanted = {name: known[name] for name in module.Settings.model_fields if name in known}
        settings = module.Settings(**{**wanted, **changes})
        return Shell(
            settings,
            clients=self.clients,
            clock=lambda: self.now,
            sleep=self._sleep,
            # Powertools keeps a logger by its name, with the standard output of its first user.
            service=f"test-{next(_NUMBERS)}",
            function_name="me",
        )

    def run(self, module: ModuleType, event: Any, **changes: Any) -> Any:
        """One invocation of a function."""
        shell = self.shell(module, **changes)
        try:
            return module.run(event, shell)
        finally:
            shell.metrics.flush()

    def _sleep(self, seconds: float) -> None:
        self.slept_seconds += seconds
        self.now += timedelta(seconds=seconds)

    # --- what a test puts there ---

    def deploy(self, loop: Loop | None = None) -> Loop:
        """The loop as it is deployed from now on."""
        loop = loop or make_loop()
        self.clients.s3.put_object(Bucket=LAKE, Key="loop.json", Body=loop.to_json().encode())
        return loop

    def land(self, data: bytes, key: str = "batches/week-01.csv") -> dict[str, Any]:
        """Upload a file; gives the SQS event of its arrival."""
        version = self.clients.s3.put_object(Bucket=LANDING, Key=key, Body=data)["VersionId"]
        return self.arrival(key, version)

    def arrival(self, key: str, version: str | None, *, bucket: str = LANDING) -> dict[str, Any]:
        """The SQS event of an object version, as S3 and EventBridge make it."""
        said = load_event("s3_object_created")
        said["detail"]["bucket"]["name"] = bucket
        said["detail"]["object"] |= {"key": key, "version-id": version, "etag": ""}
        if version is None:
            del said["detail"]["object"]["version-id"]
        return messages(said)

    def put(self, key: str, value: object) -> None:
        """An object of the lake: bytes, or JSON."""
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.clients.s3.put_object(Bucket=LAKE, Key=key, Body=data)

    # --- what a test looks at ---

    @property
    def catalog(self) -> Catalog:
        return Catalog(self.clients.dynamodb, TABLE)

    @property
    def lake(self) -> Lake:
        return Lake(self.clients.s3, LAKE)

    @property
    def live(self) -> LiveState:
        return LivePointer(self.catalog, "demo").read()

    def announced(self) -> list[Event]:
        """Every event that reached the bus since the last look, repetitions included."""
        found: list[Event] = []
        sqs = self._sqs
        while True:
            got = sqs.receive_message(QueueUrl=self.queue_url, MaxNumberOfMessages=10)
            if not got.get("Messages"):
                return sorted(found, key=lambda event: (event.at, event.detail_type))
            for message in got["Messages"]:
                body = json.loads(message["Body"])
                found.append(parse(body["detail-type"], body["detail"]))
                sqs.delete_message(QueueUrl=self.queue_url, ReceiptHandle=message["ReceiptHandle"])

    @cached_property
    def _sqs(self) -> Any:
        return self.clients.client("sqs")

    def items(self) -> dict[tuple[str, str], dict[str, Any]]:
        """The whole catalog, without the marks that writers leave for themselves."""
        found = self.clients.dynamodb.scan(TableName=TABLE)["Items"]
        keys = [{"pk": item["pk"]["S"], "sk": item["sk"]["S"]} for item in found]
        return {(key["pk"], key["sk"]): self.catalog.get(key) or {} for key in keys}

    def objects(self, bucket: str = LAKE) -> dict[str, bytes]:
        """Every object of a bucket, newest versions."""
        listed = self.clients.s3.list_objects_v2(Bucket=bucket).get("Contents", [])
        return {one["Key"]: self.clients.s3.get_object(Bucket=bucket, Key=one["Key"])["Body"].read() for one in listed}

    def executions(self) -> list[str]:
        """Names of the learning machine's executions."""
        listed = self.clients.stepfunctions.list_executions(stateMachineArn=self.machine_arn)["executions"]
        return sorted(one["name"] for one in listed)


def messages(*bodies: Mapping[str, Any]) -> dict[str, Any]:
    """One SQS event with a message for each body."""
    template = load_event("sqs_s3_object_created")["Records"][0]
    records = [{**template, "messageId": f"m{n}", "body": json.dumps(body)} for n, body in enumerate(bodies)]
    return {"Records": records}


def on_bus(event: Event) -> dict[str, Any]:
    """An event as EventBridge hands it to a rule's target."""
    envelope = load_event("bus_batch_accepted")
    return envelope | {"detail-type": event.detail_type, "detail": event.model_dump(mode="json")}


@cache
def _loader() -> Any:
    return botocore.loaders.create_loader()


def make_world() -> World:
    """A freshly deployed account; call inside moto's mock."""
    core = botocore.session.get_session()
    # Service models are read once for all tests, not once for each account.
    core.register_component("data_loader", _loader())
    session = boto3.Session(aws_access_key_id="x", aws_secret_access_key="x", region_name=REGION, botocore_session=core)
    sagemaker = FakeSageMaker()
    sagemaker.attach(session)
    metrics = FakeMetrics()
    metrics.attach(session)
    answers: list[tuple[str, dict[str, Any]]] = []
    session.events.register_first("before-call.stepfunctions.SendTaskSuccess", _collect_answers(answers))
    clients = Clients(session)
    for bucket, locked in ((LANDING, False), (LAKE, False), (AUDIT, True)):
        clients.s3.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=locked)
        clients.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    clients.dynamodb.create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
    )
    world = World(
        session=session,
        clients=clients,
        sagemaker=sagemaker,
        metrics=metrics,
        machine_arn=_machine(clients),
        topic_arn=clients.sns.create_topic(Name="people")["TopicArn"],
        queue_url=_listen(clients),
        answers=answers,
    )
    world.deploy()
    return world


def _machine(clients: Clients) -> str:
    definition = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 1, "End": True}}}
    made = clients.stepfunctions.create_state_machine(
        name="learning", definition=json.dumps(definition), roleArn=f"arn:aws:iam::{ACCOUNT}:role/machine"
    )
    return str(made["stateMachineArn"])


def _listen(clients: Clients) -> str:
    """A queue that gets every event of the bus."""
    sqs = clients.client("sqs")
    url = sqs.create_queue(QueueName="listener")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    clients.events.create_event_bus(Name=BUS)
    clients.events.put_rule(Name="all", EventBusName=BUS, EventPattern=json.dumps({"source": ["perennial"]}))
    clients.events.put_targets(Rule="all", EventBusName=BUS, Targets=[{"Id": "queue", "Arn": arn}])
    return str(url)


def _collect_answers(answers: list[tuple[str, dict[str, Any]]]) -> Any:
    """Task tokens are answered once: a second answer is refused, as Step Functions does."""

    def hook(model: Any, params: Any, **_: Any) -> Any:
        body = json.loads(params["body"])

        class Http:
            status_code = 200

        if any(token == body["taskToken"] for token, _output in answers):
            Http.status_code = 400
            error = {"Code": "TaskTimedOut", "Message": "Task Timed Out: 'Provided task does not exist anymore'"}
            return Http(), {"Error": error, "ResponseMetadata": {"HTTPStatusCode": 400}}
        answers.append((body["taskToken"], json.loads(body["output"])))
        return Http(), {"ResponseMetadata": {"HTTPStatusCode": 200}}

    return hook
