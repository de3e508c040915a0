"""A local cloud for the SageMaker and CloudWatch tests, and small things to put into it."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from localcloud.scales import Scales
from localcloud.server import Server
from tests.waiting import until

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.9-0-cpu-py3"
BUCKET = "lake"
SERVICES = ("sagemaker", "lambda", "states", "events")

# A model without scikit-learn: its process starts in a moment. What it answers says which model it is.
INFERENCE = """
import json, os, pathlib, sys

def model_fn(model_dir):
    name = pathlib.Path(model_dir, "name.txt").read_text()
    if name == "sick":
        raise RuntimeError("this model can't be loaded")
    return name

def input_fn(body, content_type):
    return body if isinstance(body, str) else body.decode()

def predict_fn(body, model):
    if body == "crash":
        os._exit(3)
    if body == "fail":
        raise ValueError("the model says no")
    if body == "refuse":
        return None
    print(f"{model} was asked {body}", file=sys.stderr)
    return {"model": model, "body": body, "greeting": os.environ.get("GREETING", "")}

def output_fn(prediction, accept):
    if prediction is None:
        from werkzeug.wrappers import Response
        return Response("not such a row", status=400, mimetype="text/plain")
    return json.dumps(prediction), "application/json"
"""


def tar_gz(files: Mapping[str, str]) -> bytes:
    """An archive of text files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text.encode())
            tar.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()


def untar(data: bytes) -> dict[str, bytes]:
    """The files of an archive."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}  # type: ignore[union-attr]


class Lab:
    """Clients of one local cloud, a bucket, and a role that may do what tests do."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.account = "123456789012"

    def client(self, service: str, *, access_key: str = "", secret_key: str = "") -> Any:
        """A boto3 client that never retries, so that a refusal shows at once; root's unless keys are given."""
        keys = self.server.environment()
        return boto3.client(
            service,
            endpoint_url=self.server.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id=access_key or keys["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=secret_key or keys["AWS_SECRET_ACCESS_KEY"],
            config=Config(retries={"total_max_attempts": 1}, inject_host_prefix=False),
        )

    def __getattr__(self, name: str) -> Any:
        client = self.client(name.replace("_", "-"))
        setattr(self, name, client)
        return client

    @cached_property
    def role(self) -> str:
        """ARN of a role for jobs, models and functions; also makes the bucket."""
        return self.make_role("worker", ["s3:*", "logs:*", "sqs:*", "sns:*"])

    def make_role(self, name: str, actions: list[str]) -> str:
        """A role that services may assume, allowed `actions` on everything."""
        trusted = [f"{service}.amazonaws.com" for service in SERVICES]
        trust = {"Effect": "Allow", "Principal": {"Service": trusted}, "Action": "sts:AssumeRole"}
        arn: str = self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=_policy(trust))["Role"]["Arn"]
        allowed = {"Effect": "Allow", "Action": actions, "Resource": "*"}
        self.iam.put_role_policy(RoleName=name, PolicyName="it", PolicyDocument=_policy(allowed))
        return arn

    def put(self, key: str, body: bytes | str) -> str:
        """An object; its address."""
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=body)
        return f"s3://{BUCKET}/{key}"

    def get(self, key: str) -> bytes:
        """An object's body."""
        body: bytes = self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return body

    def keys(self, prefix: str) -> list[str]:
        """The keys below a prefix."""
        return [entry["Key"] for entry in self.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", ())]

    # Endpoints

    def model(self, name: str, *, code: str = INFERENCE, environment: Mapping[str, str] | None = None) -> str:
        """A model that answers with its name."""
        data = self.put(f"models/{name}.tar.gz", tar_gz({"code/inference.py": code, "name.txt": name}))
        container = {"Image": IMAGE, "ModelDataUrl": data, "Environment": dict(environment or {})}
        self.sagemaker.create_model(ModelName=name, ExecutionRoleArn=self.role, PrimaryContainer=container)
        return name

    def config(self, name: str, weights: Mapping[str, tuple[str, float]], **rest: Any) -> str:
        """An endpoint configuration: variant name to model and weight."""
        variants = [variant(slot, model, weight) for slot, (model, weight) in weights.items()]
        self.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=variants, **rest)
        return name

    def endpoint(self, name: str, config: str) -> str:
        """An endpoint in service."""
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
        described = self.settled(name)
        assert described["EndpointStatus"] == "InService", described
        return name

    def settled(self, name: str) -> dict[str, Any]:
        """The endpoint once nothing is under way."""

        def look() -> dict[str, Any] | None:
            described: dict[str, Any] = self.sagemaker.describe_endpoint(EndpointName=name)
            return described if described["EndpointStatus"] in ("InService", "Failed") else None

        return until(look)  # type: ignore[return-value]

    def ask(self, endpoint: str, body: str = "hello", **how: Any) -> Any:
        """InvokeEndpoint; the answer with its body read and parsed as `said`."""
        how = {"ContentType": "text/plain", **how}
        answer = self.sagemaker_runtime.invoke_endpoint(EndpointName=endpoint, Body=body.encode(), **how)
        return answer | {"said": json.loads(answer["Body"].read())}

    def queue_for_events(self, name: str, pattern: Mapping[str, Any]) -> Callable[[], list[Any]]:
        """Subscribe to the default bus; what it has delivered so far, each time it is called."""
        url = self.sqs.create_queue(QueueName=name)["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        self.allow_to_send(url, arn, "events.amazonaws.com")
        self.events.put_rule(Name=name, EventPattern=json.dumps(pattern))
        self.events.put_targets(Rule=name, Targets=[{"Id": "q", "Arn": arn}])
        return self.receiver(url)

    def allow_to_send(self, url: str, arn: str, service: str) -> None:
        """Let a service put messages into a queue."""
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": service},
            "Action": "sqs:SendMessage",
            "Resource": arn,
        }
        self.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": _policy(statement)})

    def receiver(self, url: str) -> Callable[[], list[Any]]:
        """All messages of a queue that were received so far, parsed."""
        got: list[Any] = []

        def receive() -> list[Any]:
            for message in self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", ()):
                got.append(json.loads(message["Body"]))
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            return got

        return receive


def variant(slot: str, model: str, weight: float) -> dict[str, Any]:
    """A production variant."""
    return {
        "VariantName": slot,
        "ModelName": model,
        "InitialInstanceCount": 1,
        "InstanceType": "ml.m5.large",
        "InitialVariantWeight": weight,
    }


def _policy(*statements: Mapping[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


@contextmanager
def running(state_dir: Path | None = None, **scales: float) -> Iterator[Lab]:
    """A local cloud with its bucket."""
    with Server(state_dir=state_dir, scales=Scales(**scales)) as server:
        lab = Lab(server)
        if BUCKET not in [bucket["Name"] for bucket in lab.s3.list_buckets()["Buckets"]]:
            lab.s3.create_bucket(Bucket=BUCKET)
        yield lab
