"""A Lambda function of ours: its code, its typed environment, its log, its role with nothing but what it is given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra import shipped
from infra.acknowledged import acknowledge
from infra.foundation import Foundation
from infra.packaging import Architecture, build_bundle
from infra.partitions import CATALOG_KEY_ACTIONS, announcing_statement, catalog_statement
from perennial.events import Event
from perennial.keys import Partition

__all__ = ["PythonFunction"]

# 1,769 MB is one vCPU: an import of pydantic or pyarrow at a quarter of that takes four times as long.
MEMORY_MB = {"control": 512, "data": 1769}


class PythonFunction(Construct):
    """
    One module of functions/ as a Lambda function.

    Parameters
    ----------
    module
        Has `Settings`; its `handler` is what Lambda calls.
    foundation
        The loop's key, buckets, catalog and bus.
    settings
        Fields of the module's `Settings` beside those that all functions have; a field that is missing or unknown
        fails the synthesis.
    dead_letters
        Where asynchronous invocations go that failed for good; None for functions that are only called synchronously
        or through a queue.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        module: ModuleType,
        foundation: Foundation,
        settings: dict[str, Any] | None = None,
        timeout_seconds: int = 60,
        memory_mb: int | None = None,
        disk_mb: int = 512,
        dead_letters: sqs.IQueue | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        name = module.__name__.rpartition(".")[2]
        group = next(group for group, names in shipped.FUNCTIONS.items() if name in names)
        self.foundation = foundation
        self.settings = module.Settings(**foundation.common_settings, **(settings or {}))
        self.log_group = foundation.log_group(self)
        self.role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            description=f"What {name} of {foundation.name} may do",
        )
        self.function = lambda_.Function(
            self,
            "Function",
            description=f"{foundation.name}: {_first_line(module)}"[:256],
            runtime=lambda_.Runtime.PYTHON_3_12,
            architecture=_architecture(foundation.architecture),
            code=lambda_.Code.from_asset(str(_bundle(group, foundation.architecture))),
            handler=f"functions.{name}.handler",
            role=self.role,
            environment={
                **self.settings.to_environment(),
                "POWERTOOLS_SERVICE_NAME": name,
                "POWERTOOLS_METRICS_NAMESPACE": "Perennial",
                "POWERTOOLS_LOG_LEVEL": "INFO",
            },
            environment_encryption=foundation.key,
            timeout=cdk.Duration.seconds(timeout_seconds),
            memory_size=memory_mb or MEMORY_MB[group],
            ephemeral_storage_size=cdk.Size.mebibytes(disk_mb),
            tracing=lambda_.Tracing.ACTIVE,
            log_group=self.log_group,
            dead_letter_queue=dead_letters,
            # One that a running execution calls must outlive the deployment that replaces it; deleting the function
            # deletes them all. One that a failed deployment published must go: else the next could not publish it.
            current_version_options=lambda_.VersionOptions(removal_policy=cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE),
        )
        self._let_it_run()

    @property
    def arn(self) -> str:
        """Its ARN."""
        return self.function.function_arn

    @property
    def version_arn(self) -> str:
        """The ARN of the version that this deployment publishes: its code and environment never change."""
        return self.function.current_version.function_arn

    @property
    def name(self) -> str:
        """Its generated name."""
        return self.function.function_name

    def may(self, actions: Sequence[str], on: Sequence[str], *, because: str = "", when: Any = None) -> None:
        """
        Allow `actions` on the resources `on`.

        Parameters
        ----------
        because
            Why a wildcard in `on` is as narrow as it can be; needed when there is one.
        when
            Conditions.
        """
        self.role.add_to_principal_policy(
            iam.PolicyStatement(actions=list(actions), resources=list(on), conditions=when)
        )
        for resource in on:
            if "*" in resource:
                acknowledge(self.role, "AwsSolutions-IAM5[Resource::{}]", because, subject=resource)

    def may_anywhere(self, actions: Sequence[str], *, because: str) -> None:
        """Allow `actions` that accept no resource, in a policy of their own, so that each has its own reason."""
        policy = iam.Policy(
            self,
            f"Anywhere{actions[0].replace(':', '')}",
            roles=[self.role],
            statements=[iam.PolicyStatement(actions=list(actions), resources=["*"])],
        )
        acknowledge(policy, "AwsSolutions-IAM5[Resource::*]", because)

    def may_read(self, bucket: s3.IBucket, *prefixes: str, versions: bool = False) -> None:
        """Read objects under `prefixes`, and learn that one is missing (404, not 403)."""
        actions = ["s3:GetObject", *(["s3:GetObjectVersion"] if versions else [])]
        self.may(actions, [bucket.arn_for_objects(prefix) for prefix in prefixes], because=_OBJECTS)
        self.may(["s3:ListBucket", *(["s3:ListBucketVersions"] if versions else [])], [bucket.bucket_arn])

    def may_write(self, bucket: s3.IBucket, *prefixes: str) -> None:
        """Put objects under `prefixes`."""
        self.may(["s3:PutObject"], [bucket.arn_for_objects(prefix) for prefix in prefixes], because=_OBJECTS)
        self.may(["kms:GenerateDataKey"], [self.foundation.key.key_arn])

    def may_read_catalog(self, *partitions: Partition, by: Sequence[str] = ("GetItem",)) -> None:
        """Read items of these partitions of the catalog, by GetItem or by Query."""
        self.role.add_to_principal_policy(catalog_statement(self.foundation, partitions, by))
        self.may(CATALOG_KEY_ACTIONS, [self.foundation.key.key_arn])

    def may_write_catalog(self, *partitions: Partition, by: Sequence[str] = ("PutItem", "UpdateItem")) -> None:
        """Write items of these partitions of the catalog, and read what stands there, as every retry does."""
        self.may_read_catalog(*partitions, by=("GetItem", *by))

    def may_announce(self, *kinds: type[Event]) -> None:
        """Put these kinds of event, and no other, on the loop's bus."""
        self.role.add_to_principal_policy(announcing_statement(self.foundation, kinds))

    def _let_it_run(self) -> None:
        self.log_group.grant_write(self.role)
        loop = self.foundation.loop_asset
        self.may(["s3:GetObject"], [loop.bucket.arn_for_objects(loop.s3_object_key)])
        self.may(["kms:Decrypt"], [self.foundation.key.key_arn])
        acknowledge(
            self.role,
            "AwsSolutions-IAM5[Resource::*]",
            "X-Ray's PutTraceSegments and PutTelemetryRecords accept no resource; the role has nothing else on *.",
        )
        acknowledge(
            self.function,
            "AwsSolutions-L1",
            "Python 3.12 on purpose: AWS's SageMaker image runs it, so features are computed by one interpreter in "
            "training, serving and here. AWS supports the runtime until 2028-10-31.",
        )


_OBJECTS = (
    "Object names come from the content of what lands, so they can't be listed beforehand; the prefix is what this "
    "function alone needs of the bucket."
)


def _first_line(module: ModuleType) -> str:
    return (module.__doc__ or "").strip().split("\n\n")[0].replace("\n", " ")


def _architecture(architecture: Architecture) -> lambda_.Architecture:
    return lambda_.Architecture.ARM_64 if architecture == "arm64" else lambda_.Architecture.X86_64


def _bundle(group: str, architecture: Architecture) -> Path:
    return build_bundle(group, architecture)  # type: ignore[arg-type]
