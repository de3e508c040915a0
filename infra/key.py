"""The loop's own KMS key: one key, so that who may read the loop's data is decided in one place."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from infra.settings import Deployment
from perennial import keys
from perennial.project import Loop

__all__ = ["LoopKey"]

# Services that encrypt on our behalf when they publish to the loop's topic, and say for which account.
PUBLISHERS = ("budgets.amazonaws.com", "cloudwatch.amazonaws.com")


class LoopKey(kms.Key):
    """Encrypts buckets, catalog, topic, logs, environment variables and SageMaker's volumes; rotates every year."""

    def __init__(self, scope: Construct, construct_id: str, *, loop: Loop, deployment: Deployment) -> None:
        super().__init__(
            scope,
            construct_id,
            description=f"Data of Perennial's {keys.deployment_name(loop.name, deployment.stage)}",
            enable_key_rotation=True,
            removal_policy=deployment.removal_policy,
        )
        for service in PUBLISHERS:
            self.add_to_resource_policy(
                iam.PolicyStatement(
                    principals=[iam.ServicePrincipal(service)],
                    actions=["kms:Decrypt", "kms:GenerateDataKey"],
                    resources=["*"],
                    conditions={"StringEquals": {"aws:SourceAccount": cdk.Aws.ACCOUNT_ID}},
                )
            )
        # EventBridge publishes too, but tells KMS neither account nor rule: the topic is in the encryption context, and
        # names the account. https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html (read 2026-11).
        topics_of_this_account = f"arn:{cdk.Aws.PARTITION}:sns:{cdk.Aws.REGION}:{cdk.Aws.ACCOUNT_ID}:*"
        self.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("events.amazonaws.com")],
                actions=["kms:Decrypt", "kms:GenerateDataKey"],
                resources=["*"],
                conditions={"ArnLike": {"kms:EncryptionContext:aws:sns:topicArn": topics_of_this_account}},
            )
        )
        logs_of_this_account = f"arn:{cdk.Aws.PARTITION}:logs:{cdk.Aws.REGION}:{cdk.Aws.ACCOUNT_ID}:log-group:*"
        self.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal(f"logs.{cdk.Aws.REGION}.amazonaws.com")],
                actions=["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey", "kms:DescribeKey"],
                resources=["*"],
                # CloudWatch Logs names the log group in the encryption context instead of SourceArn.
                conditions={"ArnLike": {"kms:EncryptionContext:aws:logs:arn": logs_of_this_account}},
            )
        )
