"""What a stack's deletion must do that CloudFormation can't: stop runs, delete buckets and what rollouts made."""

from __future__ import annotations

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from functions import tear_down
from infra.foundation import Foundation
from infra.python_function import PythonFunction
from infra.state_machine import StateMachine

__all__ = ["TearDown"]

_NAMES = "Rollouts name these from model versions, so the deployment's name is all that is known of them at deployment."


class TearDown(Construct):
    """
    Runs once, when its stack is deleted, before anything that it depends on is.

    Parameters
    ----------
    machine
        Whose executions are stopped.
    buckets
        Deleted with all that is in them, in this order, and the logs of the loop's jobs after them.
    endpoint
        Whether to delete the loop's endpoint, configurations and models.
    group
        A model package group whose packages are deleted.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        foundation: Foundation,
        machine: StateMachine | None = None,
        buckets: Sequence[s3.IBucket] = (),
        endpoint: bool = False,
        group: sagemaker.CfnModelPackageGroup | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self.function = PythonFunction(
            self,
            "Function",
            module=tear_down,
            foundation=foundation,
            settings={
                "state_machine_arn": machine.arn if machine else "",
                "bucket_names": tuple(bucket.bucket_name for bucket in buckets),
                "endpoint_name": foundation.endpoint_name if endpoint else "",
                "model_package_group": group.model_package_group_name if group else "",
            },
            timeout_seconds=900,
        )
        if machine:
            self._may_stop(machine)
        if buckets:
            self._may_delete_buckets(foundation, buckets)
        if endpoint:
            self._may_delete_endpoint(foundation)
        if group:
            self._may_delete_packages(group)
        self.resource = cdk.CustomResource(
            self, "Resource", service_token=self.function.arn, resource_type="Custom::TearDown"
        )
        go_on = iam.Policy(
            self,
            "GoOn",
            roles=[self.function.role],
            statements=[iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[self.function.arn])],
        )
        for needed in (*buckets, *([group] if group else ()), *([machine] if machine else ()), self.function, go_on):
            self.resource.node.add_dependency(needed)

    def _may_stop(self, machine: StateMachine) -> None:
        self.function.may(["states:ListExecutions"], [machine.arn])
        self.function.may(
            ["states:StopExecution"],
            [machine.executions_arn],
            because="Executions are named from runs and files; they are of this stack's own machine only.",
        )

    def _may_delete_buckets(self, foundation: Foundation, buckets: Sequence[s3.IBucket]) -> None:
        for bucket in buckets:
            self.function.may(
                [
                    *("s3:PutBucketLogging", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads"),
                    "s3:DeleteBucket",
                ],
                [bucket.bucket_arn],
            )
            self.function.may(
                [
                    *("s3:DeleteObject", "s3:DeleteObjectVersion", "s3:BypassGovernanceRetention"),
                    "s3:AbortMultipartUpload",
                ],
                [bucket.arn_for_objects("*")],
                because="Deleting the stack empties this bucket, whatever is in it; production keeps its buckets.",
            )
        stack = cdk.Stack.of(self)
        for group in ("TrainingJobs", "ProcessingJobs"):
            name = f"/aws/sagemaker/{group}"
            arn = stack.format_arn(
                service="logs",
                resource="log-group",
                resource_name=name,
                arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
            )
            streams = f"{arn}:log-stream:{foundation.resource_prefix}*"
            self.function.may(
                ["logs:DescribeLogStreams"],
                [arn, f"{arn}:*"],
                because="CloudWatch Logs writes a group's ARN with and without :* at its end; names are only listed.",
            )
            self.function.may(["logs:DeleteLogStream"], [streams], because=_NAMES)

    def _may_delete_endpoint(self, foundation: Foundation) -> None:
        stack = cdk.Stack.of(self)
        name = foundation.endpoint_name
        endpoint = stack.format_arn(service="sagemaker", resource="endpoint", resource_name=name)
        named = f"{foundation.resource_prefix}*"
        config = stack.format_arn(service="sagemaker", resource="endpoint-config", resource_name=named)
        model = stack.format_arn(service="sagemaker", resource="model", resource_name=named)
        self.function.may(["sagemaker:DescribeEndpoint", "sagemaker:DeleteEndpoint"], [endpoint])
        self.function.may(
            ["sagemaker:DeleteEndpointConfig", "sagemaker:ListTags"],
            [config],
            because=_NAMES,
        )
        self.function.may(["sagemaker:DeleteModel", "sagemaker:ListTags"], [model], because=_NAMES)
        self.function.may_anywhere(
            ["sagemaker:ListEndpointConfigs", "sagemaker:ListModels"],
            because="Listing endpoint configurations and models accepts no resource; nothing is deleted by it.",
        )

    def _may_delete_packages(self, group: sagemaker.CfnModelPackageGroup) -> None:
        stack = cdk.Stack.of(self)
        packages = stack.format_arn(
            service="sagemaker", resource="model-package", resource_name=f"{group.model_package_group_name}/*"
        )
        self.function.may_anywhere(
            ["sagemaker:ListModelPackages"],
            because="Listing model packages accepts no resource; it shows names and states only.",
        )
        self.function.may(
            ["sagemaker:DeleteModelPackage"],
            [packages],
            because="Packages are numbered when models are registered; only those of the loop's own group are deleted.",
        )
