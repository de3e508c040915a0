"""One local cloud for a session's fidelity tests, and the few things that most of them put into it."""

from __future__ import annotations

import io
import itertools
import json
import time
import zipfile
from dataclasses import dataclass
from functools import cache
from typing import Any

import boto3
from botocore.config import Config

from localcloud.scales import Scales
from localcloud.server import Server
from tests.waiting import until

SCALES = Scales(waits=60, alarms=60, schedules=1800)
ACCOUNT, REGION = "123456789012", "us-east-1"
_numbers = itertools.count(1)


def fresh(name: str) -> str:
    """A name that no other test has."""
    return f"{name}-{next(_numbers)}"


def zipped(**files: str) -> bytes:
    """A bundle; `__` in a name stands for a slash, and every name gets `.py` unless it has a suffix."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            path = name.replace("__", "/")
            archive.writestr(path if "." in path else f"{path}.py", text)
    return buffer.getvalue()


@dataclass(frozen=True)
class Execution:
    """A finished execution, and its history."""

    status: str
    output: Any
    error: str
    cause: str
    seconds: float
    events: list[dict[str, Any]]

    @property
    def types(self) -> list[str]:
        """The history's event types, in order."""
        return [event["type"] for event in self.events]


class Cloud:
    """A running local cloud."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.client = cache(self._client)

    def _client(self, service: str, access_key: str = "", secret: str = "", token: str = "") -> Any:
        environment = self.server.environment()
        return boto3.client(
            service,
            endpoint_url=environment["AWS_ENDPOINT_URL"],
            region_name=REGION,
            aws_access_key_id=access_key or environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=secret or environment["AWS_SECRET_ACCESS_KEY"],
            aws_session_token=token or None,
            config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
        )

    def role(self, *statements: dict[str, Any], service: str = "lambda") -> str:
        """ARN of a new role with these statements."""
        name = fresh("role")
        trust = {"Effect": "Allow", "Principal": {"Service": f"{service}.amazonaws.com"}, "Action": "sts:AssumeRole"}
        trusted_root = {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
            "Action": "sts:AssumeRole",
        }
        iam = self.client("iam")
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust, trusted_root]})
        arn: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
        if statements:
            policy = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
            iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=policy)
        return arn

    def as_role(self, arn: str, service: str) -> Any:
        """A client that works with the role's permissions."""
        keys = self.client("sts").assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
        return self._client(service, keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])

    def function(self, code: str | bytes, *, role: str | None = None, timeout: int = 10, **settings: Any) -> str:
        """Name of a new function whose handler is `index.handler`."""
        name = fresh("function")
        self.client("lambda").create_function(
            FunctionName=name,
            Runtime="python3.12",
            Role=role or self.role(allow("*")),
            Handler="index.handler",
            Code={"ZipFile": code if isinstance(code, bytes) else zipped(index=code)},
            Timeout=timeout,
            **settings,
        )
        return name

    def invoke(self, name: str, event: Any = None) -> tuple[Any, str | None]:
        """What a function answers, and the kind of its error, if any."""
        answer = self.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event or {}))
        return json.loads(answer["Payload"].read()), answer.get("FunctionError")

    def queue(self, **attributes: str) -> tuple[str, str]:
        """URL and ARN of a new queue."""
        name = fresh("queue")
        url: str = self.client("sqs").create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        return url, f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"

    def receive(self, url: str) -> dict[str, Any]:
        """The next message, which is taken off the queue."""
        sqs = self.client("sqs")
        asked = {"QueueUrl": url, "WaitTimeSeconds": 2, "AttributeNames": ["All"], "MessageAttributeNames": ["All"]}
        found = until(lambda: sqs.receive_message(**asked).get("Messages"), what=f"a message of {url}")
        sqs.delete_message(QueueUrl=url, ReceiptHandle=found[0]["ReceiptHandle"])
        message: dict[str, Any] = found[0]
        return message

    def machine(self, definition: dict[str, Any], *, role: str | None = None) -> str:
        """ARN of a new state machine."""
        answer = self.client("stepfunctions").create_state_machine(
            name=fresh("machine"),
            definition=json.dumps(definition),
            roleArn=role or self.role(allow("*"), service="states"),
        )
        arn: str = answer["stateMachineArn"]
        return arn

    def run(self, definition: dict[str, Any], value: Any = None, *, role: str | None = None) -> Execution:
        """Run a new state machine on `value` to its end."""
        return self.finish(self.start(self.machine(definition, role=role), value))

    def start(self, machine: str, value: Any = None, **named: str) -> str:
        """ARN of an execution just started."""
        text = json.dumps({} if value is None else value)
        arn: str = self.client("stepfunctions").start_execution(stateMachineArn=machine, input=text, **named)[
            "executionArn"
        ]
        return arn

    def finish(self, arn: str) -> Execution:
        """Wait for an execution's end."""
        states = self.client("stepfunctions")
        started = time.monotonic()
        found = until(lambda: (answer := states.describe_execution(executionArn=arn))["status"] != "RUNNING" and answer)
        events = [
            event
            for page in states.get_paginator("get_execution_history").paginate(executionArn=arn)
            for event in page["events"]
        ]
        output = json.loads(found["output"]) if found.get("output") else None
        seconds = time.monotonic() - started
        return Execution(found["status"], output, found.get("error", ""), found.get("cause", ""), seconds, events)


def allow(*actions: str, resource: str | list[str] = "*") -> dict[str, Any]:
    """A statement that allows."""
    return {"Effect": "Allow", "Action": list(actions), "Resource": resource}


def task(resource: str, parameters: Any = None, **fields: Any) -> dict[str, Any]:
    """A state machine of one Task."""
    state = {"Type": "Task", "Resource": resource, "End": True, **fields}
    if parameters is not None:
        state["Parameters"] = parameters
    return single(state)


def single(state: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A state machine of one state, with `Caught` to go to."""
    states = {"Only": state}
    if any(catcher.get("Next") == "Caught" for catcher in state.get("Catch", [])):
        states["Caught"] = {"Type": "Succeed"}
    return {"StartAt": "Only", "States": states, **fields}
