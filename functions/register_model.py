"""
A candidate that passed the gate becomes a model package and a model version, bound to its artifact's digest.

Trigger: learning machine. Announces: Model Registered. Raises ArtifactChanged.

AWS actions
-----------
- lake bucket: s3:GetObject on `models/*`, `reports/evaluations/*` and the loop's file asset; s3:ListBucket
  (SageMaker itself reads
  the artifact with the caller's rights when it registers it)
- model package group and its packages: sagemaker:CreateModelPackage, sagemaker:DescribeModelPackage,
  sagemaker:ListModelPackages, sagemaker:AddTags
- catalog table: dynamodb:GetItem, PutItem, UpdateItem
- bus: events:PutEvents
- keys of those: kms:Decrypt
"""

from __future__ import annotations

from functions import _shell

__all__ = ["Settings"]


class Settings(_shell.Settings):
    """The environment of register_model."""

    model_package_group: str
    image_uri: str
