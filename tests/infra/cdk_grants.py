"""What CDK's own constructs grant for the integrations that this deployment has: one throw-away stack for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as sources
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks

__all__ = ["INTEGRATIONS", "POLICIES", "Grants", "actions_of", "grants_of", "stacks"]

Grants = Mapping[str, frozenset[str]]
"""Actions by who may do them: the service that takes the role, or the service that a resource's policy names."""

POLICIES = {
    "AWS::KMS::Key": "KeyPolicy",
    "AWS::S3::BucketPolicy": "PolicyDocument",
    "AWS::SNS::TopicPolicy": "PolicyDocument",
    "AWS::SQS::QueuePolicy": "PolicyDocument",
}


def grants_of(template: Mapping[str, Any]) -> Grants:
    """Every action that a template's policies allow."""
    resources = template["Resources"]
    found: dict[str, set[str]] = {}

    def note(holder: str, statement: Mapping[str, Any]) -> None:
        if statement["Effect"] == "Allow":
            found.setdefault(holder, set()).update(actions_of(statement))

    for resource in resources.values():
        kind, properties = resource["Type"], resource.get("Properties", {})
        if kind == "AWS::IAM::Policy":
            for role in properties["Roles"]:
                for statement in properties["PolicyDocument"]["Statement"]:
                    note(_trusted(resources[role["Ref"]]), statement)
        elif kind == "AWS::Lambda::Permission":
            note(f"{properties['Principal']} on AWS::Lambda::Permission", {"Effect": "Allow", **properties})
        elif kind in POLICIES:
            for statement in properties[POLICIES[kind]]["Statement"]:
                if isinstance(service := statement.get("Principal", {}), dict) and "Service" in service:
                    note(f"{service['Service']} on {kind}", statement)
    return {holder: frozenset(actions) for holder, actions in found.items()}


def actions_of(statement: Mapping[str, Any]) -> list[str]:
    """A statement's actions, however they are written."""
    actions = statement["Action"]
    return [actions] if isinstance(actions, str) else list(actions)


def _trusted(role: Mapping[str, Any]) -> str:
    """The service that takes a role."""
    [statement] = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    return str(statement["Principal"]["Service"])


def _function(stack: cdk.Stack) -> lambda_.Function:
    code = lambda_.Code.from_inline("def handler(event, context): pass")
    return lambda_.Function(stack, "Function", runtime=lambda_.Runtime.PYTHON_3_12, handler="index.handler", code=code)


def _machine(stack: cdk.Stack, task: sfn.IChainable) -> sfn.StateMachine:
    return sfn.StateMachine(stack, "Machine", definition_body=sfn.DefinitionBody.from_chainable(task))


def _rule(stack: cdk.Stack, target: events.IRuleTarget) -> None:
    events.Rule(stack, "Rule", event_pattern=events.EventPattern(source=["s"]), targets=[target])


def _training(stack: cdk.Stack) -> None:
    key, bucket = kms.Key(stack, "Key"), s3.Bucket(stack, "Bucket")
    task = tasks.SageMakerCreateTrainingJob(
        stack,
        "Train",
        integration_pattern=sfn.IntegrationPattern.RUN_JOB,
        training_job_name="job",
        algorithm_specification=tasks.AlgorithmSpecification(
            training_image=tasks.DockerImage.from_registry("1.dkr.ecr.us-east-1.amazonaws.com/image:1"),
            training_input_mode=tasks.InputMode.FILE,
        ),
        input_data_config=[
            tasks.Channel(
                channel_name="dataset",
                data_source=tasks.DataSource(
                    s3_data_source=tasks.S3DataSource(
                        s3_data_type=tasks.S3DataType.S3_PREFIX, s3_location=tasks.S3Location.from_bucket(bucket, "in/")
                    )
                ),
            )
        ],
        output_data_config=tasks.OutputDataConfig(
            s3_output_location=tasks.S3Location.from_bucket(bucket, "out/"), encryption_key=key
        ),
        resource_config=tasks.ResourceConfig(
            instance_count=1,
            instance_type=ec2.InstanceType("m5.large"),
            volume_size=cdk.Size.gibibytes(10),
            volume_encryption_key=key,
        ),
    )
    _machine(stack, task)


def _start_execution(stack: cdk.Stack) -> None:
    inner = sfn.StateMachine(
        stack, "Inner", definition_body=sfn.DefinitionBody.from_chainable(sfn.Pass(stack, "Nothing"))
    )
    task = tasks.StepFunctionsStartExecution(
        stack, "Start", state_machine=inner, integration_pattern=sfn.IntegrationPattern.RUN_JOB
    )
    _machine(stack, task)


def _send_message(stack: cdk.Stack) -> None:
    queue = sqs.Queue(stack, "Queue")
    body = sfn.TaskInput.from_text("body")
    _machine(stack, tasks.SqsSendMessage(stack, "Send", queue=queue, message_body=body))


def _lambda_invoke(stack: cdk.Stack) -> None:
    _machine(stack, tasks.LambdaInvoke(stack, "Invoke", lambda_function=_function(stack)))


def _ask_and_wait(stack: cdk.Stack) -> None:
    task = tasks.LambdaInvoke(
        stack,
        "Ask",
        lambda_function=_function(stack),
        integration_pattern=sfn.IntegrationPattern.WAIT_FOR_TASK_TOKEN,
        payload=sfn.TaskInput.from_object({"token": sfn.JsonPath.task_token}),
    )
    _machine(stack, task)


def _answer(stack: cdk.Stack) -> None:
    machine = sfn.StateMachine(
        stack, "Machine", definition_body=sfn.DefinitionBody.from_chainable(sfn.Pass(stack, "Nothing"))
    )
    machine.grant_task_response(_function(stack))


def _begin(stack: cdk.Stack) -> None:
    machine = sfn.StateMachine(
        stack, "Machine", definition_body=sfn.DefinitionBody.from_chainable(sfn.Pass(stack, "Nothing"))
    )
    machine.grant_start_execution(_function(stack))


def _topic(stack: cdk.Stack) -> None:
    _rule(stack, targets.SnsTopic(sns.Topic(stack, "Topic", master_key=kms.Key(stack, "Key"))))


def _queue(stack: cdk.Stack) -> None:
    _rule(stack, targets.SqsQueue(sqs.Queue(stack, "Queue", encryption=sqs.QueueEncryption.SQS_MANAGED)))


def _function_target(stack: cdk.Stack) -> None:
    _rule(stack, targets.LambdaFunction(_function(stack)))


def _consume(stack: cdk.Stack) -> None:
    queue = sqs.Queue(stack, "Queue", encryption=sqs.QueueEncryption.SQS_MANAGED)
    _function(stack).add_event_source(sources.SqsEventSource(queue))


def _table(stack: cdk.Stack) -> None:
    name = dynamodb.Attribute(name="pk", type=dynamodb.AttributeType.STRING)
    table = dynamodb.Table(
        stack,
        "Table",
        partition_key=name,
        encryption_key=kms.Key(stack, "Key"),
        encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED,
    )
    table.grant_read_write_data(_function(stack))


def _objects(stack: cdk.Stack) -> None:
    bucket = s3.Bucket(stack, "Bucket", encryption_key=kms.Key(stack, "Key"))
    bucket.grant_read_write(_function(stack))


def _publish(stack: cdk.Stack) -> None:
    sns.Topic(stack, "Topic", master_key=kms.Key(stack, "Key")).grant_publish(_function(stack))


def _announce(stack: cdk.Stack) -> None:
    events.EventBus(stack, "Bus").grant_put_events_to(_function(stack))


INTEGRATIONS: Mapping[str, Callable[[cdk.Stack], None]] = {
    "training job": _training,
    "nested execution": _start_execution,
    "message from a machine": _send_message,
    "function from a machine": _lambda_invoke,
    "function with a task token": _ask_and_wait,
    "answer to a task token": _answer,
    "start of an execution": _begin,
    "rule to an encrypted topic": _topic,
    "rule to a queue": _queue,
    "rule to a function": _function_target,
    "function on a queue": _consume,
    "encrypted table": _table,
    "encrypted bucket": _objects,
    "encrypted topic": _publish,
    "event bus": _announce,
}


def stacks() -> dict[str, Grants]:
    """What CDK grants for each integration."""
    app = cdk.App()
    made = {}
    for number, (name, build) in enumerate(INTEGRATIONS.items()):
        stack = cdk.Stack(app, f"Grants{number}")
        build(stack)
        made[name] = stack
    assembly = app.synth()
    return {name: grants_of(assembly.get_stack_by_name(stack.stack_name).template) for name, stack in made.items()}
