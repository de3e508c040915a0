"""
The plan of one rollout: lock, slots, endpoint configuration, steps.

Trigger: rollout machine. Announces: Rollout Started. Raises LockHeld, ArtifactChanged, ApprovalRefused,
EndpointBusy.

AWS actions
-----------
- endpoint and its configurations: sagemaker:DescribeEndpoint, sagemaker:DescribeEndpointConfig
- lake bucket: s3:GetObject on `models/*` and the loop's file asset; s3:ListBucket
- catalog table: dynamodb:GetItem, PutItem, UpdateItem, DeleteItem
- bus: events:PutEvents
- keys of those: kms:Decrypt
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from functions import _shell

__all__ = ["Settings"]


class Settings(_shell.Settings):
    """The environment of prepare_rollout."""

    endpoint_name: str
    image_uri: str
    # Hosting instance, unless the loop's rollout policy names one.
    instance_type: str = "ml.m5.large"
    kms_key_arn: str = ""
    # Tags of everything the rollout creates, beside those that name the loop and the model version.
    tags: Mapping[str, str] = Field(default_factory=dict)
