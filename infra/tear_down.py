"""What a stack's deletion must do that CloudFormation can't: empty buckets, delete what rollouts and runs made."""

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

__all__ = ["TearDown"]

_NAMES = "Rollouts name these from model versions, so the deployment's name is all that is known of them at deployment."


class TearDown(Construct):
    """
    Runs once, when its stack is deleted, before anything that it depends on is.

    Parameters
    ----------
    buckets
        Emptied, versions included.
    endpoint
        Whether to delete the loop's endpoint with its log group, configurations and models.
    group
        A model package group whose packages are deleted.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        foundation: Foundation,
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
                "bucket_names": tuple(bucket.bucket_name for bucket in buckets),
                "endpoint_name": foundation.endpoint_name if endpoint else "",
                "model_package_group": group.model_package_group_name if group else "",
            },
            timeout_seconds=900,
        )
        self._may_empty(buckets)
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
        for needed in (*buckets, *([group] if group else ()), self.function, go_on):
            self.resource.node.add_dependency(needed)

    def _may_empty(self, buckets: Sequence[s3.IBucket]) -> None:
        for bucket in buckets:
            self.function.may(["s3:ListBucketVersions", "s3:ListBucketMultipartUploads"], [bucket.bucket_arn])
            self.function.may(
                [
                    *("s3:DeleteObject", "s3:DeleteObjectVersion", "s3:BypassGovernanceRetention"),
                    "s3:AbortMultipartUpload",
                ],
                [bucket.arn_for_objects("*")],
                because="Deleting the stack empties this bucket, whatever is in it; production keeps its buckets.",
            )

    def _may_delete_endpoint(self, foundation: Foundation) -> None:
        stack = cdk.Stack.of(self)
        name = foundation.endpoint_name
        endpoint = stack.format_arn(service="sagemaker", resource="endpoint", resource_name=name)
        named = f"{foundation.resource_prefix}*"
        config = stack.format_arn(service="sagemaker", resource="endpoint-config", resource_name=named)
        model = stack.format_arn(service="sagemaker", resource="model", resource_name=named)
        self.function.may(["sagemaker:DeleteEndpoint", "sagemaker:ListTags"], [endpoint])
        self.function.may(
            ["sagemaker:DeleteEndpointConfig", "sagemaker:ListTags"],
            [config],
            because=_NAMES,
        )
        self.function.may(["sagemaker:DeleteModel", "sagemaker:ListTags"], [model], because=_NAMES)
        group = stack.format_arn(
            service="logs",
            resource="log-group",
            resource_name=f"/aws/sagemaker/Endpoints/{name}",
            arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
        )
        self.function.may(
            ["logs:DeleteLogGroup"],
            [group, f"{group}:*"],
            because="CloudWatch Logs writes the ARN of this one log group with and without :* at its end.",
        )
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
