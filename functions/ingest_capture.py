"""
SageMaker's captured requests and answers become predictions that labels can be joined with.

Trigger: SQS, fed by the lake bucket's "Object Created" rule on prefix `capture/`; answers partial batch responses.
Metrics: PredictionsCaptured.

AWS actions
-----------
- lake bucket: s3:GetObject, s3:GetObjectVersion on `capture/*`; s3:PutObject on `predictions/*`; s3:GetObject on
  the
  loop's file asset; s3:ListBucket, s3:ListBucketVersions
- catalog table: dynamodb:GetItem, PutItem, UpdateItem
- keys of those: kms:Decrypt, kms:GenerateDataKey
"""

from __future__ import annotations

from functions import _shell

__all__ = ["Settings"]


class Settings(_shell.Settings):
    """The environment of ingest_capture."""

    endpoint_name: str
    max_object_bytes: int = 512 * 1024**2
