"""
The newest window is compared with the champion's reference; the report says which columns moved and by how much.

Trigger: bus, Batch Accepted. Announces: Drift Detected. Metrics: DriftEffect (largest weighted effect),
DriftedColumns.

AWS actions
-----------
- lake bucket: s3:GetObject on `profiles/*` and the loop's file asset; s3:PutObject on `reports/drift/*`;
  s3:ListBucket
- catalog table: dynamodb:GetItem, PutItem, UpdateItem, Query
- bus: events:PutEvents
- keys of those: kms:Decrypt, kms:GenerateDataKey
"""

from __future__ import annotations

from functions import _shell

__all__ = ["Settings"]


class Settings(_shell.Settings):
    """The environment of check_drift."""
