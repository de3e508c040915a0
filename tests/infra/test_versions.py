"""Published versions: a deployment in the middle of a rollout changes neither the code nor the policy that it runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra.packaging import ROOT
from perennial.project import Loop, parse_loop
from tests.infra.conftest import LOOP, Assembly, synthesized
from tests.infra.definitions import definitions


def versions(assembly: Assembly) -> dict[str, dict[str, Any]]:
    return {name: resource for _, name, resource in assembly.resources("AWS::Lambda::Version")}


def called(assembly: Assembly) -> list[tuple[str, str, str]]:
    """(machine, state, function's ARN) of every state that calls a function."""
    found = []
    for part in ("Data", "Serving", "Learning"):
        for machine, definition in definitions(assembly.templates[part], assembly.templates).items():
            for name, state in definition["States"].items():
                arns = [state.get("Resource", ""), str(state.get("Parameters", {}).get("FunctionName", ""))]
                found += [(machine, name, arn) for arn in arns if arn.startswith("arn:aws:lambda:")]
    return found


def loop_with_bake(minutes: int) -> Loop:
    toml = (ROOT / "loops" / LOOP / "loop.toml").read_text()
    assert 'bake = "' in toml
    before, _, rest = toml.partition('bake = "')
    return parse_loop(f'{before}bake = "{minutes}m"{rest[rest.index(chr(34)) + 1 :]}', folder_name=LOOP)


@pytest.fixture(scope="module")
def other_policy(tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    """The same loop with another bake, and nothing else changed."""
    return synthesized(tmp_path_factory.mktemp("cdk") / "out", loops=[loop_with_bake(minutes=11)])


def test_p74_machines_call_published_versions(assembly: Assembly):
    calls = called(assembly)
    assert len(calls) >= 11
    unqualified = {(machine, state) for machine, state, arn in calls if arn.count(":") == 6}
    assert {state for machine, state in unqualified} == {
        state for machine, state, arn in calls if machine.startswith("Learning") and ":function:RollBack" in arn
    }
    assert all(machine.startswith("Learning") for machine, _ in unqualified)


def test_a_version_outlives_the_deployment_that_replaces_it_unless_that_one_fails(assembly: Assembly):
    """RetainExceptOnCreate: a version of a failed deployment would keep the next from publishing the same code."""
    found = versions(assembly)
    assert len(found) == 11
    for name, version in found.items():
        assert (version["DeletionPolicy"], version["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain"), name


def test_another_policy_is_another_version_of_every_function_that_machines_call(
    assembly: Assembly, other_policy: Assembly
):
    """The loop's file is in the environment, which a version freezes: so is the policy."""
    before, after = versions(assembly), versions(other_policy)
    assert len(before) == len(after)
    assert before.keys().isdisjoint(after)


def test_what_no_version_freezes_publishes_none(assembly: Assembly, tmp_path: Path):
    """CloudFormation refuses to publish a version of what did not change: a function's tags must not ask for one."""
    tagged = synthesized(tmp_path, context={"loop": LOOP, "cost_centre": "another"})
    changed = versions(assembly).keys() ^ versions(tagged).keys()
    # It hands the tags on to what it has made, and so has them in its environment.
    assert {name.partition("FunctionCurrentVersion")[0] for name in changed} == {"PrepareRollout"}


def test_a_machine_may_call_the_versions_of_its_functions_whatever_their_number_and_nothing_unpublished(
    assembly: Assembly,
):
    for part, machine in (("Data", "LargeBatches"), ("Serving", "RolloutMachine"), ("Learning", "LearningMachine")):
        _, policy = assembly.one(part, "AWS::IAM::Policy", machine + ("MachineRole" if part == "Data" else "Role"))
        invoking = [
            resource
            for statement in policy["Properties"]["PolicyDocument"]["Statement"]
            if "lambda:InvokeFunction" in statement["Action"]
            for resource in (
                statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
            )
        ]
        own = [resource for resource in invoking if "Fn::ImportValue" not in resource]
        assert own
        for resource in own:
            separator, (function, rest) = resource["Fn::Join"]
            assert (separator, rest) == ("", ":*"), part
            assert function["Fn::GetAtt"][1] == "Arn"


def test_alarms_rules_queues_and_schedules_call_what_is_newest(assembly: Assembly):
    published = versions(assembly).keys()
    for kind in (
        *("AWS::Lambda::Permission", "AWS::Lambda::EventSourceMapping", "AWS::Events::Rule"),
        *("AWS::Scheduler::Schedule", "AWS::CloudWatch::CompositeAlarm"),
    ):
        resources = assembly.resources(kind)
        assert resources, kind
        for _, name, resource in resources:
            assert not any(version in json.dumps(resource) for version in published), name
