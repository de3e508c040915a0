"""
Approves inside the policy's bounds, or asks a person and keeps the machine waiting.

Trigger: learning machine, lambda:invoke.waitForTaskToken. Announces: Approval Requested, Approval Granted.

AWS actions
-----------
- learning machine: states:SendTaskSuccess, states:SendTaskFailure
- model package group's packages: sagemaker:DescribeModelPackage, sagemaker:UpdateModelPackage
- lake bucket: s3:GetObject on `models/*`, `reports/evaluations/*` and the loop's file asset; s3:ListBucket
- topic: sns:Publish
- catalog table: dynamodb:GetItem, PutItem, UpdateItem
- bus: events:PutEvents
- keys of those: kms:Decrypt, kms:GenerateDataKey
"""

from __future__ import annotations

from functions import _shell

__all__ = ["Settings"]


class Settings(_shell.Settings):
    """The environment of request_approval."""

    model_package_group: str
    topic_arn: str
