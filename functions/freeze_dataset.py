"""
An immutable dataset version: which batches and labels train, hold out and anchor one learning run, and its
reference.

Trigger: learning machine. Announces: Dataset Frozen. Raises DatasetTooSmall.

AWS actions
-----------
- lake bucket: s3:GetObject on `profiles/*`, `datasets/*` and the loop's file asset; s3:PutObject on `datasets/*`,
  `profiles/references/*`; s3:ListBucket
- catalog table: dynamodb:GetItem, PutItem, UpdateItem, Query
- bus: events:PutEvents
- keys of those: kms:Decrypt, kms:GenerateDataKey
"""

from __future__ import annotations

from functions import _shell

__all__ = ["Settings"]


class Settings(_shell.Settings):
    """The environment of freeze_dataset."""

    # s3://bucket/key of sourcedir.tar.gz: what training, evaluation and serving run.
    source_bundle_uri: str
