"""
All traffic back to the champion, from the catalog and SageMaker alone.

Trigger: rollout machine; the composite alarm's Lambda action (asynchronous); a person with {"cause": "person",
"reason": ...}.
Announces: Model Rolled Back. Raises EndpointBusy while the endpoint is Updating, so that whoever called tries
again.

AWS actions
-----------
- endpoint: sagemaker:DescribeEndpoint, sagemaker:UpdateEndpointWeightsAndCapacities
- catalog table: dynamodb:GetItem, PutItem, UpdateItem, DeleteItem, Query
- bus: events:PutEvents
- keys of those: kms:Decrypt
- lambda permission: lambda.alarms.cloudwatch.amazonaws.com with SourceArn of the alarm
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from functions import _shell

__all__ = ["Settings"]


class Settings(_shell.Settings):
    """The environment of roll_back."""

    endpoint_name: str
    # Guardrail alarms of each slot, by name: an alarm of the champion's slot doesn't roll a challenger back.
    alarm_names: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
