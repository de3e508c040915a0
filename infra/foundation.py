"""What all stacks of a loop share: its key, buckets, catalog, bus and topic, passed on as objects."""

from __future__ import annotations

from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_assets as assets
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra.packaging import Architecture
from infra.settings import Deployment
from perennial import keys
from perennial.project import Loop

__all__ = ["Foundation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Foundation:
    """
    The stable part of a loop's deployment, owned by its data stack.

    Attributes
    ----------
    loop_asset
        loop.json in the deployment's asset bucket: the loop as it was parsed at synthesis.
    architecture
        Of all Lambda functions.
    """

    loop: Loop
    deployment: Deployment
    architecture: Architecture
    key: kms.IKey
    landing: s3.IBucket
    lake: s3.IBucket
    audit: s3.IBucket
    catalog: dynamodb.ITable
    bus: events.IEventBus
    topic: sns.ITopic
    loop_asset: assets.Asset

    @property
    def common_settings(self) -> dict[str, str]:
        """What every function's `Settings` has."""
        return {
            "loop_uri": f"s3://{self.loop_asset.s3_bucket_name}/{self.loop_asset.s3_object_key}",
            "loop_name": self.loop.name,
            "stage": self.deployment.stage,
            "lake_bucket": self.lake.bucket_name,
            "catalog_table": self.catalog.table_name,
            "bus_name": self.bus.event_bus_name,
        }

    @property
    def endpoint_name(self) -> str:
        """A physical name: alarms watch the endpoint's variants before a rollout has created it."""
        return keys.endpoint_name(self.loop.name, self.deployment.stage)

    @property
    def name(self) -> str:
        """Loop and stage in one, for descriptions and tags."""
        return keys.deployment_name(self.loop.name, self.deployment.stage)

    @property
    def resource_prefix(self) -> str:
        """What the names of the deployment's jobs, models and endpoint configurations begin with."""
        return keys.resource_prefix(self.loop.name, self.deployment.stage)

    @property
    def tags(self) -> dict[str, str]:
        """What everything of the deployment is tagged with."""
        return self.deployment.tags(self.loop)

    @property
    def log_retention(self) -> logs.RetentionDays:
        """How long logs are kept; a number of days that CloudWatch knows."""
        return retention(self.deployment.log_retention_days)

    def log_group(self, scope: Construct, construct_id: str = "Log", *, name: str | None = None) -> logs.LogGroup:
        """
        A log group of `scope`'s own: encrypted with the loop's key, kept for so long, gone with its stack.

        `name` is for groups that AWS names.
        """
        return logs.LogGroup(
            scope,
            construct_id,
            log_group_name=name,
            retention=self.log_retention,
            encryption_key=self.key,
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )


def retention(days: int) -> logs.RetentionDays:
    """
    CloudWatch's retention setting of that many days.

    Raises
    ------
    ValueError
        CloudWatch has no such setting; says which it has.
    """
    known = {
        1: logs.RetentionDays.ONE_DAY,
        7: logs.RetentionDays.ONE_WEEK,
        30: logs.RetentionDays.ONE_MONTH,
        90: logs.RetentionDays.THREE_MONTHS,
        180: logs.RetentionDays.SIX_MONTHS,
        365: logs.RetentionDays.ONE_YEAR,
        731: logs.RetentionDays.TWO_YEARS,
        1827: logs.RetentionDays.FIVE_YEARS,
        3653: logs.RetentionDays.TEN_YEARS,
    }
    if days not in known:
        raise ValueError(f"log_retention_days must be one of {', '.join(map(str, known))}. Got {days} instead.")
    return known[days]
