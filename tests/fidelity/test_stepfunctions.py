"""Step Functions: what a definition may say, how it runs, and how it fails."""

from __future__ import annotations

import itertools
import json
import time
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.fidelity.cloud import Cloud, allow, fresh, single, task
from tests.waiting import until

INVOKE = "arn:aws:states:::lambda:invoke"
ECHO = "def handler(event, context): return event"
BOOM = "class Boom(Exception): pass\ndef handler(event, context): raise Boom('no')"


@pytest.fixture(scope="module")
def echo(cloud: Cloud) -> str:
    return cloud.function(ECHO)


@pytest.fixture(scope="module")
def boom(cloud: Cloud) -> str:
    return cloud.function(BOOM)


@pytest.mark.parametrize(
    ("definition", "said"),
    [
        ({"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "B"}}}, "MISSING_TRANSITION_TARGET"),
        ({"States": {"A": {"Type": "Pass", "End": True}}}, "'StartAt' is required"),
        ({"StartAt": "B", "States": {"A": {"Type": "Pass", "End": True}}}, "MISSING_TRANSITION_TARGET"),
        (task("arn:aws:states:::nothing:like"), "INVALID_RESOURCE"),
        (task("arn:aws:states:::aws-sdk:sagemaker:doesNotExist"), "has no action doesNotExist"),
        (task("arn:aws:states:::sagemaker:createEndpoint.sync"), "does not support .sync"),
        (
            task("arn:aws:states:::sagemaker:createTrainingJob.waitForTaskToken", {"t.$": "$$.Task.Token"}),
            "not support",
        ),
        (task(INVOKE + ".waitForTaskToken", {"FunctionName": "f"}), "must pass the token"),
        (single({"Type": "Pass"}), "Exactly one of the fields 'Next' and 'End'"),
        (single({"Type": "Wait", "Seconds": 1, "Timestamp": "x", "End": True}), "Exactly one of Seconds"),
        (single({"Type": "Pass", "Output": 1, "End": True}), "not supported with the query language JSONPath"),
        (single({"Type": "Nonsense", "End": True}), "'Type' must be one of"),
    ],
)
def test_a_definition_that_could_not_run_is_refused(cloud: Cloud, definition: dict[str, Any], said: str) -> None:
    """docs.aws.amazon.com/step-functions/latest/apireference/API_CreateStateMachine.html, 2026-11: InvalidDefinition.
    ministack 1.5.33 takes them all."""
    with pytest.raises(ClientError, match=said) as refused:
        cloud.machine(definition)
    assert refused.value.response["Error"]["Code"] == "InvalidDefinition"


def test_a_definition_can_be_validated_without_being_created(cloud: Cloud) -> None:
    """API_ValidateStateMachineDefinition, 2026-11."""
    answer = cloud.client("stepfunctions").validate_state_machine_definition(
        definition=json.dumps({"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "B"}}})
    )
    assert answer["result"] == "FAIL"
    assert answer["diagnostics"][0]["location"] == "/States/A/Next"


def test_a_function_called_by_its_arn_has_events_of_its_own(cloud: Cloud, echo: str, boom: str) -> None:
    """API_HistoryEvent and connect-lambda.html, 2026-11: LambdaFunction* where the Resource is a function's ARN, Task*
    where it is an integration; the output is what the function returned."""
    lambdas = cloud.client("lambda")
    arns = [lambdas.get_function(FunctionName=name)["Configuration"]["FunctionArn"] for name in (echo, boom)]
    answered = cloud.run(task(arns[0], TimeoutSeconds=20), {"a": 1})
    assert answered.output == {"a": 1}
    kinds = [kind for kind in answered.types if kind.startswith("LambdaFunction")]
    assert kinds == ["LambdaFunctionScheduled", "LambdaFunctionStarted", "LambdaFunctionSucceeded"]
    scheduled = next(event for event in answered.events if event["type"] == kinds[0])
    details = scheduled["lambdaFunctionScheduledEventDetails"]
    assert (details["resource"], json.loads(details["input"]), details["timeoutInSeconds"]) == (arns[0], {"a": 1}, 20)
    failed = cloud.run(task(arns[1]))
    (told,) = [event for event in failed.events if event["type"] == "LambdaFunctionFailed"]
    assert told["lambdaFunctionFailedEventDetails"]["error"] == "Boom"
    assert not [kind for kind in (*answered.types, *failed.types) if kind in ("TaskScheduled", "TaskFailed")]


def test_a_functions_error_is_caught_by_its_class(cloud: Cloud, boom: str) -> None:
    """concepts-error-handling.html, 2026-11. With ministack 1.5.33 Catch by class never matches."""
    caught = cloud.run(
        task(
            INVOKE, {"FunctionName": boom}, Catch=[{"ErrorEquals": ["Boom"], "ResultPath": "$.error", "Next": "Caught"}]
        ),
        {"kept": 1},
    )
    assert caught.status == "SUCCEEDED"
    assert caught.output["kept"] == 1
    assert caught.output["error"]["Error"] == "Boom"
    assert json.loads(caught.output["error"]["Cause"])["errorMessage"] == "no"


def test_a_machine_calls_as_its_role_and_a_denied_call_is_the_services_base_error(cloud: Cloud, echo: str) -> None:
    """procedure-create-iam-role.html, 2026-11. ministack 1.5.33 runs every task as root."""
    other = cloud.role(allow("ssm:*"), service="states")
    failed = cloud.run(task(INVOKE, {"FunctionName": echo}), role=other)
    assert (failed.status, failed.error) == ("FAILED", "Lambda.AWSLambdaException")
    assert "is not authorized to perform: lambda:InvokeFunction" in failed.cause
    failed = cloud.run(task("arn:aws:states:::aws-sdk:sqs:createQueue", {"QueueName": fresh("q")}), role=other)
    assert failed.error == "Sqs.SqsException"


def test_sdk_errors_have_the_java_sdks_names(cloud: Cloud) -> None:
    """supported-services-awssdk.html, 2026-11: a declared error by its class, another as the service's exception.
    So a missing endpoint (ValidationException on the wire) is caught as SageMaker.SageMakerException."""
    missing = {"EndpointName": fresh("no-endpoint")}
    assert cloud.run(task("arn:aws:states:::aws-sdk:sagemaker:describeEndpoint", missing)).error == (
        "SageMaker.SageMakerException"
    )
    bucket = fresh("bucket")
    cloud.client("s3").create_bucket(Bucket=bucket)
    get = task("arn:aws:states:::aws-sdk:s3:getObject", {"Bucket": bucket, "Key": "no"})
    assert cloud.run(get).error == "S3.NoSuchKeyException"


def test_an_optimised_sagemaker_task_shows_the_first_sdks_base_exception(cloud: Cloud) -> None:
    """connect-sagemaker.html, 2026-11: SageMaker.AmazonSageMakerException."""
    failed = cloud.run(
        task("arn:aws:states:::sagemaker:createEndpoint", {"EndpointName": "e", "EndpointConfigName": fresh("none")})
    )
    assert failed.error == "SageMaker.AmazonSageMakerException"


def test_a_missing_path_fails_the_state_and_states_all_does_not_catch_it(cloud: Cloud) -> None:
    """concepts-error-handling.html, 2026-11: States.Runtime is never caught by States.ALL. ministack 1.5.33 goes on
    with null."""
    failed = cloud.run(
        single(
            {
                "Type": "Task",
                "Resource": "arn:aws:states:::sqs:sendMessage",
                "Parameters": {"QueueUrl.$": "$.nothing.here", "MessageBody": "x"},
                "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Caught"}],
                "End": True,
            }
        )
    )
    assert (failed.status, failed.error) == ("FAILED", "States.Runtime")
    assert "The JSONPath '$.nothing.here' could not be found" in failed.cause


@pytest.mark.parametrize(
    ("rule", "value", "matches"),
    [
        ({"Variable": "$.a", "IsPresent": True}, {}, False),
        ({"Variable": "$.a", "IsPresent": False}, {}, True),
        ({"Variable": "$.a", "IsPresent": True}, {"a": None}, True),
        ({"Variable": "$.a", "NumericGreaterThan": 1}, {"a": "2"}, False),
        ({"Variable": "$.a", "StringLessThanPath": "$.b"}, {"a": "a", "b": "b"}, True),
        ({"Variable": "$.a", "StringMatches": "x*z"}, {"a": "x.y.z"}, True),
        ({"Variable": "$.a", "TimestampLessThan": "2026-02-01T00:00:00Z"}, {"a": "2026-01-01T00:00:00Z"}, True),
        ({"Not": {"Variable": "$.a", "BooleanEquals": True}}, {"a": False}, True),
    ],
)
def test_choice_rules(cloud: Cloud, rule: dict[str, Any], value: Any, matches: bool) -> None:
    """state-choice.html, 2026-11; ministack 1.5.33 takes null for absent and knows half of the path comparisons."""
    states = {
        "Only": {"Type": "Choice", "Choices": [{**rule, "Next": "Yes"}], "Default": "No"},
        "Yes": {"Type": "Pass", "Result": True, "End": True},
        "No": {"Type": "Pass", "Result": False, "End": True},
    }
    assert cloud.run({"StartAt": "Only", "States": states}, value).output is matches


def test_a_choice_on_a_variable_that_is_not_there_fails(cloud: Cloud) -> None:
    """state-choice.html, 2026-11: only IsPresent may look at an absent variable."""
    choice = {
        "Type": "Choice",
        "Choices": [{"Variable": "$.a", "NumericEquals": 1, "Next": "Caught"}],
        "Default": "Caught",
    }
    states = {"Only": choice, "Caught": {"Type": "Succeed"}}
    assert cloud.run({"StartAt": "Only", "States": states}).error == "States.Runtime"


def test_the_machines_own_timeout_ends_an_execution(cloud: Cloud) -> None:
    """statemachine-structure.html, 2026-11: TimeoutSeconds, status TIMED_OUT. ministack 1.5.33 ignores it."""
    ended = cloud.run({**single({"Type": "Wait", "Seconds": 6000, "End": True}), "TimeoutSeconds": 1})
    assert (ended.status, ended.types[-1]) == ("TIMED_OUT", "ExecutionTimedOut")


def test_a_task_that_takes_too_long_times_out(cloud: Cloud, tmp_path: Path) -> None:
    end = tmp_path / "end"
    slow = cloud.function(
        f"import os, time\ndef handler(event, context):\n    while not os.path.exists({str(end)!r}): time.sleep(0.05)",
        timeout=900,
    )
    ended = cloud.run(task(INVOKE, {"FunctionName": slow}, TimeoutSeconds=1))
    end.touch()
    assert (ended.error, "TaskTimedOut" in ended.types) == ("States.Timeout", True)


def test_a_task_without_a_heartbeat_times_out_and_one_with_goes_on(cloud: Cloud, echo: str) -> None:
    """state-task.html, 2026-11: HeartbeatSeconds. ministack 1.5.33 ignores it."""
    waiting = task(
        "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
        {"QueueUrl": "", "MessageBody": {"token.$": "$$.Task.Token"}},
        HeartbeatSeconds=1,
    )
    url, _ = cloud.queue()
    waiting["States"]["Only"]["Parameters"]["QueueUrl"] = url
    machine = cloud.machine(waiting)
    alone = cloud.start(machine)
    token = json.loads(cloud.receive(url)["Body"])["token"]
    assert cloud.finish(alone).error == "States.HeartbeatTimeout"
    with pytest.raises(ClientError, match=r"Task token not found|Task Timed Out"):
        cloud.client("stepfunctions").send_task_success(taskToken=token, output="{}")
    kept = cloud.start(machine)
    token = json.loads(cloud.receive(url)["Body"])["token"]
    for _ in range(4):
        time.sleep(0.5)
        cloud.client("stepfunctions").send_task_heartbeat(taskToken=token)
    cloud.client("stepfunctions").send_task_success(taskToken=token, output='{"approved": true}')
    finished = cloud.finish(kept)
    assert (finished.status, finished.output) == ("SUCCEEDED", {"approved": True})
    assert "TaskSubmitted" in finished.types


def test_a_function_can_answer_with_the_token_it_got(cloud: Cloud) -> None:
    """connect-to-resource.html#connect-wait-token, 2026-11."""
    code = """
import boto3
def handler(event, context):
    boto3.client("stepfunctions").send_task_failure(taskToken=event["token"], error="Denied", cause="by a person")
"""
    ended = cloud.run(
        task(
            INVOKE + ".waitForTaskToken",
            {"FunctionName": cloud.function(code), "Payload": {"token.$": "$$.Task.Token"}},
        )
    )
    assert (ended.error, ended.cause) == ("Denied", "by a person")


def test_retries_wait_as_long_as_they_say_and_no_longer_than_the_maximum(cloud: Cloud, boom: str) -> None:
    """concepts-error-handling.html, 2026-11: MaxDelaySeconds, JitterStrategy. ministack 1.5.33 ignores both."""
    retry = {
        "ErrorEquals": ["Boom"],
        "IntervalSeconds": 30,
        "BackoffRate": 100,
        "MaxDelaySeconds": 30,
        "MaxAttempts": 2,
    }
    ended = cloud.run(task(INVOKE, {"FunctionName": boom}, Retry=[retry]))
    stamps = [event["timestamp"].timestamp() for event in ended.events if event["type"] == "TaskScheduled"]
    assert len(stamps) == 3
    assert all(0.5 <= later - earlier < 5 for earlier, later in itertools.pairwise(stamps))


def test_a_payload_over_the_limit_fails_and_states_all_does_not_catch_it(cloud: Cloud) -> None:
    """service-quotas.html, 2026-11: 256 KiB, States.DataLimitExceeded."""
    big = cloud.function("def handler(event, context): return 'x' * 300_000")
    catch = [{"ErrorEquals": ["States.ALL"], "Next": "Caught"}]
    assert cloud.run(task(INVOKE, {"FunctionName": big}, Catch=catch)).error == "States.DataLimitExceeded"
    with pytest.raises(ClientError, match="over the limit"):
        cloud.start(cloud.machine(single({"Type": "Succeed"})), "x" * 300_000)


def test_an_execution_name_is_used_once_and_the_same_start_twice_is_one(cloud: Cloud) -> None:
    """API_StartExecution, 2026-11: idempotent while it runs with the same input, ExecutionAlreadyExists otherwise."""
    machine = cloud.machine(single({"Type": "Wait", "Seconds": 60, "End": True}))
    name = fresh("run")
    first = cloud.start(machine, {"a": 1}, name=name)
    assert cloud.start(machine, {"a": 1}, name=name) == first
    for value in ({"a": 2}, {"a": 1}):
        with pytest.raises(ClientError) as refused:
            cloud.start(machine, value, name=name)
        assert refused.value.response["Error"]["Code"] == "ExecutionAlreadyExists"
        cloud.finish(first)


def test_a_stopped_execution_ends_at_once(cloud: Cloud) -> None:
    arn = cloud.start(cloud.machine(single({"Type": "Wait", "Seconds": 6000, "End": True})))
    cloud.client("stepfunctions").stop_execution(executionArn=arn, error="Enough", cause="said so")
    ended = cloud.finish(arn)
    assert (ended.status, ended.error, ended.types[-1]) == ("ABORTED", "Enough", "ExecutionAborted")


def test_the_history_has_every_step_and_its_payload(cloud: Cloud, echo: str) -> None:
    """API_GetExecutionHistory, 2026-11; ministack 1.5.33 leaves out parameters, TaskStarted and previous ids."""
    ran = cloud.run(task(INVOKE, {"FunctionName": echo, "Payload": {"x": 1}}, OutputPath="$.Payload"))
    assert ran.types == [
        "ExecutionStarted", "TaskStateEntered", "TaskScheduled", "TaskStarted", "TaskSucceeded", "TaskStateExited",
        "ExecutionSucceeded",
    ]  # fmt: skip
    scheduled = ran.events[2]["taskScheduledEventDetails"]
    assert (scheduled["resourceType"], scheduled["resource"], scheduled["region"]) == ("lambda", "invoke", "us-east-1")
    assert json.loads(scheduled["parameters"]) == {"FunctionName": echo, "Payload": {"x": 1}}
    assert [event["previousEventId"] for event in ran.events[1:]] == [1, 2, 3, 4, 5, 6]


def test_a_failing_branch_ends_the_others(cloud: Cloud) -> None:
    """state-parallel.html, 2026-11: when a branch fails, the whole state is considered failed and all branches stop.
    ministack 1.5.33 waits for all of them."""
    slow = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 60_000_000, "End": True}}}
    failing = {"StartAt": "Fail", "States": {"Fail": {"Type": "Fail", "Error": "Own"}}}
    ended = cloud.run(single({"Type": "Parallel", "Branches": [slow, failing], "End": True}))
    # It has ended at all: the other branch would have waited for days.
    assert ended.error == "Own"


def test_jsonata_parallel_map_and_variables(cloud: Cloud) -> None:
    """transforming-data.html and workflow-variables.html, 2026-11: a branch sees outer variables, and keeps its own."""
    double = {"StartAt": "D", "States": {"D": {"Type": "Pass", "Output": "{% $states.input * $factor %}", "End": True}}}
    inner = [
        {"StartAt": name, "States": {name: {"Type": "Pass", "Assign": {"factor": 100}, "End": True}}} for name in "IJ"
    ]
    states = {
        "Set": {"Type": "Pass", "Assign": {"factor": 2}, "Next": "Each"},
        "Each": {
            "Type": "Map",
            "Items": "{% [1, 2, 3] %}",
            "ItemProcessor": double,
            "Assign": {"all": "{% $states.result %}"},
            "Next": "Both",
        },
        "Both": {
            "Type": "Parallel",
            "Branches": inner,
            "Output": "{% {'all': $all, 'factor': $factor} %}",
            "End": True,
        },
    }
    ran = cloud.run({"QueryLanguage": "JSONata", "StartAt": "Set", "States": states})
    assert ran.output == {"all": [2, 4, 6], "factor": 2}


def test_variables_in_jsonpath(cloud: Cloud) -> None:
    """workflow-variables.html, 2026-11: Assign in JSONPath too; ministack 1.5.33 ignores it."""
    states = {
        "Set": {"Type": "Pass", "Assign": {"kept.$": "$.a.b"}, "Next": "Use"},
        "Use": {"Type": "Pass", "Parameters": {"got.$": "$kept.c"}, "End": True},
    }
    ran = cloud.run({"StartAt": "Set", "States": states}, {"a": {"b": {"c": 7}}})
    assert ran.output == {"got": 7}


def test_a_child_execution_is_waited_for_and_its_failure_is_a_failed_task(cloud: Cloud) -> None:
    """connect-stepfunctions.html, 2026-11: .sync:2 gives JSON; States.TaskFailed when the child fails."""
    child = cloud.machine(single({"Type": "Pass", "Result": {"x": 1}, "End": True}))
    resource = "arn:aws:states:::states:startExecution.sync:2"
    ran = cloud.run(task(resource, {"StateMachineArn": child, "Input": {}}, OutputPath="$.Output"))
    assert ran.output == {"x": 1}
    failing = cloud.machine(single({"Type": "Fail", "Error": "Inner"}))
    failed = cloud.run(task(resource, {"StateMachineArn": failing}))
    assert (failed.error, json.loads(failed.cause)["Error"]) == ("States.TaskFailed", "Inner")


def test_a_distributed_map_batches_items_and_writes_results(cloud: Cloud) -> None:
    """state-map-distributed.html, 2026-11: ItemReader, ItemBatcher, ResultWriter; ministack 1.5.33: the first only."""
    bucket = fresh("bucket")
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="items.json", Body=json.dumps([{"n": n} for n in range(5)]))
    state = {
        "Type": "Map",
        "ItemReader": {
            "Resource": "arn:aws:states:::s3:getObject",
            "ReaderConfig": {"InputType": "JSON"},
            "Parameters": {"Bucket": bucket, "Key": "items.json"},
        },
        "ItemBatcher": {"MaxItemsPerBatch": 2, "BatchInput": {"why": "x"}},
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
            "StartAt": "P",
            "States": {"P": {"Type": "Pass", "End": True}},
        },
        "ResultWriter": {
            "Resource": "arn:aws:states:::s3:putObject",
            "Parameters": {"Bucket": bucket, "Prefix": "out"},
        },
        "End": True,
    }
    ran = cloud.run(single(state))
    place = ran.output["ResultWriterDetails"]
    manifest = json.loads(s3.get_object(Bucket=bucket, Key=place["Key"])["Body"].read())
    results = json.loads(
        s3.get_object(Bucket=bucket, Key=manifest["ResultFiles"]["SUCCEEDED"][0]["Key"])["Body"].read()
    )
    outputs = [json.loads(result["Output"]) for result in results]
    assert [len(output["Items"]) for output in outputs] == [2, 2, 1]
    assert outputs[0]["BatchInput"] == {"why": "x"}


def test_executions_end_is_an_event(cloud: Cloud) -> None:
    """cw-events.html, 2026-11: Step Functions Execution Status Change on the default bus."""
    url, arn = cloud.queue()
    events = cloud.client("events")
    rule = fresh("rule")
    machine = cloud.machine(single({"Type": "Fail", "Error": "E"}))
    pattern = {"source": ["aws.states"], "detail": {"status": ["FAILED"], "stateMachineArn": [machine]}}
    rule_arn = events.put_rule(Name=rule, EventPattern=json.dumps(pattern))["RuleArn"]
    let_in(cloud, url, arn, rule_arn)
    events.put_targets(Rule=rule, Targets=[{"Id": "q", "Arn": arn}])
    cloud.start(machine)
    assert json.loads(cloud.receive(url)["Body"])["detail"]["error"] == "E"


def let_in(cloud: Cloud, url: str, arn: str, rule_arn: str) -> None:
    """Let EventBridge send to a queue for one rule."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": rule_arn}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    cloud.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    until(lambda: True)
