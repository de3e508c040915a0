"""
Says once when data has stayed away longer than the contract allows.

Trigger: EventBridge Scheduler, a rate. Announces: Data Outage (one an outage). Metrics: DataAgeSeconds.

AWS actions
-----------
- lake bucket: s3:GetObject on the loop's file asset
- catalog table: dynamodb:GetItem, PutItem, UpdateItem
- bus: events:PutEvents
- keys of those: kms:Decrypt, kms:GenerateDataKey
"""

from __future__ import annotations

from functions import _shell

__all__ = ["Settings"]


class Settings(_shell.Settings):
    """The environment of check_freshness."""
