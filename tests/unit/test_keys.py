"""Names: what is one loop's is never taken for another's."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from perennial import keys
from tests.builders import make_loop

# What a loop may be called, by the contract itself.
NAMES = st.from_regex(r"[a-z](-?[a-z0-9]){1,14}", fullmatch=True)
RUNS = st.text("0123456789abcdef", min_size=40, max_size=40)
# API reference of SageMaker: CreateTrainingJob, CreateProcessingJob, CreateModel, CreateEndpointConfig.
SAGEMAKER = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")


@given(NAMES, NAMES, RUNS)
def test_no_loop_s_resources_fit_the_permissions_of_another(one, other, run):
    """`fraud-*` let loop fraud stop the jobs of loop fraud-x."""
    belongs = keys.resource_name(one, run).startswith(keys.resource_prefix(other))
    assert belongs == (one == other)


@given(NAMES, RUNS)
def test_a_resource_s_name_is_one_that_sagemaker_takes(name, run):
    for suffix in (run, f"{run[:24]}-e", f"{run[:24]}-b"):
        assert SAGEMAKER.fullmatch(keys.resource_name(name, suffix))


@given(NAMES)
def test_what_hypothesis_calls_a_loop_is_a_loop_s_name(name):
    assert make_loop(name=name).name == name


@pytest.mark.parametrize("name", ["fraud--x", "fraud-", "-fraud", "f", "Fraud", "2fraud", "fraud_x", "f" * 30])
def test_a_name_that_could_be_taken_for_another_loop_s_is_refused(name):
    with pytest.raises(ValidationError):
        make_loop(name=name)


@given(st.text("abc", min_size=29, max_size=29), RUNS)
def test_the_longest_name_leaves_room_for_what_tells_runs_apart(name, run):
    assert len(keys.resource_name(name, run)) == 63
    assert keys.resource_name(name, f"{run[:24]}-e").endswith(f"{run[:24]}-e")
