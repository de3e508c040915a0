"""Versions of functions that earlier deployments published: which are still called, and the rest deleted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from perennial import keys
from perennial.cli.deployment import Deployment
from perennial.errors import EnvironmentLacking

__all__ = ["Pruned", "prune"]

_MACHINES = ("LearningMachineArn", "RolloutMachineArn", "LargeBatchMachineArn")
_VERSION = re.compile(r"arn:[\w-]+:lambda:[\w-]+:\d+:function:([\w-]+):(\d+)")


@dataclass(frozen=True, slots=True)
class Pruned:
    """Versions as `function:number`: those that a machine or an execution under way calls, and those deleted."""

    kept: tuple[str, ...]
    deleted: tuple[str, ...]


def prune(deployment: Deployment) -> Pruned:
    """
    Delete the versions that neither a state machine nor an execution under way calls.

    Raises
    ------
    EnvironmentLacking
        A stack is being deployed: what it has published just now, no machine calls yet.
    """
    newest = _called(deployment.states.describe_state_machine(stateMachineArn=deployment[one]) for one in _MACHINES)
    published = {
        f"{name}:{version['Version']}"
        for name in {one.partition(":")[0] for one in newest}
        for page in deployment.functions.get_paginator("list_versions_by_function").paginate(FunctionName=name)
        for version in page["Versions"]
        if version["Version"] != "$LATEST"
    }
    # In this order: what is published from here on isn't listed, and what was before is called by now.
    _require_rest(deployment)
    kept = _called(_definitions(deployment))
    deleted = sorted(published - kept)
    for one in deleted:
        name, _, number = one.partition(":")
        deployment.functions.delete_function(FunctionName=name, Qualifier=number)
    return Pruned(tuple(sorted(published & kept)), tuple(deleted))


def _require_rest(deployment: Deployment) -> None:
    cloudformation = deployment.client("cloudformation")
    for part in keys.STACK_PARTS:
        name = keys.stack_name(deployment.loop, deployment.stage, part)
        status = cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]
        if status.endswith("IN_PROGRESS"):
            raise EnvironmentLacking(f"stack {name} must be at rest. Got {status} instead: try again after it.")


def _definitions(deployment: Deployment) -> Iterator[dict[str, str]]:
    """What the machines do, and what each execution under way does, which began before."""
    for output in _MACHINES:
        machine = deployment[output]
        yield deployment.states.describe_state_machine(stateMachineArn=machine)
        pages = deployment.states.get_paginator("list_executions")
        for page in pages.paginate(stateMachineArn=machine, statusFilter="RUNNING"):
            for execution in page["executions"]:
                yield deployment.states.describe_state_machine_for_execution(executionArn=execution["executionArn"])


def _called(described: Iterator[dict[str, str]]) -> set[str]:
    return {f"{name}:{number}" for one in described for name, number in _VERSION.findall(one["definition"])}
