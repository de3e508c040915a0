"""
One signal in, one decision out: start a learning run or say why not.

Trigger: bus (Drift Detected, Performance Fell, Batch Accepted); EventBridge Scheduler with {"signal": "schedule"};
a person with
{"signal": "manual", "reason": ..., "hyperparameters": {...}}. Announces: Retraining Requested, Retraining Declined.

AWS actions
-----------
- learning machine: states:StartExecution; its executions: states:DescribeExecution
- lake bucket: s3:GetObject on the loop's file asset
- catalog table: dynamodb:GetItem, PutItem, UpdateItem, Query
- bus: events:PutEvents
- keys of those: kms:Decrypt, kms:GenerateDataKey
"""

from __future__ import annotations

from functions import _shell

__all__ = ["Settings"]


class Settings(_shell.Settings):
    """The environment of decide_retraining."""

    learning_machine_arn: str
