"""
The end of a learning run, whatever it was, on record.

Trigger: learning machine, last, on success and on Catch. Announces: Learning Concluded.

AWS actions
-----------
- lake bucket: s3:GetObject on the loop's file asset
- catalog table: dynamodb:GetItem, PutItem, UpdateItem
- bus: events:PutEvents
- keys of those: kms:Decrypt
"""

from __future__ import annotations

from functions import _shell

__all__ = ["Settings"]


class Settings(_shell.Settings):
    """The environment of conclude_run."""
