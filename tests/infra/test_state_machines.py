"""The machines call only what exists, with arguments that AWS would take, and always have a way out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import botocore.session
import pytest
from botocore.model import ListShape, MapShape, Shape, StructureShape

from tests.infra.conftest import Assembly
from tests.infra.definitions import definitions

# https://docs.aws.amazon.com/step-functions/latest/dg/integrate-optimized.html: optimized integrations.
OPTIMIZED = {
    "lambda:invoke.waitForTaskToken": ("lambda", "Invoke"),
    "sagemaker:createTrainingJob.sync": ("sagemaker", "CreateTrainingJob"),
    "sagemaker:createProcessingJob.sync": ("sagemaker", "CreateProcessingJob"),
    "sqs:sendMessage": ("sqs", "SendMessage"),
    "states:startExecution.sync:2": ("stepfunctions", "StartExecution"),
}
# https://docs.aws.amazon.com/step-functions/latest/dg/supported-services-awssdk.html: any operation of SageMaker's API.
SDK = {
    "aws-sdk:sagemaker:createEndpoint",
    "aws-sdk:sagemaker:createEndpointConfig",
    "aws-sdk:sagemaker:createModel",
    "aws-sdk:sagemaker:deleteEndpoint",
    "aws-sdk:sagemaker:describeEndpoint",
    "aws-sdk:sagemaker:describeEndpointConfig",
    "aws-sdk:sagemaker:describeModel",
    "aws-sdk:sagemaker:updateEndpoint",
    "aws-sdk:sagemaker:updateEndpointWeightsAndCapacities",
}
PREFIX = "arn:aws:states:::"
# An approval may take a year, which is also the longest that a Standard execution may take.
YEAR_SECONDS = 365 * 86400


@pytest.fixture(scope="module")
def machines(assembly: Assembly) -> dict[str, dict[str, Any]]:
    found = {}
    for part in ("Data", "Serving", "Learning"):
        found |= definitions(assembly.templates[part], assembly.templates)
    assert len(found) == 3
    return found


def tasks(machines: dict[str, dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for machine in machines.values():
        for name, state in machine["States"].items():
            if state["Type"] == "Task":
                yield name, state


def test_every_resource_is_an_integration_that_exists_or_a_function_of_the_app(machines, assembly):
    functions = {name for _, name, _ in assembly.resources("AWS::Lambda::Function")}
    for name, state in tasks(machines):
        resource = state["Resource"]
        if resource.startswith("arn:aws:lambda:"):
            assert resource.split(":")[6] in functions, name
        else:
            assert resource.removeprefix(PREFIX) in OPTIMIZED.keys() | SDK, f"{name}: {resource}"


def test_every_sdk_integration_is_an_operation_of_sagemaker():
    operations = botocore.session.get_session().get_service_model("sagemaker").operation_names
    for resource in SDK:
        action = resource.rpartition(":")[2]
        assert action[0].upper() + action[1:] in operations


def test_every_argument_fits_the_shape_that_aws_takes(machines):
    checked = 0
    for name, state in tasks(machines):
        resource = state["Resource"].removeprefix(PREFIX)
        if resource.startswith("arn:aws:lambda:"):
            continue
        service, operation = OPTIMIZED.get(resource) or ("sagemaker", resource.rpartition(":")[2])
        operation = operation[0].upper() + operation[1:]
        model = botocore.session.get_session().get_service_model(service).operation_model(operation)
        assert list(misfits(state["Parameters"], model.input_shape, name, states_case=service == "stepfunctions")) == []
        checked += 1
    assert checked >= 11


def misfits(value: Any, shape: Shape, where: str, *, states_case: bool = False) -> Iterator[str]:
    """What AWS would refuse in `value`: unknown or missing members, wrong types, refused enumeration values."""
    match shape:
        case StructureShape():
            if not isinstance(value, dict):
                yield f"{where}: must be an object"
                return
            # Step Functions' own integration writes members in PascalCase where its API has camelCase.
            members = {
                name[0].upper() + name[1:] if states_case else name: part for name, part in shape.members.items()
            }
            required = {name[0].upper() + name[1:] if states_case else name for name in shape.required_members}
            given = {key.removesuffix(".$") for key in value}
            yield from (f"{where}: lacks {name}" for name in sorted(required - given))
            for key, item in value.items():
                name = key.removesuffix(".$")
                if name not in members:
                    yield f"{where}: has no member {name}"
                elif key.endswith(".$"):
                    if not str(item).startswith(("$", "States.")):
                        yield f"{where}.{name}: must be a path"
                else:
                    yield from misfits(item, members[name], f"{where}.{name}")
        case ListShape():
            if not isinstance(value, list):
                yield f"{where}: must be a list"
                return
            for index, item in enumerate(value):
                yield from misfits(item, shape.member, f"{where}[{index}]")
        case MapShape():
            for key, item in value.items():
                yield from misfits(item, shape.value, f"{where}.{key}")
        case _:
            yield from scalar_misfits(value, shape, where)


def scalar_misfits(value: Any, shape: Shape, where: str) -> Iterator[str]:
    # Step Functions turns an object into JSON text where the API takes a document: Input of StartExecution, Payload.
    if where.endswith((".Input", ".Payload")):
        return
    kinds = {"string": str, "integer": int, "long": int, "boolean": bool, "float": (int, float), "double": (int, float)}
    if not isinstance(value, kinds[shape.type_name]) or (isinstance(value, bool) and shape.type_name != "boolean"):
        yield f"{where}: must be {shape.type_name}, got {value!r}"
    allowed = getattr(shape, "enum", None)
    if allowed and value not in allowed:
        yield f"{where}: must be one of {allowed}, got {value!r}"
    limits = shape.metadata
    if isinstance(value, str) and len(value) > limits.get("max", len(value)):
        yield f"{where}: longer than {limits['max']}"
    if isinstance(value, int) and not limits.get("min", value) <= value <= limits.get("max", value):
        yield f"{where}: must be {limits.get('min')} to {limits.get('max')}, got {value}"


def test_the_shape_check_sees_what_is_wrong():
    model = botocore.session.get_session().get_service_model("sagemaker").operation_model("CreateEndpoint")
    wrong = {"EndpointName.$": "$.name", "Endpoint": "x", "Tags": "none"}
    assert list(misfits(wrong, model.input_shape, "w")) == [
        "w: lacks EndpointConfigName",
        "w: has no member Endpoint",
        "w.Tags: must be a list",
    ]


def test_every_task_has_a_time_out_a_retry_with_jitter_and_a_way_out(machines):
    for name, state in tasks(machines):
        assert 0 < state["TimeoutSeconds"] <= YEAR_SECONDS, name
        assert state["Retry"], name
        assert all(retrier["JitterStrategy"] == "FULL" for retrier in state["Retry"]), name
        assert all(retrier["MaxDelaySeconds"] >= retrier["IntervalSeconds"] for retrier in state["Retry"]), name
        assert state["Catch"][-1]["ErrorEquals"] == ["States.ALL"], name
        assert "States.ALL" not in [error for retrier in state["Retry"] for error in retrier["ErrorEquals"]], name


def test_every_state_can_be_reached_and_leads_to_an_end(machines):
    for machine in machines.values():
        states = machine["States"]
        following = {name: set(next_states(state)) for name, state in states.items()}
        assert all(target in states for targets in following.values() for target in targets)
        assert states.keys() == reachable(machine["StartAt"], following)
        ends = {name for name, state in states.items() if state.get("End") or state["Type"] in ("Succeed", "Fail")}
        backwards = {name: {one for one, targets in following.items() if name in targets} for name in states}
        assert states.keys() == set().union(*(reachable(end, backwards) for end in ends))


def next_states(state: dict[str, Any]) -> Iterator[str]:
    for holder in (state, *state.get("Catch", []), *state.get("Choices", [])):
        if "Next" in holder:
            yield holder["Next"]
    if "Default" in state:
        yield state["Default"]


def reachable(start: str, following: dict[str, set[str]]) -> set[str]:
    seen, waiting = set(), [start]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += following[name]
    return seen


def test_a_choice_never_ends_a_run_by_falling_through(machines):
    for machine in machines.values():
        for name, state in machine["States"].items():
            assert state["Type"] != "Choice" or "Default" in state, name


def test_in_doubt_the_rollout_goes_back_to_the_champion(machines):
    (rollout,) = (machine for machine in machines.values() if "Prepare" in machine["States"])
    states = rollout["States"]
    assert states["Decide"]["Default"] == "RollBackDecided"
    touched = {"CreateEndpoint", "UpdateEndpoint", "SmokeTest", "Begin", "UpdateWeights", "Analyse", "Finish"}
    for name in touched:
        way_out = states[name]["Catch"][-1]["Next"]
        assert way_out in ("RollBackFailure", "DeploymentBegins"), name
    for name in ("DeploymentSettled", "StepSettled"):
        assert states[name]["Default"] == "RollBackFailure", name


def test_only_a_passed_verdict_and_an_approval_lead_to_a_rollout(machines):
    (learning,) = (machine for machine in machines.values() if "FreezeDataset" in machine["States"])
    states = learning["States"]
    following = {name: set(next_states(state)) for name, state in states.items()}
    assert [name for name, targets in following.items() if "RollOut" in targets] == ["WhetherApproved"]
    assert [name for name, targets in following.items() if "Register" in targets] == ["WhetherItPassed"]
    assert {"StringEquals": "passed"}.items() <= states["WhetherItPassed"]["Choices"][0].items()
    assert {"BooleanEquals": True}.items() <= states["WhetherApproved"]["Choices"][0].items()


def test_a_large_file_that_no_batch_can_be_made_of_goes_back_to_the_dead_letters_of_its_queue(machines):
    (large,) = (machine for machine in machines.values() if "MakeBatch" in machine["States"])
    states = large["States"]
    for name in ("MakeBatch", "RecordBatch"):
        assert states[name]["Catch"] == [{"ErrorEquals": ["States.ALL"], "Next": "GiveBack", "ResultPath": "$.error"}]
    assert states["GiveBack"]["Parameters"]["QueueUrl"].startswith("BatchesDeadLetters")
    assert {states["GiveBack"]["Next"], states["GiveBack"]["Catch"][0]["Next"]} == {"NotMade"}


def test_a_failed_endpoint_is_deleted_only_where_the_plan_says_that_no_champion_is_on_it(machines):
    (rollout,) = (machine for machine in machines.values() if "Prepare" in machine["States"])
    states = rollout["States"]
    following = {name: set(next_states(state)) for name, state in states.items()}
    assert [name for name, targets in following.items() if "FailedEndpointBegins" in targets] == ["EndpointExists"]
    assert states["EndpointExists"]["Choices"][0] == {
        "Variable": "$.plan.endpoint_failed",
        "BooleanEquals": True,
        "Next": "FailedEndpointBegins",
    }
    deleting = [name for name, state in states.items() if state.get("Resource", "").endswith(":deleteEndpoint")]
    assert deleting == ["FailedEndpointBegins"]


def test_a_function_ends_by_itself_before_its_state_gives_it_up(machines, assembly):
    seconds = {
        name: function["Properties"]["Timeout"] for _, name, function in assembly.resources("AWS::Lambda::Function")
    }
    for name, state in tasks(machines):
        if state["Resource"].startswith("arn:aws:lambda:"):
            assert state["TimeoutSeconds"] > seconds[state["Resource"].split(":")[6]], name
            assert ["Sandbox.Timedout", "Lambda.Unknown"] in [one["ErrorEquals"] for one in state["Retry"]], name


def test_a_machine_that_hands_out_task_tokens_keeps_them_out_of_its_log(machines, assembly):
    """Whoever reads a token and may send a task's success could approve."""
    for _, name, resource in assembly.resources("AWS::StepFunctions::StateMachine"):
        tokens = "Task.Token" in str(machines[name])
        assert resource["Properties"]["LoggingConfiguration"]["IncludeExecutionData"] is not tokens, name
    assert sum("Task.Token" in str(machine) for machine in machines.values()) == 1


def test_machines_are_standard_logged_in_full_and_traced(assembly):
    for _, name, resource in assembly.resources("AWS::StepFunctions::StateMachine"):
        properties = resource["Properties"]
        assert properties["StateMachineType"] == "STANDARD", name
        assert properties["LoggingConfiguration"]["Level"] == "ALL", name
        assert properties["TracingConfiguration"]["Enabled"] is True, name


def test_definitions_keep_within_the_size_that_step_functions_takes(assembly):
    for part in ("Data", "Serving", "Learning"):
        for machine in definitions(assembly.templates[part], assembly.templates).values():
            assert len(str(machine)) < 1_000_000
