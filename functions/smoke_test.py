"""
The challenger must answer the evaluation's own rows as the evaluation did, before it takes any traffic.

Trigger: rollout machine. Raises SmokeTestFailed.

AWS actions
-----------
- endpoint: sagemaker:InvokeEndpoint, sagemaker:DescribeEndpoint
- lake bucket: s3:GetObject on `reports/evaluations/*` and the loop's file asset; s3:ListBucket
- catalog table: dynamodb:GetItem
- keys of those: kms:Decrypt
"""

from __future__ import annotations

from functions import _shell

__all__ = ["Settings"]


class Settings(_shell.Settings):
    """The environment of smoke_test."""

    endpoint_name: str
