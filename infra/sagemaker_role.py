"""The roles that SageMaker's containers run under: one for training and evaluation, one for serving."""

from __future__ import annotations

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.acknowledged import acknowledge
from infra.foundation import Foundation
from infra.partitions import CATALOG_KEY_ACTIONS, catalog_statement
from infra.settings import IMAGE_ACCOUNTS, IMAGE_REPOSITORY
from perennial.keys import Partition

__all__ = ["SageMakerRole"]

_OBJECTS = "Object names come from content and runs; the prefix is what this role alone needs of the bucket."
_IMAGE = "AWS's registry accounts differ by region; the repository is AWS's own scikit-learn image, which is only read."
_LOGS = "SageMaker names log groups and streams by kind of job and by job; these are its own prefixes."


class SageMakerRole(iam.Role):
    """
    A role that only SageMaker, on behalf of this account, can take; it reads the image, writes logs and metrics.

    Parameters
    ----------
    log_groups
        Names of the log groups below /aws/sagemaker/ that its containers write to.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, foundation: Foundation, log_groups: Sequence[str]
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            assumed_by=iam.ServicePrincipal(
                "sagemaker.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": cdk.Aws.ACCOUNT_ID}}
            ),
            description=f"SageMaker's containers of {foundation.name}: {construct_id}",
        )
        self._foundation = foundation
        self._run(log_groups)

    def may_read(self, bucket: s3.IBucket, *prefixes: str) -> None:
        """Read and list objects under `prefixes`."""
        self.may(["s3:GetObject"], [bucket.arn_for_objects(prefix) for prefix in prefixes], because=_OBJECTS)
        self.may(["s3:ListBucket"], [bucket.bucket_arn])
        self.may(["kms:Decrypt"], [self._foundation.key.key_arn])

    def may_write(self, bucket: s3.IBucket, *prefixes: str) -> None:
        """Put objects under `prefixes`, in parts if they are large."""
        actions = ["s3:PutObject", "s3:AbortMultipartUpload"]
        self.may(actions, [bucket.arn_for_objects(prefix) for prefix in prefixes], because=_OBJECTS)
        self.may(["kms:Decrypt", "kms:GenerateDataKey"], [self._foundation.key.key_arn])

    def may_use_catalog(self, *partitions: Partition, by: Sequence[str]) -> None:
        """Use items of these partitions of the catalog, by these operations."""
        self.add_to_principal_policy(catalog_statement(self._foundation, partitions, by))
        self.may(CATALOG_KEY_ACTIONS, [self._foundation.key.key_arn])

    def may_encrypt_jobs(self) -> None:
        """
        Let a job's volume and output be encrypted with the loop's key.

        SageMaker asks the role for a grant on the volume's key and for Encrypt on the output's: developer guide, "How
        to use SageMaker AI execution roles" (read 2026-11).
        """
        key = self._foundation.key.key_arn
        self.may(["kms:CreateGrant"], [key], when={"Bool": {"kms:GrantIsForAWSResource": "true"}})
        self.may(["kms:DescribeKey", "kms:Encrypt"], [key])

    def may(self, actions: Sequence[str], on: Sequence[str], *, because: str = "", when: object = None) -> None:
        """Allow `actions` on the resources `on`; a wildcard needs a reason."""
        self.add_to_principal_policy(
            iam.PolicyStatement(actions=list(actions), resources=list(on), conditions=when)  # type: ignore[arg-type]
        )
        for resource in on:
            if "*" in resource:
                acknowledge(self, "AwsSolutions-IAM5[Resource::{}]", because, subject=resource)

    def _run(self, log_groups: Sequence[str]) -> None:
        stack = cdk.Stack.of(self)
        repositories = f"arn:{cdk.Aws.PARTITION}:ecr:{cdk.Aws.REGION}:*:repository/{IMAGE_REPOSITORY}"
        self.may(
            ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            [repositories],
            because=_IMAGE,
            when={"StringEquals": {"aws:ResourceAccount": sorted(set(IMAGE_ACCOUNTS.values()))}},
        )
        self._anywhere(
            "Registry",
            iam.PolicyStatement(actions=["ecr:GetAuthorizationToken"], resources=["*"]),
            "ECR's authorization token belongs to no repository, so that it accepts no resource.",
        )
        groups = [
            stack.format_arn(
                service="logs",
                resource="log-group",
                resource_name=f"/aws/sagemaker/{name}*",
                arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
            )
            for name in log_groups
        ]
        self.may(
            ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"],
            groups,
            because=_LOGS,
        )
        self._anywhere(
            "Metrics",
            iam.PolicyStatement(
                actions=["cloudwatch:PutMetricData"],
                resources=["*"],
                conditions={"StringLike": {"cloudwatch:namespace": ["/aws/sagemaker/*", "aws/sagemaker/*"]}},
            ),
            "PutMetricData accepts no resource; the condition leaves SageMaker's own namespaces only.",
        )

    def _anywhere(self, name: str, statement: iam.PolicyStatement, because: str) -> None:
        policy = iam.Policy(self, name, roles=[self], statements=[statement])
        acknowledge(policy, "AwsSolutions-IAM5[Resource::*]", because)
