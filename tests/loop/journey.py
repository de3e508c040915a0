"""One deployed loop as a person with an AWS account would use it: by API calls, the AWS CLI and files."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from boto3.dynamodb.types import TypeDeserializer

from localcloud.identity import REGION, ROOT
from perennial.cli.activity import Hope
from perennial.cli.deployment import Deployment
from perennial.cli.local import LocalCloud
from tests.loop.second_engine import Run, run_of

__all__ = [
    "Execution", "Journey", "LocalSession", "aws_cli", "batch_file", "labels_file", "rows_of",
]  # fmt: skip

LOOP = "bikeshare"
_ENDED = ("SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED")


def aws_cli() -> str:
    """The AWS CLI of the tests' own environment."""
    return str(Path(sys.prefix) / "bin" / "aws")


class LocalSession(boto3.Session):
    """A session whose clients all lead to the local cloud, whatever the environment says."""

    def __init__(self, endpoint_url: str) -> None:
        super().__init__(aws_access_key_id=ROOT.access_key, aws_secret_access_key=ROOT.secret_key, region_name=REGION)
        self._endpoint_url = endpoint_url

    def client(self, *names: Any, **options: Any) -> Any:
        """As of boto3."""
        return super().client(*names, **{"endpoint_url": self._endpoint_url, **options})


@dataclass(frozen=True, slots=True)
class Execution:
    """An execution that has ended: what it was given, its history, and how it is described."""

    machine: str
    described: Mapping[str, Any]
    history: Sequence[Mapping[str, Any]]

    @property
    def name(self) -> str:
        """Its name, which is the run's."""
        return str(self.described["name"])

    @property
    def run(self) -> Run:
        """What another engine can be compared by."""
        return run_of(self.history, self.described)

    @property
    def output(self) -> Any:
        """Its output; None when it failed."""
        return json.loads(self.described.get("output") or "null")


@dataclass(frozen=True)
class Journey:
    """The running local cloud, the deployment on it, and what one does with both."""

    cloud: LocalCloud
    deployment: Deployment
    assembly: Path
    clients: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def client(self, service: str) -> Any:
        """A client, made once."""
        if service not in self.clients:
            self.clients[service] = self.deployment.client(service)
        return self.clients[service]

    def aws(self, *arguments: str) -> Any:
        """What the AWS CLI prints, parsed where it is JSON."""
        environment = {**os.environ, **self.cloud.server.environment(), "AWS_PAGER": "", "AWS_DEFAULT_OUTPUT": "json"}
        done = subprocess.run([aws_cli(), *arguments], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"aws {' '.join(arguments)}: {done.stderr}"
        return json.loads(done.stdout) if done.stdout.lstrip().startswith(("{", "[")) else done.stdout

    def until[T](self, look: Callable[[], T], *, what: str, pause_seconds: float = 0.25) -> T:
        """What `look` gives as soon as that is true; fails when it can't come any more."""
        hope = Hope(self.deployment)
        while not (found := look()):
            why = hope.lost()
            assert why is None, f"{what} must come. It can't any more: {why}. Got {found!r} instead."
            time.sleep(pause_seconds)
        return found

    # --- files ---------------------------------------------------------------------------------------------------

    def land(self, prefix: str, name: str, body: bytes) -> tuple[str, str]:
        """Put a file into the landing bucket: its key and version."""
        key = f"{prefix}/{name}"
        put = self.client("s3").put_object(Bucket=self.deployment["LandingBucket"], Key=key, Body=body)
        return key, str(put["VersionId"])

    def await_landed(self, files: Iterable[tuple[str, str]]) -> dict[tuple[str, str], dict[str, Any]]:
        """The landing items of these file versions, once all of them are settled and announced."""
        wanted = set(files)

        def settled() -> dict[tuple[str, str], dict[str, Any]] | None:
            items = self.partition("landings").values()
            found = {(item["key"], item["version_id"]): item for item in items if item.get("announced")}
            return found if wanted <= found.keys() else None

        found = self.until(settled, what=f"{len(wanted)} settled landings", pause_seconds=0.5)
        assert found
        return {file: found[file] for file in wanted}

    def told(self, kind: str) -> list[dict[str, Any]]:
        """Details of the ledger's entries of that kind, in order."""
        entries = [json.loads(item["entry"]) for _, item in sorted(self.partition("ledger").items())]
        return [entry["detail"] for entry in entries if entry["kind"] == kind]

    def await_decisions(self, count: int) -> None:
        """Wait until every landed batch was told of and decided on, so that none is still on its way."""

        def decided() -> bool:
            told = [len(self.told(kind)) for kind in ("Batch Accepted", "Retraining Declined")]
            return told == [count, count]

        self.until(decided, what=f"{count} decisions on record", pause_seconds=2.0)

    def partition(self, name: str) -> dict[str, dict[str, Any]]:
        """One partition of the catalog table: plain items by sort key."""
        pages = (
            self.client("dynamodb")
            .get_paginator("query")
            .paginate(
                TableName=self.deployment["CatalogTable"],
                KeyConditionExpression="pk = :pk",
                ExpressionAttributeValues={":pk": {"S": f"{self.deployment.loop}#{name}"}},
                ConsistentRead=True,
            )
        )
        plain = TypeDeserializer().deserialize
        items = [{key: plain(value) for key, value in item.items()} for page in pages for item in page["Items"]]
        return {item["sk"]: item for item in items}

    def forget(self, name: str, sort: str) -> None:
        """Delete one item of the catalog table."""
        key = {"pk": {"S": f"{self.deployment.loop}#{name}"}, "sk": {"S": sort}}
        self.client("dynamodb").delete_item(TableName=self.deployment["CatalogTable"], Key=key)

    # --- runs ----------------------------------------------------------------------------------------------------

    def executions(self, machine: str, status: str | None = None) -> list[dict[str, Any]]:
        """What ListExecutions says of the machine that the output `machine` names, newest first."""
        asked = {"statusFilter": status} if status else {}
        pages = (
            self.client("stepfunctions")
            .get_paginator("list_executions")
            .paginate(stateMachineArn=self.deployment[machine], **asked)
        )
        return [execution for page in pages for execution in page["executions"]]

    def await_execution(self, machine: str, *, known: Iterable[str] = (), name: str | None = None) -> Execution:
        """The execution called `name`, or the first that isn't `known`, once it has ended."""
        before = set(known)

        def ended() -> dict[str, Any] | None:
            for one in self.executions(machine):
                if (one["name"] == name if name else one["name"] not in before) and one["status"] in _ENDED:
                    return one
            return None

        found = self.until(ended, what=f"the end of an execution of {machine}")
        assert found
        return self.recorded(machine, found["executionArn"])

    def recorded(self, machine: str, arn: str) -> Execution:
        """All that is known of an execution."""
        states = self.client("stepfunctions")
        pages = states.get_paginator("get_execution_history").paginate(executionArn=arn)
        history = [event for page in pages for event in page["events"]]
        return Execution(machine, states.describe_execution(executionArn=arn), history)

    def retrain(self, reason: str, **hyperparameters: str) -> str:
        """Ask for a learning run by invoking the deciding function; the run's name."""
        payload = {"signal": "manual", "reason": reason, "hyperparameters": hyperparameters}
        answer = self.client("lambda").invoke(
            FunctionName=self.deployment["DecideRetrainingFunction"], Payload=json.dumps(payload).encode()
        )
        decided = json.loads(answer["Payload"].read())
        assert decided.get("fired"), decided
        return str(decided["run_id"])

    # --- the endpoint ----------------------------------------------------------------------------------------------

    def endpoint(self) -> dict[str, Any]:
        """What DescribeEndpoint says."""
        described: dict[str, Any] = self.client("sagemaker").describe_endpoint(
            EndpointName=self.deployment["EndpointName"]
        )
        return described

    def predict(self, rows: Sequence[Mapping[str, Any]], **options: str) -> tuple[str, dict[str, Any]]:
        """The variant that answered, and its answer."""
        answer = self.client("sagemaker-runtime").invoke_endpoint(
            EndpointName=options.pop("endpoint", self.deployment["EndpointName"]),
            ContentType="application/json",
            Body=json.dumps({"instances": list(rows)}),
            **options,
        )
        return answer["InvokedProductionVariant"], json.loads(answer["Body"].read())

    def lake_json(self, key: str) -> Any:
        """A JSON object of the lake."""
        body = self.client("s3").get_object(Bucket=self.deployment["LakeBucket"], Key=key)["Body"]
        return json.loads(body.read())


def batch_file(lines: Sequence[str], header: str) -> bytes:
    """A batch of these lines."""
    return ("\n".join([header, *lines]) + "\n").encode()


def labels_file(weeks: Iterable[Any]) -> bytes:
    """The labels of several weeks in one file."""
    lines: list[str] = []
    for week in weeks:
        header, *more = week.labels_csv().decode().splitlines()
        lines += more if lines else [header, *more]
    return ("\n".join(lines) + "\n").encode()


def rows_of(body: bytes) -> list[dict[str, str]]:
    """The rows of a batch file, cells as text."""
    return list(csv.DictReader(io.StringIO(body.decode())))
