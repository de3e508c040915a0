"""
After each bake: both variants' figures since the step began, and whether to advance, hold, roll back or finish.

Trigger: rollout machine. Announces: Rollout Advanced, Rollout Held. Metrics: TrafficShare (loop and variant).

AWS actions
-----------
- cloudwatch:GetMetricData, cloudwatch:DescribeAlarms (neither takes resources)
- endpoint: sagemaker:DescribeEndpoint
- lake bucket: s3:GetObject on `reports/evaluations/*` and the loop's file asset; s3:ListBucket
- catalog table: dynamodb:GetItem, PutItem, UpdateItem, Query
- bus: events:PutEvents
- keys of those: kms:Decrypt
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from functions import _shell

__all__ = ["Settings"]


class Settings(_shell.Settings):
    """The environment of analyse_canary."""

    endpoint_name: str
    # Guardrail alarms of each slot, by name.
    alarm_names: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
