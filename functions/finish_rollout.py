"""
The challenger becomes the champion: the live pointer moves, the lock is released.

Trigger: rollout machine. Announces: Model Promoted. Raises Fenced, EndpointDiverged.

AWS actions
-----------
- endpoint: sagemaker:DescribeEndpoint
- lake bucket: s3:GetObject on the loop's file asset
- catalog table: dynamodb:GetItem, PutItem, UpdateItem, DeleteItem
- bus: events:PutEvents
- keys of those: kms:Decrypt
"""

from __future__ import annotations

from functions import _shell

__all__ = ["Settings"]


class Settings(_shell.Settings):
    """The environment of finish_rollout."""

    endpoint_name: str
