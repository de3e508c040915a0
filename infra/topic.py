"""How people are told: alarms, approvals asked for, promotions, rollbacks, outages."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from constructs import Construct

__all__ = ["PeopleTopic"]


class PeopleTopic(sns.Topic):
    """
    The loop's one topic.

    Parameters
    ----------
    email
        Subscribed if given; whoever reads it must confirm.
    """

    def __init__(self, scope: Construct, construct_id: str, *, key: kms.IKey, email: str | None) -> None:
        super().__init__(scope, construct_id, master_key=key, enforce_ssl=True)
        for service in ("budgets.amazonaws.com", "cloudwatch.amazonaws.com"):
            self.add_to_resource_policy(
                iam.PolicyStatement(
                    sid=f"Publish{service.partition('.')[0].title()}",
                    principals=[iam.ServicePrincipal(service)],
                    actions=["sns:Publish"],
                    resources=[self.topic_arn],
                    conditions={"StringEquals": {"aws:SourceAccount": cdk.Aws.ACCOUNT_ID}},
                )
            )
        if email:
            sns.Subscription(self, "Email", topic=self, protocol=sns.SubscriptionProtocol.EMAIL, endpoint=email)
