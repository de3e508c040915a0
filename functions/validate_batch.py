"""
A landed file becomes a batch: accepted rows in curated/, refused rows in quarantine/, a profile, a catalog entry.

Trigger: SQS, fed by the landing bucket's "Object Created" rule on prefix `batches/`; answers partial batch
responses.
Announces: Batch Accepted, Batch Rejected. Metrics: RowsLanded, RowsAccepted, RowsQuarantined, BatchesRejected.

AWS actions
-----------
- landing bucket `batches/*`: s3:GetObject, s3:GetObjectVersion; on the bucket: s3:ListBucket, s3:ListBucketVersions
  (so that a missing object
  is 404 and not 403)
- lake bucket: s3:PutObject on `curated/batches/*`, `quarantine/*`, `profiles/batches/*`; s3:GetObject on the loop's
  file asset
- catalog table: dynamodb:GetItem, PutItem, UpdateItem, Query
- bus: events:PutEvents
- keys of those: kms:Decrypt, kms:GenerateDataKey
- queue: sqs:ReceiveMessage, DeleteMessage, GetQueueAttributes (the event source's own)
"""

from __future__ import annotations

from functions import _shell

__all__ = ["Settings"]


class Settings(_shell.Settings):
    """The environment of validate_batch."""

    landing_bucket: str
    # Larger files go by another way than one function's disk; infra sizes the function's disk to fit this.
    max_object_bytes: int = 4 * 1024**3
    # The only account whose events count; "" where it isn't known.
    account_id: str = ""
