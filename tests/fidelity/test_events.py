"""EventBridge, its targets and schedules, and S3's events."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localcloud.events.clock import Due
from tests.fidelity.cloud import ACCOUNT, REGION, Cloud, allow, fresh, single
from tests.waiting import until


class Rule:
    """A rule on a bus, and the queue it sends to (or tries to)."""

    def __init__(self, cloud: Cloud, pattern: dict[str, Any], *, bus: str = "default") -> None:
        self.cloud = cloud
        self.name = fresh("rule")
        self.bus = bus
        self.arn = cloud.client("events").put_rule(Name=self.name, EventPattern=json.dumps(pattern), EventBusName=bus)[
            "RuleArn"
        ]

    def to(self, **target: Any) -> None:
        self.cloud.client("events").put_targets(Rule=self.name, EventBusName=self.bus, Targets=[{"Id": "t", **target}])

    def let_in(self, url: str, arn: str) -> None:
        """Let the rule send to the queue, as `aws events` and CDK do."""
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": self.arn}},
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.cloud.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})


def put(cloud: Cloud, source: str, detail: dict[str, Any] | None = None, *, bus: str = "default") -> None:
    entry = {"Source": source, "DetailType": "Test", "Detail": json.dumps(detail or {}), "EventBusName": bus}
    assert cloud.client("events").put_events(Entries=[entry])["FailedEntryCount"] == 0


def test_an_objects_event_names_its_version(cloud: Cloud) -> None:
    """docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html, 2026-11: detail.object.version-id, and the key as
    it is. ministack 1.5.33 leaves the version out."""
    bucket, key = fresh("bucket"), "in/a b+ü.csv"
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={"EventBridgeConfiguration": {}})
    rule = Rule(cloud, {"source": ["aws.s3"], "detail": {"bucket": {"name": [bucket]}}})
    url, arn = cloud.queue()
    rule.let_in(url, arn)
    rule.to(Arn=arn)
    version = s3.put_object(Bucket=bucket, Key=key, Body=b"hello")
    event = json.loads(cloud.receive(url)["Body"])
    assert (event["detail-type"], event["resources"]) == ("Object Created", [f"arn:aws:s3:::{bucket}"])
    found = event["detail"]["object"]
    assert (found["key"], found["size"], found["version-id"]) == (key, 5, version["VersionId"])
    assert found["etag"] == version["ETag"].strip('"')
    assert int(found["sequencer"], 16) > 0
    assert event["detail"]["reason"] == "PutObject"


def test_a_queue_that_does_not_let_eventbridge_in_gets_nothing_and_the_dead_letter_queue_says_why(cloud: Cloud) -> None:
    """eb-rule-dlq.html and eb-use-resource-based.html, 2026-11. ministack 1.5.33 enforces no queue policy and has no
    dead-letter queues of targets."""
    source = fresh("source")
    rule = Rule(cloud, {"source": [source]})
    closed, closed_arn = cloud.queue()
    dead, dead_arn = cloud.queue()
    rule.let_in(dead, dead_arn)
    rule.to(Arn=closed_arn, DeadLetterConfig={"Arn": dead_arn})
    put(cloud, source, {"a": 1})
    letter = cloud.receive(dead)
    said = {name: value["StringValue"] for name, value in letter["MessageAttributes"].items()}
    assert (said["ERROR_CODE"], said["RULE_ARN"], said["TARGET_ARN"]) == ("NO_PERMISSIONS", rule.arn, closed_arn)
    assert json.loads(letter["Body"])["detail"] == {"a": 1}
    names = ["ApproximateNumberOfMessages"]
    left = cloud.client("sqs").get_queue_attributes(QueueUrl=closed, AttributeNames=names)["Attributes"]
    assert left == {"ApproximateNumberOfMessages": "0"}


def test_a_function_must_let_the_rule_invoke_it(cloud: Cloud) -> None:
    """eb-use-resource-based.html#eb-lambda-permissions, 2026-11; ministack 1.5.33 invokes without."""
    told, told_arn = cloud.queue()
    function = cloud.function("def handler(event, context): return event['detail']")
    cloud.client("lambda").put_function_event_invoke_config(
        FunctionName=function, DestinationConfig={"OnSuccess": {"Destination": told_arn}}
    )
    source = fresh("source")
    rule = Rule(cloud, {"source": [source]})
    dead, dead_arn = cloud.queue()
    rule.let_in(dead, dead_arn)
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}"
    rule.to(Arn=arn, DeadLetterConfig={"Arn": dead_arn})
    put(cloud, source, {"n": 1})
    assert cloud.receive(dead)["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "NO_PERMISSIONS"
    cloud.client("lambda").add_permission(
        FunctionName=function, StatementId="rule", Action="lambda:InvokeFunction",
        Principal="events.amazonaws.com", SourceArn=rule.arn,
    )  # fmt: skip
    put(cloud, source, {"n": 2})
    assert json.loads(cloud.receive(told)["Body"])["responsePayload"] == {"n": 2}


def test_a_deleted_target_ends_in_the_dead_letter_queue(cloud: Cloud) -> None:
    source = fresh("source")
    rule = Rule(cloud, {"source": [source]})
    dead, dead_arn = cloud.queue()
    rule.let_in(dead, dead_arn)
    rule.to(Arn=f"arn:aws:sqs:{REGION}:{ACCOUNT}:gone", DeadLetterConfig={"Arn": dead_arn})
    put(cloud, source)
    assert cloud.receive(dead)["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "RESOURCE_NOT_FOUND"


def test_an_encrypted_queue_takes_no_events_unless_its_key_lets_eventbridge_use_it(cloud: Cloud) -> None:
    """eb-rule-dlq.html and sqs-key-management.html#compatibility-with-aws-services, 2026-11: the classic trap."""
    kms = cloud.client("kms")
    root = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "kms:*", "Resource": "*"}
    key = kms.create_key(Policy=json.dumps({"Version": "2012-10-17", "Statement": [root]}))["KeyMetadata"]["KeyId"]
    url, arn = cloud.queue(KmsMasterKeyId=key)
    dead, dead_arn = cloud.queue()
    source = fresh("source")
    rule = Rule(cloud, {"source": [source]})
    rule.let_in(url, arn)
    rule.let_in(dead, dead_arn)
    rule.to(Arn=arn, DeadLetterConfig={"Arn": dead_arn})
    put(cloud, source, {"n": 1})
    assert "kms:GenerateDataKey" in cloud.receive(dead)["MessageAttributes"]["ERROR_MESSAGE"]["StringValue"]
    service = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": ["kms:GenerateDataKey*", "kms:Decrypt"],
        "Resource": "*",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [root, service]})
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=policy)
    put(cloud, source, {"n": 2})
    assert json.loads(cloud.receive(url)["Body"])["detail"] == {"n": 2}


def test_eventbridge_does_not_tell_the_key_of_an_encrypted_topic_for_whom_it_publishes(cloud: Cloud) -> None:
    """sns-key-management.html, 2026-11: aws:SourceAccount and aws:SourceArn in a key policy are "not supported for
    EventBridge-to-encrypted topics"; SNS's encryption context names the topic."""
    kms = cloud.client("kms")
    root = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "kms:*", "Resource": "*"}

    def let(key: str, condition: dict[str, Any]) -> None:
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": ["kms:GenerateDataKey", "kms:Decrypt"],
            "Resource": "*",
            "Condition": condition,
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [root, statement]})
        kms.put_key_policy(KeyId=key, PolicyName="default", Policy=policy)

    key = kms.create_key()["KeyMetadata"]["KeyId"]
    sns = cloud.client("sns")
    topic = sns.create_topic(Name=fresh("topic"), Attributes={"KmsMasterKeyId": key})["TopicArn"]
    publish = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sns:Publish",
        "Resource": topic,
    }
    sns.set_topic_attributes(
        TopicArn=topic,
        AttributeName="Policy",
        AttributeValue=json.dumps({"Version": "2012-10-17", "Statement": [publish]}),
    )
    heard, heard_arn = cloud.queue()
    open_to_topics = {**publish, "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage"}
    cloud.client("sqs").set_queue_attributes(
        QueueUrl=heard,
        Attributes={
            "Policy": json.dumps({"Version": "2012-10-17", "Statement": [{**open_to_topics, "Resource": heard_arn}]})
        },
    )
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=heard_arn)
    dead, dead_arn = cloud.queue()
    source = fresh("source")
    rule = Rule(cloud, {"source": [source]})
    rule.let_in(dead, dead_arn)
    rule.to(Arn=topic, DeadLetterConfig={"Arn": dead_arn})
    let(key, {"StringEquals": {"aws:SourceAccount": ACCOUNT}})
    put(cloud, source, {"n": 1})
    assert "kms:GenerateDataKey" in cloud.receive(dead)["MessageAttributes"]["ERROR_MESSAGE"]["StringValue"]
    let(key, {"ArnLike": {"kms:EncryptionContext:aws:sns:topicArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:*"}})
    put(cloud, source, {"n": 2})
    assert json.loads(json.loads(cloud.receive(heard)["Body"])["Message"])["detail"] == {"n": 2}


def test_a_state_machine_is_started_as_the_targets_role_and_named_after_the_event(cloud: Cloud) -> None:
    """eb-targets.html, 2026-11; AWS names the execution {event id}_{target id}."""
    machine = cloud.machine(single({"Type": "Succeed"}))
    source = fresh("source")
    rule = Rule(cloud, {"source": [source]})
    role = cloud.role(allow("states:StartExecution", resource=machine), service="events")
    rule.to(
        Arn=machine,
        RoleArn=role,
        InputTransformer={"InputPathsMap": {"n": "$.detail.n"}, "InputTemplate": '{"n": <n>}'},
    )
    put(cloud, source, {"n": 5})
    states = cloud.client("stepfunctions")
    found = until(lambda: states.list_executions(stateMachineArn=machine)["executions"])[0]
    assert found["name"].endswith("_t")
    assert cloud.finish(found["executionArn"]).output == {"n": 5}


def test_an_event_is_forwarded_to_another_bus_and_archived(cloud: Cloud) -> None:
    events = cloud.client("events")
    bus = fresh("bus")
    bus_arn = events.create_event_bus(Name=bus)["EventBusArn"]
    archive = fresh("archive")
    events.create_archive(ArchiveName=archive, EventSourceArn=bus_arn)
    source = fresh("source")
    Rule(cloud, {"source": [source]}).to(Arn=bus_arn)
    rule = Rule(cloud, {"source": [source]}, bus=bus)
    url, arn = cloud.queue()
    rule.let_in(url, arn)
    rule.to(Arn=arn, InputPath="$.detail.inner")
    put(cloud, source, {"inner": {"x": 1}})
    assert json.loads(cloud.receive(url)["Body"]) == {"x": 1}
    assert events.describe_archive(ArchiveName=archive)["EventCount"] == 1


def test_a_schedule_fires_in_scaled_time_as_its_role(cloud: Cloud) -> None:
    """docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html, 2026-11. Half an hour is a second."""
    machine = cloud.machine(single({"Type": "Succeed"}))
    name = fresh("schedule")
    role = cloud.role(allow("states:StartExecution", resource=machine), service="scheduler")
    scheduler = cloud.client("scheduler")
    scheduler.create_schedule(
        Name=name, ScheduleExpression="rate(30 minutes)", FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": machine, "RoleArn": role, "Input": '{"at": "<aws.scheduler.scheduled-time>"}'},
    )  # fmt: skip
    states = cloud.client("stepfunctions")
    found = until(lambda: len(ran := states.list_executions(stateMachineArn=machine)["executions"]) >= 2 and ran)
    assert cloud.finish(found[0]["executionArn"]).output["at"].endswith("Z")
    scheduler.delete_schedule(Name=name)


def test_a_schedule_that_may_not_reach_its_target_ends_in_its_dead_letter_queue(cloud: Cloud) -> None:
    """configuring-schedule-dlq.html, 2026-11."""
    dead, dead_arn = cloud.queue()
    name = fresh("schedule")
    function = cloud.function("def handler(event, context): pass")
    role = cloud.role(allow("sqs:SendMessage", resource=dead_arn), service="scheduler")
    cloud.client("scheduler").create_schedule(
        Name=name, ScheduleExpression="rate(1 hour)", FlexibleTimeWindow={"Mode": "OFF"},
        Target={
            "Arn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}", "RoleArn": role, "Input": '{"x": 1}',
            "DeadLetterConfig": {"Arn": dead_arn},
        },
    )  # fmt: skip
    letter = cloud.receive(dead)
    assert json.loads(letter["Body"]) == {"x": 1}
    assert letter["MessageAttributes"]["ERROR_CODE"]["StringValue"].startswith("AccessDenied")
    cloud.client("scheduler").delete_schedule(Name=name)


def test_a_rule_with_a_cron_fires_in_scaled_time(cloud: Cloud) -> None:
    """eb-scheduled-rule-pattern.html, 2026-11. Every half hour is a second here."""
    events = cloud.client("events")
    name = fresh("rule")
    arn = events.put_rule(Name=name, ScheduleExpression="cron(0/30 * * * ? *)")["RuleArn"]
    rule = Rule.__new__(Rule)
    rule.cloud, rule.name, rule.bus, rule.arn = cloud, name, "default", arn
    url, queue_arn = cloud.queue()
    rule.let_in(url, queue_arn)
    rule.to(Arn=queue_arn)
    event = json.loads(cloud.receive(url)["Body"])
    assert (event["source"], event["detail-type"], event["resources"]) == ("aws.events", "Scheduled Event", [arn])
    events.remove_targets(Rule=name, Ids=["t"])
    events.delete_rule(Name=name)


@settings(deadline=None)
@given(hours=st.integers(1, 1000), scale=st.floats(1, 10_000), created=st.floats(0, 2e9), later=st.floats(0, 1e7))
def test_a_rate_is_due_after_every_moment_and_on_its_grid(
    hours: int, scale: float, created: float, later: float
) -> None:
    due = Due(f"rate({hours} hours)", created_at=created, scale=scale)
    following = due.after(created + later)
    assert following is not None
    step = hours * 3600 / scale
    assert created + later < following + 1e-3 <= created + later + step + 2e-3
    turns = (following - created) / step
    assert abs(turns - round(turns)) * step < 1e-3


@pytest.mark.parametrize(
    ("expression", "zone", "hour"), [("cron(0 2 * * ? *)", "UTC", 2), ("cron(0 2 * * ? *)", "Europe/Vienna", 1)]
)
def test_a_cron_is_meant_in_its_time_zone(expression: str, zone: str, hour: int) -> None:
    january = 1_767_225_600.0  # 2026-01-01T00:00:00Z
    due = Due(expression, created_at=january, scale=1, zone=zone)
    assert due.after(january) == january + hour * 3600


def test_a_one_time_schedule_is_due_once() -> None:
    due = Due("at(2026-01-01T01:00:00)", created_at=1_767_225_600.0, scale=60)
    assert due.after(0) == 1_767_225_660.0
    assert due.after(1_767_225_660.0) is None


def test_a_schedule_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="must be rate"):
        Due("every day", created_at=time.time(), scale=1)
