"""Names: what is one deployment's is never taken for another's."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from perennial import keys
from perennial.errors import StageInvalid
from perennial.stage import LONGEST_STAGE, environment_of, parse_stage
from tests.builders import make_loop

# What a loop may be called, by the contract itself; and a stage.
NAMES = st.from_regex(r"[a-z](-?[a-z0-9]){1,14}", fullmatch=True)
STAGES = st.from_regex(r"[a-z](-?[a-z0-9]){0,9}", fullmatch=True).filter(lambda name: len(name) <= LONGEST_STAGE)
DEPLOYMENTS = st.tuples(NAMES, STAGES)
RUNS = st.text("0123456789abcdef", min_size=40, max_size=40)
KINDS = st.sampled_from(["", "b", "e", "r"])
PARTS = st.sampled_from(["Data", "Serving", "Learning", "Observability"])
# API reference of SageMaker: CreateTrainingJob, CreateProcessingJob, CreateModel, CreateEndpointConfig.
SAGEMAKER = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
# API reference of CloudFormation: CreateStack.
STACK = re.compile(r"[a-zA-Z][-a-zA-Z0-9]{0,127}")


@given(DEPLOYMENTS, DEPLOYMENTS, RUNS, KINDS)
def test_no_deployment_s_resources_fit_the_permissions_of_another(one, other, run, kind):
    """`fraud-*` let loop fraud stop the jobs of loop fraud-x; `fraud--dev-*` those of stage dev-x."""
    belongs = keys.resource_name(*one, run, kind).startswith(keys.resource_prefix(*other))
    assert belongs == (one == other)


@pytest.mark.parametrize("near", [("a-dev", "x"), ("a", "dev-x"), ("a", "de"), ("a-b", "dev")])
def test_a_deployment_with_nearly_the_same_name_is_another(near):
    assert keys.deployment_name(*near) != keys.deployment_name("a", "dev")
    assert not keys.resource_name(*near, "0" * 40).startswith(keys.resource_prefix("a", "dev"))


@given(DEPLOYMENTS, RUNS, KINDS)
def test_a_resource_s_name_is_one_that_sagemaker_takes(deployment, run, kind):
    assert SAGEMAKER.fullmatch(keys.resource_name(*deployment, run, kind))


@given(DEPLOYMENTS)
def test_an_endpoint_and_a_package_group_have_names_that_sagemaker_takes(deployment):
    assert SAGEMAKER.fullmatch(keys.endpoint_name(*deployment))
    assert SAGEMAKER.fullmatch(keys.package_group_name(*deployment))


@given(DEPLOYMENTS, PARTS)
def test_a_stack_s_name_is_one_that_cloudformation_takes_and_says_whose_it_is(deployment, part):
    name = keys.stack_name(*deployment, part)
    assert STACK.fullmatch(name)
    assert keys.deployment_of_stack(name) == deployment


@pytest.mark.parametrize("name", ["CDKToolkit", "Perennial-bikeshare-Data", "Perennial-", "x--dev-Data"])
def test_a_stack_of_nobody_or_of_a_time_before_stages_is_no_deployment_s(name):
    assert keys.deployment_of_stack(name) is None


@given(NAMES)
def test_what_hypothesis_calls_a_loop_is_a_loop_s_name(name):
    assert make_loop(name=name).name == name


@given(STAGES)
def test_what_hypothesis_calls_a_stage_is_a_stage_s_name(name):
    assert parse_stage(name) == name


@pytest.mark.parametrize("name", ["fraud--x", "fraud-", "-fraud", "f", "Fraud", "2fraud", "fraud_x", "f" * 30])
def test_a_name_that_could_be_taken_for_another_loop_s_is_refused(name):
    with pytest.raises(ValidationError):
        make_loop(name=name)


@pytest.mark.parametrize("name", ["", "a--b", "dev-", "-dev", "Prod", "2nd", "a_b", "eleven-long", "dev\n"])
def test_a_name_that_could_be_taken_for_another_stage_s_is_refused_with_what_is_possible(name):
    with pytest.raises(StageInvalid, match=r"at most 10 .* such as dev, test, staging or prod\. Got"):
        parse_stage(name)


@given(RUNS, RUNS, KINDS, KINDS)
def test_the_longest_names_leave_room_for_what_tells_runs_apart(run, other, kind, other_kind):
    """Two runs of the same first 18 digits would be one in 2^72; all else is told apart."""
    loop, stage = "l" * 29, "s" * LONGEST_STAGE
    one, two = keys.resource_name(loop, stage, run, kind), keys.resource_name(loop, stage, other, other_kind)
    assert max(len(one), len(two)) <= 63
    assert (one == two) == ((run[:18], kind) == (other[:18], other_kind))


@pytest.mark.parametrize(
    ("stage", "environment"),
    [("dev", "development"), ("prod", "production"), ("production", "production"), ("staging", "staging")],
)
def test_the_environment_follows_the_stage(stage, environment):
    assert environment_of(stage) == environment


@given(DEPLOYMENTS, DEPLOYMENTS, PARTS, PARTS)
def test_what_a_stack_names_is_found_by_the_stack_s_name_and_by_no_other_s(one, other, part, other_part):
    """Without the part it would be: stage dev listed the alarms of stage dev-2."""
    named = f"{keys.stack_name(*one, part)}-Alarm12345"
    assert named.startswith(f"{keys.stack_name(*other, other_part)}-") == ((one, part) == (other, other_part))
