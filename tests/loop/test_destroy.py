"""`cdk destroy` leaves nothing of a loop behind, whoever made it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.iam.recorded import Deployed
from tests.loop.conftest import Cycle
from tests.loop.journey import LOOP, Journey

pytestmark = pytest.mark.local_cloud

STACKS = f"Perennial-{LOOP}--dev-"


def _names(client: Any, operation: str, result: str, field: str | None, **asked: Any) -> list[str]:
    pages = (
        client.get_paginator(operation).paginate(**asked)
        if client.can_paginate(operation)
        else [getattr(client, operation)(**asked)]
    )
    found = [one for page in pages for one in page[result]]
    return [one[field] if field else one for one in found]


# What to list, and how: service, operation, key of the result, name of a thing (None: it is the name).
LISTED: dict[str, tuple[str, str, str, str | None]] = {
    "stacks": ("cloudformation", "describe_stacks", "Stacks", "StackName"),
    "endpoints": ("sagemaker", "list_endpoints", "Endpoints", "EndpointName"),
    "endpoint configurations": ("sagemaker", "list_endpoint_configs", "EndpointConfigs", "EndpointConfigName"),
    "models": ("sagemaker", "list_models", "Models", "ModelName"),
    "model package groups": (
        "sagemaker", "list_model_package_groups", "ModelPackageGroupSummaryList", "ModelPackageGroupName",
    ),
    "tables": ("dynamodb", "list_tables", "TableNames", None),
    "buckets": ("s3", "list_buckets", "Buckets", "Name"),
    "functions": ("lambda", "list_functions", "Functions", "FunctionName"),
    "event sources of functions": ("lambda", "list_event_source_mappings", "EventSourceMappings", "UUID"),
    "rules": ("events", "list_rules", "Rules", "Name"),
    "event buses": ("events", "list_event_buses", "EventBuses", "Name"),
    "schedules": ("scheduler", "list_schedules", "Schedules", "Name"),
    "queues": ("sqs", "list_queues", "QueueUrls", None),
    "topics": ("sns", "list_topics", "Topics", "TopicArn"),
    "state machines": ("stepfunctions", "list_state_machines", "stateMachines", "name"),
    "alarms": ("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName"),
    "dashboards": ("cloudwatch", "list_dashboards", "DashboardEntries", "DashboardName"),
    "log groups": ("logs", "describe_log_groups", "logGroups", "logGroupName"),
}  # fmt: skip
# What is not the loop's: the bootstrap's, AWS's own, and jobs' logs, which every loop of an account shares.
OTHERS: dict[str, Callable[[str], bool]] = {
    "stacks": lambda name: name == "CDKToolkit",
    "buckets": lambda name: name.startswith("cdk-"),
    "event buses": lambda name: name == "default",
    "log groups": lambda name: name in ("/aws/sagemaker/TrainingJobs", "/aws/sagemaker/ProcessingJobs"),
}


def _everything(journey: Journey) -> dict[str, list[str]]:
    found = {}
    for what, (service, operation, result, name) in LISTED.items():
        client = journey.client(service)
        try:
            names = _names(client, operation, result, name)
        except KeyError:
            names = []  # SQS leaves the list out when it is empty
        others = OTHERS.get(what, lambda name: False)
        found[what] = [one for one in names if not others(one)]
    return found


@pytest.fixture(scope="module")
def looks(
    journey: Journey, permissions: Deployed, rolled_back: Cycle
) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """What there was before and after `cdk destroy --all --force`."""
    before = _everything(journey)
    journey.cloud.cdk(
        "destroy", "--all", "--force", "--app", str(journey.assembly), output=journey.assembly.with_name("destroy.log")
    )
    return before, _everything(journey)


@pytest.mark.parametrize("what", sorted(LISTED))
def test_destroy_leaves_none_of_the_loops(looks: tuple[dict[str, list[str]], dict[str, list[str]]], what: str):
    before, after = looks
    assert before[what], "there must have been some, or the test looks in the wrong place"
    assert after[what] == []
