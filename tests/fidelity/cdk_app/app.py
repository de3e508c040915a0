"""A stack of everything that a typical serverless CDK app has; the fidelity tests deploy it as it is synthesized."""

from __future__ import annotations

import json
import sys

import aws_cdk as cdk
from aws_cdk import aws_budgets as budgets
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_destinations as destinations
from aws_cdk import aws_lambda_event_sources as sources
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sagemaker as sagemaker
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_scheduler_targets as scheduler_targets
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_ssm as ssm
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks
from constructs import Construct

_HANDLER = """
import json, os, boto3
def handler(event, context):
    for record in event.get("Records", []):
        body = json.loads(record["body"])
        boto3.client("dynamodb").put_item(
            TableName=os.environ["TABLE"],
            Item={
                "pk": {"S": body["detail"]["object"]["key"]},
                "version": {"S": body["detail"]["object"]["version-id"]},
            },
        )
    return {"seen": len(event.get("Records", [])), "echo": event.get("echo")}
"""


_PROVIDER = """
import json, urllib.request
def handler(event, context):
    number = int(event.get("ResourceProperties", {}).get("Number", 0))
    answer = {
        "Status": "SUCCESS", "PhysicalResourceId": event.get("PhysicalResourceId", "the-thing"),
        "StackId": event["StackId"], "RequestId": event["RequestId"], "LogicalResourceId": event["LogicalResourceId"],
        "Data": {"Doubled": str(number * 2)},
    }
    request = urllib.request.Request(event["ResponseURL"], json.dumps(answer).encode(), method="PUT")
    urllib.request.urlopen(request)
"""
_GONE = cdk.RemovalPolicy.DESTROY


class DataStack(cdk.Stack):
    """Buckets, a table, a queue, a topic, each encrypted with one key."""

    def __init__(self, scope: Construct, name: str) -> None:
        super().__init__(scope, name)
        self.key = kms.Key(self, "Key", enable_key_rotation=True, alias="fidelity/data", removal_policy=_GONE)
        self.landing = s3.Bucket(
            self,
            "Landing",
            versioned=True,
            encryption=s3.BucketEncryption.KMS,
            encryption_key=self.key,
            enforce_ssl=True,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            bucket_key_enabled=True,
            removal_policy=_GONE,
            lifecycle_rules=[s3.LifecycleRule(noncurrent_version_expiration=cdk.Duration.days(30))],
        )
        bucket = self.landing.node.default_child
        assert isinstance(bucket, s3.CfnBucket)
        bucket.add_property_override("NotificationConfiguration.EventBridgeConfiguration.EventBridgeEnabled", True)
        self.audit = s3.Bucket(
            self,
            "Audit",
            versioned=True,
            object_lock_default_retention=s3.ObjectLockRetention.governance(cdk.Duration.days(1)),
            encryption=s3.BucketEncryption.KMS,
            encryption_key=self.key,
            enforce_ssl=True,
            removal_policy=_GONE,
        )
        self.table = dynamodb.Table(
            self,
            "Table",
            partition_key=dynamodb.Attribute(name="pk", type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED,
            encryption_key=self.key,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            time_to_live_attribute="expires_at",
            stream=dynamodb.StreamViewType.NEW_IMAGE,
            removal_policy=_GONE,
        )
        self.table.add_global_secondary_index(
            index_name="by-version",
            partition_key=dynamodb.Attribute(name="version", type=dynamodb.AttributeType.STRING),
        )
        self.dead = sqs.Queue(
            self, "Dead", encryption=sqs.QueueEncryption.KMS, encryption_master_key=self.key, enforce_ssl=True
        )
        self.queue = sqs.Queue(
            self,
            "Queue",
            encryption=sqs.QueueEncryption.KMS,
            encryption_master_key=self.key,
            enforce_ssl=True,
            visibility_timeout=cdk.Duration.seconds(90),
            dead_letter_queue=sqs.DeadLetterQueue(queue=self.dead, max_receive_count=3),
        )
        self.topic = sns.Topic(self, "Topic", master_key=self.key, enforce_ssl=True)
        events.Rule(
            self,
            "Landed",
            event_pattern=events.EventPattern(
                source=["aws.s3"],
                detail_type=["Object Created"],
                detail={"bucket": {"name": [self.landing.bucket_name]}},
            ),
            targets=[targets.SqsQueue(self.queue, dead_letter_queue=self.dead, retry_attempts=2)],
        )
        ssm.StringParameter(self, "Parameter", parameter_name="/fidelity/bucket", string_value=self.landing.bucket_name)


class AppStack(cdk.Stack):
    """Functions, rules, schedules, state machines, alarms: what runs on the data stack."""

    def __init__(self, scope: Construct, name: str, *, data: DataStack) -> None:
        super().__init__(scope, name)
        bus = events.EventBus(self, "Bus")
        bus.archive("Archive", event_pattern=events.EventPattern(source=["fidelity"]), retention=cdk.Duration.days(7))
        function = self._function(data, bus)
        self._rules(data, bus, function)
        machine = self._machine(function)
        self._schedules(machine, function)
        self._alarms(data, function)
        self._custom()
        sagemaker.CfnModelPackageGroup(self, "Models", model_package_group_name="fidelity-models")
        budgets.CfnBudget(
            self,
            "Budget",
            budget=budgets.CfnBudget.BudgetDataProperty(
                budget_type="COST",
                time_unit="MONTHLY",
                budget_limit=budgets.CfnBudget.SpendProperty(amount=10, unit="USD"),
            ),
        )
        cdk.CfnOutput(self, "FunctionName", value=function.function_name)
        cdk.CfnOutput(self, "BusName", value=bus.event_bus_name)
        cdk.CfnOutput(self, "MachineArn", value=machine.state_machine_arn)
        cdk.CfnOutput(self, "Landing", value=data.landing.bucket_name)
        cdk.CfnOutput(self, "TableName", value=data.table.table_name)

    def _function(self, data: DataStack, bus: events.EventBus) -> lambda_.Function:
        function = lambda_.Function(
            self,
            "Function",
            runtime=lambda_.Runtime.PYTHON_3_12,
            architecture=lambda_.Architecture.ARM_64,
            handler="index.handler",
            code=lambda_.Code.from_inline(_HANDLER),
            timeout=cdk.Duration.seconds(15),
            tracing=lambda_.Tracing.ACTIVE,
            environment={"TABLE": data.table.table_name, "GREETING": self.node.try_get_context("greeting") or "hello"},
            log_group=logs.LogGroup(self, "Log", retention=logs.RetentionDays.ONE_WEEK, removal_policy=_GONE),
            on_failure=destinations.SqsDestination(data.dead),
            on_success=destinations.EventBridgeDestination(bus),
            retry_attempts=1,
            max_event_age=cdk.Duration.hours(1),
            reserved_concurrent_executions=5,
        )
        data.table.grant_read_write_data(function)
        function.add_event_source(
            sources.SqsEventSource(data.queue, batch_size=10, report_batch_item_failures=True, max_concurrency=2)
        )
        return function

    def _rules(self, data: DataStack, bus: events.EventBus, function: lambda_.Function) -> None:
        events.Rule(
            self,
            "Anything",
            event_bus=bus,
            event_pattern=events.EventPattern(source=["fidelity"]),
            targets=[
                targets.LambdaFunction(function, dead_letter_queue=sqs.Queue(self, "Undelivered", enforce_ssl=True)),
                targets.SnsTopic(sns.Topic(self, "News", enforce_ssl=True)),
            ],
        )

    def _machine(self, function: lambda_.Function) -> sfn.StateMachine:
        task = tasks.LambdaInvoke(
            self,
            "Ask",
            lambda_function=function,
            payload=sfn.TaskInput.from_object({"echo": "hi"}),
            payload_response_only=False,
        )
        return sfn.StateMachine(
            self,
            "Machine",
            definition_body=sfn.DefinitionBody.from_chainable(task.next(sfn.Succeed(self, "Done"))),
            tracing_enabled=True,
            timeout=cdk.Duration.minutes(5),
            logs=sfn.LogOptions(
                destination=logs.LogGroup(self, "MachineLog", removal_policy=_GONE), level=sfn.LogLevel.ALL
            ),
        )

    def _schedules(self, machine: sfn.StateMachine, function: lambda_.Function) -> None:
        group = scheduler.ScheduleGroup(self, "Group", removal_policy=_GONE)
        for name, schedule, target in (
            (
                "Hourly",
                scheduler.ScheduleExpression.rate(cdk.Duration.hours(1)),
                scheduler_targets.LambdaInvoke(function),
            ),
            (
                "Nightly",
                scheduler.ScheduleExpression.cron(minute="0", hour="2"),
                scheduler_targets.StepFunctionsStartExecution(machine),
            ),
        ):
            scheduler.Schedule(self, name, schedule=schedule, target=target, schedule_group=group)

    def _alarms(self, data: DataStack, function: lambda_.Function) -> None:
        errors = function.metric_errors(period=cdk.Duration.minutes(1)).create_alarm(
            self,
            "Errors",
            threshold=1,
            evaluation_periods=1,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        errors.add_alarm_action(actions.SnsAction(data.topic))
        rate = cloudwatch.MathExpression(
            expression="100 * e / MAX([i, 1])",
            using_metrics={"e": function.metric_errors(), "i": function.metric_invocations()},
        ).create_alarm(self, "Rate", threshold=5, evaluation_periods=3, datapoints_to_alarm=2)
        composite = cloudwatch.CompositeAlarm(self, "Either", alarm_rule=cloudwatch.AlarmRule.any_of(errors, rate))
        composite.add_alarm_action(actions.SnsAction(data.topic))
        dashboard = cloudwatch.Dashboard(self, "Dashboard")
        dashboard.add_widgets(cloudwatch.GraphWidget(left=[function.metric_invocations()]))

    def _custom(self) -> None:
        provider = lambda_.Function(
            self,
            "Provider",
            runtime=lambda_.Runtime.PYTHON_3_12,
            handler="index.handler",
            code=lambda_.Code.from_inline(_PROVIDER),
        )
        thing = cdk.CustomResource(
            self,
            "Thing",
            service_token=provider.function_arn,
            properties={"Number": self.node.try_get_context("number") or 21},
        )
        cdk.CfnOutput(self, "Doubled", value=thing.get_att_string("Doubled"))


def synthesize(directory: str, context: dict[str, object]) -> None:
    """Write the cloud assembly of both stacks."""
    app = cdk.App(outdir=directory, context=context)
    data = DataStack(app, "FidelityData")
    AppStack(app, "FidelityApp", data=data)
    app.synth()


if __name__ == "__main__":
    for directory, context in json.loads(sys.argv[1]).items():
        synthesize(directory, context)
