"""What a destroyed deployment left behind, found by its name in every service that it used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from perennial import keys

__all__ = ["LISTED", "leftovers"]

# What to list, and how: service, operation, key of the result, name of a thing (None: it is the name).
LISTED: Mapping[str, tuple[str, str, str, str | None]] = {
    "stack": ("cloudformation", "describe_stacks", "Stacks", "StackName"),
    "endpoint": ("sagemaker", "list_endpoints", "Endpoints", "EndpointName"),
    "endpoint configuration": ("sagemaker", "list_endpoint_configs", "EndpointConfigs", "EndpointConfigName"),
    "model": ("sagemaker", "list_models", "Models", "ModelName"),
    "model package group": (
        "sagemaker", "list_model_package_groups", "ModelPackageGroupSummaryList", "ModelPackageGroupName",
    ),
    "table": ("dynamodb", "list_tables", "TableNames", None),
    "bucket": ("s3", "list_buckets", "Buckets", "Name"),
    "function": ("lambda", "list_functions", "Functions", "FunctionName"),
    "rule": ("events", "list_rules", "Rules", "Name"),
    "event bus": ("events", "list_event_buses", "EventBuses", "Name"),
    "schedule": ("scheduler", "list_schedules", "Schedules", "Name"),
    "queue": ("sqs", "list_queues", "QueueUrls", None),
    "topic": ("sns", "list_topics", "Topics", "TopicArn"),
    "state machine": ("stepfunctions", "list_state_machines", "stateMachines", "name"),
    "metric alarm": ("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName"),
    "composite alarm": ("cloudwatch", "describe_alarms", "CompositeAlarms", "AlarmName"),
    "dashboard": ("cloudwatch", "list_dashboards", "DashboardEntries", "DashboardName"),
    "log group": ("logs", "describe_log_groups", "logGroups", "logGroupName"),
    "role": ("iam", "list_roles", "Roles", "RoleName"),
}  # fmt: skip
# A composite alarm isn't listed unless it is asked for.
_ASKED: Mapping[str, Mapping[str, Any]] = {"composite alarm": {"AlarmTypes": ["CompositeAlarm"]}}


def leftovers(client: Callable[[str], Any], loop: str, stage: str) -> Iterator[str]:
    """
    "kind name" of everything that bears the deployment's name.

    Every name that CloudFormation makes begins with the stack's, and every name of ours holds the deployment's. Keys
    have no names: theirs wait for their deletion, as CloudFormation leaves them, and cost nothing meanwhile.
    """
    deployment = keys.deployment_name(loop, stage)
    for kind, (service, operation, result, field) in LISTED.items():
        for name in _names(client(service), operation, result, field, **_ASKED.get(kind, {})):
            if deployment in name.lower():
                yield f"{kind} {name}"


def _names(client: Any, operation: str, result: str, field: str | None, **asked: Any) -> Iterator[str]:
    pages = (
        client.get_paginator(operation).paginate(**asked)
        if client.can_paginate(operation)
        else [getattr(client, operation)(**asked)]
    )
    for page in pages:
        for one in page.get(result, ()):
            yield str(one[field] if field else one)
