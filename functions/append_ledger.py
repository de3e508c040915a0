"""
Every event becomes one entry of the hash-chained ledger, once.

Trigger: SQS, fed by the bus (every event of the source `perennial`); answers partial batch responses.

AWS actions
-----------
- audit bucket: s3:PutObject on `ledger/*`; s3:GetObject on `ledger/*`; s3:ListBucket
- lake bucket: s3:GetObject on the loop's file asset
- catalog table: dynamodb:GetItem, PutItem, UpdateItem, Query
- keys of those: kms:Decrypt, kms:GenerateDataKey
"""

from __future__ import annotations

from functions import _shell

__all__ = ["Settings"]


class Settings(_shell.Settings):
    """The environment of append_ledger."""

    audit_bucket: str
