"""
A landed label file becomes labels in curated/labels/.

Trigger: SQS, fed by the landing bucket's "Object Created" rule on prefix `labels/`; answers partial batch
responses.
Announces: Labels Joined, Labels Rejected. Metrics: LabelsLanded, LabelsQuarantined.

AWS actions
-----------
- landing bucket `labels/*`: s3:GetObject, s3:GetObjectVersion; on the bucket: s3:ListBucket, s3:ListBucketVersions
- lake bucket: s3:PutObject on `curated/labels/*`, `quarantine/*`; s3:GetObject on the loop's file asset
- catalog table: dynamodb:GetItem, PutItem, UpdateItem, Query
- bus: events:PutEvents
- keys of those: kms:Decrypt, kms:GenerateDataKey
"""

from __future__ import annotations

from functions import _shell

__all__ = ["Settings"]


class Settings(_shell.Settings):
    """The environment of join_labels."""

    landing_bucket: str
    max_object_bytes: int = 1024**3
    # The only account whose events count; "" where it isn't known.
    account_id: str = ""
