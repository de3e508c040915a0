"""Buckets as all of ours are: encrypted, versioned, TLS only, closed to the public, logged."""

from __future__ import annotations

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.settings import Deployment

__all__ = ["AccessLogs", "Storage"]


class AccessLogs(s3.Bucket):
    """Who read and wrote what in the other buckets, for a year."""

    def __init__(self, scope: Construct, construct_id: str, *, deployment: Deployment) -> None:
        super().__init__(
            scope,
            construct_id,
            # S3 can't deliver access logs to a bucket that is encrypted with a key of ours.
            encryption=s3.BucketEncryption.S3_MANAGED,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            versioned=True,
            lifecycle_rules=[
                s3.LifecycleRule(expiration=cdk.Duration.days(365), noncurrent_version_expiration=cdk.Duration.days(30))
            ],
            removal_policy=deployment.bucket_policy,
        )


class Storage(s3.Bucket):
    """
    A bucket with the loop's data.

    Parameters
    ----------
    announces
        Whether EventBridge is told of new objects.
    noncurrent_days
        How long overwritten and deleted versions are kept.
    temporary_prefixes
        Objects below these are deleted after 90 days: they have been read into something else.
    locked_days
        Object Lock in governance mode: for so long nobody deletes or overwrites an object without a permission that
        no role of the loop has (but the teardown's, where data isn't kept).
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        key: kms.IKey,
        access_logs: AccessLogs,
        deployment: Deployment,
        announces: bool = False,
        noncurrent_days: int | None = None,
        temporary_prefixes: Sequence[str] = (),
        locked_days: int | None = None,
    ) -> None:
        retention = s3.ObjectLockRetention.governance(cdk.Duration.days(locked_days)) if locked_days else None
        super().__init__(
            scope,
            construct_id,
            encryption=s3.BucketEncryption.KMS,
            encryption_key=key,
            bucket_key_enabled=True,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            versioned=True,
            object_lock_enabled=True if locked_days else None,
            object_lock_default_retention=retention,
            server_access_logs_bucket=access_logs,
            server_access_logs_prefix=f"{construct_id.lower()}/",
            lifecycle_rules=_lifecycle(noncurrent_days, temporary_prefixes),
            removal_policy=deployment.bucket_policy,
        )
        if announces:
            # The property itself: the L2 flag would deploy a custom resource's function for it.
            bucket: s3.CfnBucket = self.node.default_child  # type: ignore[assignment]
            bucket.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
                event_bridge_configuration=s3.CfnBucket.EventBridgeConfigurationProperty(event_bridge_enabled=True)
            )


def _lifecycle(noncurrent_days: int | None, temporary_prefixes: Sequence[str]) -> list[s3.LifecycleRule]:
    rules = [s3.LifecycleRule(id="IncompleteUploads", abort_incomplete_multipart_upload_after=cdk.Duration.days(7))]
    if noncurrent_days:
        rules.append(
            s3.LifecycleRule(
                id="OldVersions",
                noncurrent_version_expiration=cdk.Duration.days(noncurrent_days),
                expired_object_delete_marker=True,
            )
        )
    rules += [
        s3.LifecycleRule(id=f"Temporary{index}", prefix=prefix, expiration=cdk.Duration.days(90))
        for index, prefix in enumerate(temporary_prefixes)
    ]
    return rules
