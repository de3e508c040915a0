"""A loop as it is deployed: found by the outputs of its stacks, in AWS or in the local cloud."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from perennial import keys
from perennial.aws.catalog import Catalog
from perennial.errors import EnvironmentLacking, LoopUnknown
from perennial.stage import DEFAULT_STAGE

__all__ = ["Deployment", "find_deployment", "make_session"]


def make_session() -> boto3.Session:
    """A session with the caller's own credentials and region."""
    return boto3.Session(region_name=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"))


@dataclass(frozen=True)
class Deployment:
    """
    A loop as one stage has it: the outputs of its stacks by name, and clients made at first use.

    Attributes
    ----------
    deployed_at
        When CloudFormation last changed one of its stacks.
    """

    loop: str
    stage: str
    outputs: dict[str, str]
    session: boto3.Session
    deployed_at: datetime | None = None

    def __getitem__(self, output: str) -> str:
        if output not in self.outputs:
            raise EnvironmentLacking(
                f"the stacks of loop {self.loop} in stage {self.stage} must have the output {output}. Got "
                f"{', '.join(sorted(self.outputs))} instead: deploy this version with "
                f"`cdk deploy --all -c stage={self.stage}`."
            )
        return self.outputs[output]

    def client(self, service: str) -> Any:
        """A client that retries throttling and keeps enough connections for parallel traffic."""
        return self.session.client(
            service,
            config=Config(retries={"mode": "standard", "max_attempts": 5}, max_pool_connections=32, read_timeout=120),
        )

    @cached_property
    def s3(self) -> Any:
        """Amazon S3."""
        return self.client("s3")

    @cached_property
    def sagemaker(self) -> Any:
        """Amazon SageMaker's control plane."""
        return self.client("sagemaker")

    @cached_property
    def runtime(self) -> Any:
        """Amazon SageMaker's endpoints."""
        return self.client("sagemaker-runtime")

    @cached_property
    def states(self) -> Any:
        """AWS Step Functions."""
        return self.client("stepfunctions")

    @cached_property
    def functions(self) -> Any:
        """AWS Lambda."""
        return self.client("lambda")

    @cached_property
    def catalog(self) -> Catalog:
        """The catalog table."""
        return Catalog(self.client("dynamodb"), self["CatalogTable"])


def _described_stacks(session: boto3.Session) -> list[dict[str, Any]]:
    try:
        pages = session.client("cloudformation").get_paginator("describe_stacks").paginate()
        return [stack for page in pages for stack in page["Stacks"]]
    except ClientError as error:
        raise EnvironmentLacking(f"the account must let you describe stacks. Got {error} instead.") from error
    except BotoCoreError as error:
        where = os.environ.get("AWS_ENDPOINT_URL", "AWS")
        raise EnvironmentLacking(
            f"{where} must answer. Got {error} instead. For the local cloud run `make up` (or `perennial up`) and set "
            "the variables that it prints; for AWS set credentials and a region."
        ) from error


def find_deployment(loop: str, session: boto3.Session | None = None, *, stage: str = DEFAULT_STAGE) -> Deployment:
    """
    The deployment of `loop` in `stage`.

    Raises
    ------
    LoopUnknown
        No stack of that loop and stage is deployed; says which are.
    EnvironmentLacking
        The account or the local cloud can't be asked.
    """
    session = session or make_session()
    outputs: dict[str, str] = {}
    changed_at: list[datetime] = []
    deployed = set()
    for stack in _described_stacks(session):
        owner = keys.deployment_of_stack(stack["StackName"])
        if owner is None or stack["StackStatus"].startswith("DELETE"):
            continue
        deployed.add(owner)
        if owner == (loop, stage):
            outputs |= {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
            changed_at += [stack.get("LastUpdatedTime") or stack["CreationTime"]]
    if not outputs:
        found = ", ".join(f"{one} in stage {where}" for one, where in sorted(deployed)) or "none"
        raise LoopUnknown(
            f"loop must be one that is deployed ({found}). Got {loop!r} in stage {stage!r} instead. Choose one with "
            f"--stage, deploy it with `cdk deploy --all -c loop={loop} -c stage={stage}`, or locally with "
            f"`perennial up {loop} --stage {stage}`."
        )
    return Deployment(loop=loop, stage=stage, outputs=outputs, session=session, deployed_at=max(changed_at))
