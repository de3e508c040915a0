"""
A person's answer in the registry reaches the waiting machine, if it counts.

Trigger: EventBridge (default bus), "SageMaker Model Package State Change" of the loop's group. Announces: Approval
Granted, Approval Denied.

AWS actions
-----------
- learning machine: states:SendTaskSuccess
- model package group's packages: sagemaker:DescribeModelPackage, sagemaker:UpdateModelPackage
- lake bucket: s3:GetObject on `models/*` and the loop's file asset; s3:ListBucket
- catalog table: dynamodb:GetItem, PutItem, UpdateItem
- bus: events:PutEvents
- keys of those: kms:Decrypt
"""

from __future__ import annotations

from functions import _shell

__all__ = ["Settings"]


class Settings(_shell.Settings):
    """The environment of settle_approval."""

    model_package_group: str
