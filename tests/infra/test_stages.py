"""Stages: a loop is deployed several times in one account and region, and no deployment has anything of another's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from infra.packaging import ROOT
from infra.settings import Deployment
from perennial import keys
from perennial.errors import StageInvalid
from perennial.project import load_loop
from tests.infra.conftest import LOOP, STAGE, Assembly, synthesized

OTHER = "stage-b"
# Names that templates give, and what makes CloudFormation and people tell them apart.
GIVEN = {
    "AWS::CloudWatch::CompositeAlarm": "AlarmName",
    "AWS::SageMaker::ModelPackageGroup": "ModelPackageGroupName",
}


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    """The same loop in another stage."""
    return synthesized(tmp_path_factory.mktemp("cdk") / "out", stage=OTHER, context={"loop": LOOP, "stage": OTHER})


def texts(value: Any) -> Iterator[str]:
    """Every text in a template, keys aside."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from texts(one)


def given_names(assembly: Assembly) -> set[str]:
    """Physical names and exports: what two templates of one account must not share."""
    names = {
        resource["Properties"][key]
        for _, _, resource in assembly.resources()
        for key in ("Name", GIVEN.get(resource["Type"], ""))
        if isinstance(resource.get("Properties", {}).get(key), str)
    }
    exports = {
        output["Export"]["Name"]
        for found in assembly.templates.values()
        for output in found["Outputs"].values()
        if "Export" in output
    }
    endpoints = {found["Value"] for found in [assembly.templates["Serving"]["Outputs"]["EndpointName"]]}
    return names | exports | endpoints


def test_two_stages_share_no_name(assembly: Assembly, other: Assembly):
    one, two = given_names(assembly), given_names(other)
    assert len(one) > 10
    assert len(one) == len(two)
    assert one.isdisjoint(two)


def test_nothing_of_a_stage_speaks_of_another(other: Assembly):
    ours, theirs = keys.deployment_name(LOOP, OTHER), keys.deployment_name(LOOP, STAGE)
    everything = [text for found in other.templates.values() for text in texts(found)]
    assert any(ours in text for text in everything)
    assert [text for text in everything if theirs in text] == []


def test_a_name_that_templates_give_says_whose_it_is(other: Assembly):
    for kind, key in GIVEN.items():
        named = [resource["Properties"][key] for _, _, resource in other.resources(kind)]
        assert named, kind
        assert [name for name in named if keys.deployment_name(LOOP, OTHER) not in name] == [], kind


def test_two_stages_differ_in_names_and_in_nothing_else(assembly: Assembly, other: Assembly):
    def shape(found: Assembly) -> dict[str, int]:
        kinds = [resource["Type"] for _, _, resource in found.resources()]
        return {kind: kinds.count(kind) for kind in sorted(set(kinds))}

    assert shape(assembly) == shape(other)


def test_metrics_of_two_stages_are_told_apart(other: Assembly):
    """A dashboard over the dimension `loop` alone would draw the mean of two stages."""
    ((_, _, dashboard),) = other.resources("AWS::CloudWatch::Dashboard")
    body = "".join(texts(dashboard["Properties"]["DashboardBody"]))
    ours = body.count('"Perennial"')
    assert ours > 5
    assert body.count(f'"loop","{LOOP}","stage","{OTHER}"') == ours
    for _, name, resource in other.resources("AWS::Lambda::Function"):
        environment = resource["Properties"]["Environment"]["Variables"]
        assert (environment["LOOP_NAME"], environment["STAGE"]) == (LOOP, OTHER), name


def test_everything_is_tagged_with_the_stage_and_the_deployment(other: Assembly):
    for kind in ("AWS::S3::Bucket", "AWS::Lambda::Function", "AWS::StepFunctions::StateMachine", "AWS::KMS::Key"):
        for _, name, resource in other.resources(kind):
            tags = {one["Key"]: one["Value"] for one in resource["Properties"]["Tags"]}
            assert (tags["stage"], tags["deployment"]) == (OTHER, f"{LOOP}--{OTHER}"), name
    ((_, _, budget),) = other.resources("AWS::Budgets::Budget")
    assert budget["Properties"]["Budget"]["CostFilters"]["TagKeyValue"] == [f"user:deployment${LOOP}--{OTHER}"]


@pytest.mark.parametrize("stage", ["My_Stage", "a--b", "much-too-long"])
def test_a_stage_that_names_cannot_bear_is_refused_at_synthesis(stage: str):
    from infra.stacks import make_app

    with pytest.raises(StageInvalid, match=r"stage must be at most 10 .* such as dev, test, staging or prod"):
        make_app(context={"loop": LOOP, "stage": stage})


@pytest.mark.parametrize(
    ("context", "environment", "keeps"),
    [
        ({}, "development", False),
        ({"stage": "prod"}, "production", True),
        ({"stage": "production"}, "production", True),
        ({"stage": "staging"}, "staging", False),
        ({"stage": "prod", "environment": "staging"}, "staging", False),
        ({"stage": "prod", "keep_data": "false"}, "production", False),
        ({"stage": "blue", "environment": "production"}, "production", True),
    ],
)
def test_environment_and_kept_data_follow_the_stage_unless_told_otherwise(
    context: dict[str, str], environment: str, keeps: bool
):
    import aws_cdk as cdk

    deployment = Deployment.from_context(cdk.App(context=context).node)
    assert (deployment.environment, deployment.keep_data) == (environment, keeps)
    assert deployment.tags(load_loop(ROOT / "loops" / LOOP))["environment"] == environment
