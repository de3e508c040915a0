"""
Alarms and metrics of a running local cloud, where a minute of an alarm takes a second.

Each test names the fact that it holds the local cloud to, where it is written, and when that was read.
"""

from __future__ import annotations

import io
import json
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import botocore.parsers
import botocore.serialize
import botocore.session
import pytest
from botocore.exceptions import ClientError

from tests.fidelity.serving import Lab, running
from tests.waiting import until

SPEED = 60
PRINTER = "import json\ndef handler(event, context):\n    print('ALARM EVENT ' + json.dumps(event))\n"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with running(alarms=SPEED) as lab:
        yield lab


def dims(**pairs: str) -> list[dict[str, str]]:
    return [{"Name": name, "Value": value} for name, value in pairs.items()]


def publish(lab: Lab, name: str, value: float, *, dimensions: list[dict[str, str]] | None = None, **rest: Any) -> None:
    datum = {"MetricName": name, "Dimensions": dimensions or [], "Value": value, **rest}
    lab.cloudwatch.put_metric_data(Namespace="Test", MetricData=[datum])


def put_alarm(lab: Lab, name: str, metric: str, **rest: Any) -> None:
    watched = {} if "Metrics" in rest else {"Namespace": "Test", "MetricName": metric, "Statistic": "Sum", "Period": 60}
    if "ExtendedStatistic" in rest:
        del watched["Statistic"]
    lab.cloudwatch.put_metric_alarm(**{
        "AlarmName": name,
        **watched,
        "EvaluationPeriods": 1,
        "Threshold": 5,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
        **rest,
    })  # fmt: skip


def state(lab: Lab, name: str) -> str:
    types = ["MetricAlarm", "CompositeAlarm"]
    found = lab.cloudwatch.describe_alarms(AlarmNames=[name], AlarmTypes=types)
    return str((found["MetricAlarms"] + found["CompositeAlarms"])[0]["StateValue"])


def becomes(lab: Lab, name: str, wanted: str) -> None:
    """Wait until the alarm is, or in the meantime was, in that state: on a busy machine an ALARM is easily missed."""
    known = len(ever(lab, name))
    until(lambda: state(lab, name) == wanted or wanted in ever(lab, name)[known:])


def ever(lab: Lab, name: str) -> list[str]:
    """States that the alarm went through, oldest first."""
    items = lab.cloudwatch.describe_alarm_history(
        AlarmName=name,
        HistoryItemType="StateUpdate",
        ScanBy="TimestampAscending",
        AlarmTypes=["MetricAlarm", "CompositeAlarm"],
    )["AlarmHistoryItems"]
    return [json.loads(item["HistoryData"])["newState"]["stateValue"] for item in items]


def test_a_challengers_breach_leaves_the_champions_alarm_alone(lab: Lab) -> None:
    """
    A metric is identified by namespace, name and exactly its dimensions (CloudWatch concepts, "Dimensions",
    2026-11-24). ministack 1.5.33 put every alarm on that name into ALARM.
    """
    for slot in ("blue", "green"):
        put_alarm(lab, f"errors-{slot}", "Errors", Dimensions=dims(EndpointName="e", VariantName=slot))
    publish(lab, "Errors", 50, dimensions=dims(VariantName="green", EndpointName="e"))
    publish(lab, "Errors", 50)
    becomes(lab, "errors-green", "ALARM")
    becomes(lab, "errors-green", "OK")
    assert ever(lab, "errors-blue") == ["OK"]


def test_m_out_of_n_periods_must_breach(lab: Lab) -> None:
    """DatapointsToAlarm of EvaluationPeriods (API reference, PutMetricAlarm, 2026-11-24)."""
    put_alarm(lab, "two-of-three", "Spiky", EvaluationPeriods=3, DatapointsToAlarm=2)
    put_alarm(lab, "one-of-three", "Spiky", EvaluationPeriods=3, DatapointsToAlarm=1)
    publish(lab, "Spiky", 9)
    becomes(lab, "one-of-three", "ALARM")
    assert ever(lab, "two-of-three") == ["OK"]
    now = datetime.now(UTC)
    datum = {"MetricName": "Spiky", "Value": 9}
    twice = [datum | {"Timestamp": now}, datum | {"Timestamp": now - timedelta(seconds=1)}]
    lab.cloudwatch.put_metric_data(Namespace="Test", MetricData=twice)
    becomes(lab, "two-of-three", "ALARM")


@pytest.mark.parametrize(
    ("treatment", "expected"),
    [("breaching", "ALARM"), ("notBreaching", "OK"), ("missing", "INSUFFICIENT_DATA"), ("ignore", "INSUFFICIENT_DATA")],
)
def test_silence_is_what_the_alarm_says_it_is(lab: Lab, treatment: str, expected: str) -> None:
    """A new alarm begins as INSUFFICIENT_DATA ("Configuring how alarms treat missing data", 2026-11-24)."""
    put_alarm(lab, f"silent-{treatment}", "Nothing", TreatMissingData=treatment)
    becomes(lab, f"silent-{treatment}", expected)


def test_an_alarm_on_another_unit_sees_nothing(lab: Lab) -> None:
    """An alarm with a Unit only sees datapoints of that unit (API reference, PutMetricAlarm, Unit, 2026-11-24)."""
    put_alarm(lab, "in-percent", "Typed", Unit="Percent")
    put_alarm(lab, "in-count", "Typed", Unit="Count")
    publish(lab, "Typed", 50, Unit="Count")
    becomes(lab, "in-count", "ALARM")
    assert ever(lab, "in-percent") == ["OK"]


def test_an_alarm_watches_a_percentile(lab: Lab) -> None:
    """ExtendedStatistic pNN (API reference, PutMetricAlarm, 2026-11-24)."""
    put_alarm(lab, "p90", "Latency", ExtendedStatistic="p90", Threshold=100)
    put_alarm(lab, "p50", "Latency", ExtendedStatistic="p50", Threshold=100)
    lab.cloudwatch.put_metric_data(
        Namespace="Test", MetricData=[{"MetricName": "Latency", "Values": [10.0, 500.0], "Counts": [8, 2]}]
    )
    becomes(lab, "p90", "ALARM")
    assert ever(lab, "p50") == ["OK"]


def query(id_: str, metric: str, *, stat: str = "Sum", **rest: Any) -> dict[str, Any]:
    watched = {"Metric": {"Namespace": "Test", "MetricName": metric}, "Period": 60, "Stat": stat}
    return {"Id": id_, "MetricStat": watched, "ReturnData": False, **rest}


def test_an_alarm_watches_a_ratio_and_no_traffic_is_no_error(lab: Lab) -> None:
    """
    Alarms on metric math (PutMetricAlarm, Metrics, 2026-11-24); ministack 1.5.33 refused them. A division by zero gives
    no datapoint.
    """
    ratio = {"Id": "e", "Expression": "IF(calls > 3, 100 * FILL(bad, 0) / calls, 0)", "ReturnData": True}
    put_alarm(lab, "ratio", "", Metrics=[query("calls", "Calls"), query("bad", "Bad"), ratio], Threshold=20)

    def minute(calls: int, bad: int) -> None:
        now = datetime.now(UTC)
        data = [{"MetricName": "Calls", "Value": calls, "Timestamp": now}]
        data += [{"MetricName": "Bad", "Value": bad, "Timestamp": now}]
        lab.cloudwatch.put_metric_data(Namespace="Test", MetricData=data)

    minute(calls=3, bad=2)
    until(lambda: ever(lab, "ratio") == ["OK"])
    minute(calls=10, bad=9)
    becomes(lab, "ratio", "ALARM")


def test_wrong_alarms_are_refused(lab: Lab) -> None:
    """ValidationError and InvalidParameterCombination (API reference, PutMetricAlarm, 2026-11-24)."""
    expression = {"Id": "e", "Expression": "nobody + 1", "ReturnData": True}
    for wrong in (
        {"DatapointsToAlarm": 4},
        {"Period": 45},
        {"TreatMissingData": "sometimes"},
        {"Statistic": "Sum", "ExtendedStatistic": "p90"},
        {"Metrics": [expression]},
        {"Metrics": [query("a", "A")]},
        {"Metrics": [query("a", "A", ReturnData=True), query("b", "B", ReturnData=True)]},
    ):
        with pytest.raises(ClientError):
            put_alarm(lab, "wrong", "Any", **wrong)
    assert lab.cloudwatch.describe_alarms(AlarmNames=["wrong"])["MetricAlarms"] == []


def test_a_state_set_by_hand_lasts_until_the_next_evaluation(lab: Lab) -> None:
    """API reference, SetAlarmState (2026-11-24): a temporary state, and its actions are carried out."""
    put_alarm(lab, "by-hand", "Quiet")
    becomes(lab, "by-hand", "OK")
    lab.cloudwatch.set_alarm_state(AlarmName="by-hand", StateValue="ALARM", StateReason="a drill")
    becomes(lab, "by-hand", "OK")
    assert ever(lab, "by-hand") == ["OK", "ALARM", "OK"]
    with pytest.raises(ClientError, match="ResourceNotFound"):
        lab.cloudwatch.set_alarm_state(AlarmName="nobody", StateValue="ALARM", StateReason="a drill")


def make_function(lab: Lab, name: str) -> str:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("app.py", PRINTER)
    arn = lab.client("lambda").create_function(
        FunctionName=name,
        Runtime="python3.12",
        Handler="app.handler",
        Role=lab.role,
        Architectures=["arm64"],
        Code={"ZipFile": buffer.getvalue()},
    )["FunctionArn"]
    return str(arn)


def printed(lab: Lab, function: str) -> list[dict[str, Any]]:
    try:
        events = lab.logs.filter_log_events(logGroupName=f"/aws/lambda/{function}")["events"]
    except ClientError:
        return []
    marker = "ALARM EVENT "
    return [json.loads(e["message"].split(marker)[1]) for e in events if marker in e["message"]]


def test_a_composite_alarm_reaches_a_function_with_awss_payload(lab: Lab) -> None:
    """
    Lambda actions need a permission for lambda.alarms.cloudwatch.amazonaws.com, and get source, alarmArn, accountId,
    time, region and alarmData ("Lambda alarm actions", CloudWatch user guide, 2026-11-24). ministack 1.5.33 ran no
    Lambda action.
    """
    function = make_function(lab, "roll-back")
    lab.client("lambda").add_permission(
        FunctionName="roll-back",
        StatementId="alarm",
        Action="lambda:InvokeFunction",
        Principal="lambda.alarms.cloudwatch.amazonaws.com",
    )
    put_alarm(lab, "part", "Broken", AlarmDescription="part of it")
    put_alarm(lab, "other-part", "NeverBroken")
    lab.cloudwatch.put_composite_alarm(
        AlarmName="roll-back-now", AlarmRule='ALARM("part") OR ALARM("other-part")', AlarmActions=[function]
    )
    publish(lab, "Broken", 9)
    becomes(lab, "roll-back-now", "ALARM")
    (event,) = until(lambda: printed(lab, "roll-back"))
    assert ("aws.cloudwatch", lab.account, "us-east-1") == (event["source"], event["accountId"], event["region"])
    assert event["alarmArn"].endswith(":alarm:roll-back-now")
    data = event["alarmData"]
    assert data["state"]["value"] == "ALARM"
    assert data["previousState"]["value"] == "OK"
    assert data["configuration"] == {"alarmRule": 'ALARM("part") OR ALARM("other-part")'}
    (trigger,) = json.loads(data["state"]["reasonData"])["triggeringAlarms"]
    assert trigger["arn"].endswith(":alarm:part")


def test_a_function_without_permission_for_alarms_is_not_reached(lab: Lab) -> None:
    """Same page: without the resource-based permission the action fails, which the alarm's history shows."""
    put_alarm(lab, "no-permission", "Unheard", AlarmActions=[make_function(lab, "deaf")])
    publish(lab, "Unheard", 9)
    becomes(lab, "no-permission", "ALARM")

    def actions() -> list[str]:
        found = lab.cloudwatch.describe_alarm_history(AlarmName="no-permission", HistoryItemType="Action")
        return [item["HistorySummary"] for item in found["AlarmHistoryItems"]]

    assert until(actions)[0].startswith("Failed to execute action arn:aws:lambda")
    assert printed(lab, "deaf") == []


def test_a_state_change_is_an_event_and_a_notification(lab: Lab) -> None:
    """
    "CloudWatch Alarm State Change" on the default bus ("Alarm events and EventBridge", 2026-11-24), SNS subject and
    message. ministack 1.5.33 sent no event.
    """
    wanted = {"source": ["aws.cloudwatch"], "detail": {"alarmName": ["noisy"], "state": {"value": ["ALARM"]}}}
    events = lab.queue_for_events("alarm-events", wanted)
    url = lab.sqs.create_queue(QueueName="alarm-mail")["QueueUrl"]
    queue = lab.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    lab.allow_to_send(url, queue, "sns.amazonaws.com")
    topic = lab.sns.create_topic(Name="alarms")["TopicArn"]
    lab.sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue)
    mail = lab.receiver(url)
    put_alarm(lab, "noisy", "Noise", AlarmActions=[topic], Dimensions=dims(Room="1"))
    publish(lab, "Noise", 9, dimensions=dims(Room="1"))

    (event,) = until(events)
    assert event["detail-type"] == "CloudWatch Alarm State Change"
    assert event["resources"][0].endswith(":alarm:noisy")
    assert event["detail"]["previousState"]["value"] == "OK"
    (metric,) = event["detail"]["configuration"]["metrics"]
    assert metric["metricStat"]["metric"] == {"namespace": "Test", "name": "Noise", "dimensions": {"Room": "1"}}

    (notification,) = until(mail)
    assert notification["Subject"].startswith('ALARM: "noisy" in US East')
    message = json.loads(notification["Message"])
    assert (
        message["NewStateValue"], message["OldStateValue"], message["Trigger"]["MetricName"]
    ) == ("ALARM", "OK", "Noise")  # fmt: skip


def test_disabled_actions_are_not_carried_out_but_the_state_moves(lab: Lab) -> None:
    """API reference, DisableAlarmActions (2026-11-24)."""
    put_alarm(lab, "muted", "Muted", AlarmActions=["arn:aws:sns:us-east-1:123456789012:nobody"])
    lab.cloudwatch.disable_alarm_actions(AlarmNames=["muted"])
    publish(lab, "Muted", 9)
    becomes(lab, "muted", "ALARM")
    becomes(lab, "muted", "OK")
    found = lab.cloudwatch.describe_alarm_history(AlarmName="muted", HistoryItemType="Action")
    assert found["AlarmHistoryItems"] == []


def test_composite_alarms_are_listed_when_asked_for_and_protect_their_parts(lab: Lab) -> None:
    """DescribeAlarms, AlarmTypes: metric alarms alone by default; DeleteAlarms (API reference, 2026-11-24)."""
    put_alarm(lab, "leaf", "Leaf")
    lab.cloudwatch.put_composite_alarm(AlarmName="tree", AlarmRule="NOT ALARM(leaf)")
    assert state(lab, "tree") == "ALARM"
    assert lab.cloudwatch.describe_alarms(AlarmNames=["tree"])["CompositeAlarms"] == []
    (child,) = lab.cloudwatch.describe_alarms(ChildrenOfAlarmName="tree")["MetricAlarms"]
    assert child["AlarmName"] == "leaf"
    with pytest.raises(ClientError, match="depending on it"):
        lab.cloudwatch.delete_alarms(AlarmNames=["leaf"])
    with pytest.raises(ClientError, match="do not exist"):
        lab.cloudwatch.put_composite_alarm(AlarmName="forest", AlarmRule="ALARM(tree) OR ALARM(nobody)")
    lab.cloudwatch.delete_alarms(AlarmNames=["tree"])
    lab.cloudwatch.delete_alarms(AlarmNames=["leaf"])


def test_a_window_of_less_than_a_minute_counts_what_lies_in_it_and_nothing_else(lab: Lab) -> None:
    """
    GetMetricData and GetMetricStatistics take StartTime inclusive and EndTime exclusive (API reference, 2026-11-24).
    AWS rounds them to the minute; here a scaled bake lasts seconds, so they count exactly (docs/fidelity.md).
    """
    start = datetime.now(UTC) - timedelta(seconds=10)
    for second, value in ((0, 1.0), (1, 2.0), (2, 4.0), (3, 8.0)):
        publish(lab, "Window", value, Timestamp=start + timedelta(seconds=second))
    window = {"StartTime": start + timedelta(seconds=1), "EndTime": start + timedelta(seconds=3)}
    queries = [
        query("total", "Window", ReturnData=True),
        query("top", "Window", stat="p100", ReturnData=True),
        {"Id": "share", "Expression": "top / total"},
    ]
    results = lab.cloudwatch.get_metric_data(MetricDataQueries=queries, **window)["MetricDataResults"]
    assert {r["Id"]: r["Values"] for r in results} == {"total": [6.0], "top": [4.0], "share": [4 / 6]}
    found = lab.cloudwatch.get_metric_statistics(
        Namespace="Test", MetricName="Window", Period=60, Statistics=["Sum", "SampleCount"],
        ExtendedStatistics=["p50"], **window,
    )["Datapoints"]  # fmt: skip
    assert [(d["Sum"], d["SampleCount"], d["ExtendedStatistics"]) for d in found] == [(6.0, 2.0, {"p50": 3.0})]


def test_periods_of_a_long_window_start_at_their_multiples_newest_first(lab: Lab) -> None:
    """GetMetricData, ScanBy defaults to TimestampDescending (API reference, 2026-11-24)."""
    start = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
    for minute, value in ((0, 1.0), (1, 2.0), (3, 4.0)):
        publish(lab, "Long", value, Timestamp=start + timedelta(minutes=minute, seconds=20))
    window = {"StartTime": start, "EndTime": start + timedelta(minutes=5)}
    (result,) = lab.cloudwatch.get_metric_data(MetricDataQueries=[query("m", "Long", ReturnData=True)], **window)[
        "MetricDataResults"
    ]
    minutes = [(stamp.astimezone(UTC) - start).total_seconds() / 60 for stamp in result["Timestamps"]]
    assert (minutes, result["Values"]) == ([3, 1, 0], [4.0, 2.0, 1.0])


def test_a_statistic_set_counts_as_its_samples(lab: Lab) -> None:
    """PutMetricData, StatisticValues (API reference, 2026-11-24)."""
    values = {"SampleCount": 4, "Sum": 10, "Minimum": 1, "Maximum": 5}
    lab.cloudwatch.put_metric_data(Namespace="Test", MetricData=[{"MetricName": "Set", "StatisticValues": values}])
    now = datetime.now(UTC)
    (point,) = lab.cloudwatch.get_metric_statistics(
        Namespace="Test", MetricName="Set", StartTime=now - timedelta(seconds=20), EndTime=now + timedelta(seconds=20),
        Period=300, Statistics=["Average", "Maximum", "SampleCount"],
    )["Datapoints"]  # fmt: skip
    assert (point["Average"], point["Maximum"], point["SampleCount"]) == (2.5, 5.0, 4.0)


def test_metrics_are_listed_by_some_of_their_dimensions(lab: Lab) -> None:
    """ListMetrics, DimensionFilter (API reference, 2026-11-24)."""
    publish(lab, "Listed", 1, dimensions=dims(EndpointName="e", VariantName="blue"))
    publish(lab, "Listed", 1, dimensions=dims(EndpointName="e", VariantName="green"))
    found = lab.cloudwatch.list_metrics(
        Namespace="Test", MetricName="Listed", Dimensions=[{"Name": "VariantName", "Value": "green"}]
    )
    assert [dims(EndpointName="e", VariantName="green")] == [metric["Dimensions"] for metric in found["Metrics"]]


@pytest.mark.parametrize("protocol", ["smithy-rpc-v2-cbor", "json", "query"])
def test_each_of_cloudwatchs_wire_protocols_is_spoken(lab: Lab, protocol: str) -> None:
    """botocore 1.43.106's model of CloudWatch names these three, the AWS CLI and older SDKs use any of them."""
    name = f"over-{protocol}"
    params = {
        "AlarmName": name, "Namespace": "Test", "MetricName": "M", "Statistic": "Sum", "Period": 60, "Threshold": 1.5,
        "EvaluationPeriods": 2, "ComparisonOperator": "LessThanThreshold", "TreatMissingData": "notBreaching",
        "Dimensions": dims(A="ä & <b>"),
    }  # fmt: skip
    assert {k: v for k, v in call(lab, protocol, "PutMetricAlarm", params).items() if k != "ResponseMetadata"} == {}
    (shown,) = call(lab, protocol, "DescribeAlarms", {"AlarmNames": [name]})["MetricAlarms"]
    assert params == {key: shown[key] for key in params}
    assert abs((datetime.now(UTC) - shown["StateUpdatedTimestamp"]).total_seconds()) < 60
    now = datetime.now(UTC)
    datum = {"MetricName": name, "Timestamp": now - timedelta(minutes=2), "Values": [1.0, 2.0]}
    call(lab, protocol, "PutMetricData", {"Namespace": "Test", "MetricData": [datum]})
    window = {
        "StartTime": now - timedelta(minutes=5),
        "EndTime": now,
        "MetricDataQueries": [query("m", name, ReturnData=True)],
    }
    assert call(lab, protocol, "GetMetricData", window)["MetricDataResults"][0]["Values"] == [3.0]
    refused = call(lab, protocol, "PutMetricAlarm", params | {"Period": 45})
    assert refused["Error"]["Code"] == "ValidationError"


def call(lab: Lab, protocol: str, action: str, params: dict[str, Any]) -> dict[str, Any]:
    """The operation as botocore writes and reads it in that protocol."""
    model = botocore.session.get_session().get_service_model("cloudwatch")
    operation = model.operation_model(action)
    request = botocore.serialize.create_serializer(protocol).serialize_to_request(params, operation)
    body = request["body"]
    data = urllib.parse.urlencode(body).encode() if isinstance(body, dict) else body
    data = data.encode() if isinstance(data, str) else data
    signed = (
        "AWS4-HMAC-SHA256 Credential={}/20261124/us-east-1/monitoring/aws4_request, SignedHeaders=host, Signature=0"
    )
    headers = {**request["headers"], "Authorization": signed.format(lab.server.environment()["AWS_ACCESS_KEY_ID"])}
    asked = urllib.request.Request(lab.server.endpoint_url + request["url_path"], data, headers, method="POST")
    try:
        with urllib.request.urlopen(asked) as answer:
            status, text, got = answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        status, text, got = error.code, error.read(), error.headers
    response = {"status_code": status, "headers": {k.lower(): v for k, v in got.items()}, "body": text}
    parsed: dict[str, Any] = botocore.parsers.create_parser(protocol).parse(response, operation.output_shape)
    return parsed


TEMPLATE = {
    "Resources": {
        "Ratio": {
            "Type": "AWS::CloudWatch::Alarm",
            "Properties": {
                "ComparisonOperator": "GreaterThanThreshold", "EvaluationPeriods": "3", "DatapointsToAlarm": 2,
                "Threshold": "1.5", "TreatMissingData": "notBreaching",
                "Metrics": [
                    {"Id": "m", "ReturnData": "false", "MetricStat": {
                        "Metric": {"Namespace": "Test", "MetricName": "Stack"}, "Period": "60", "Stat": "Sum"}},
                    {"Id": "e", "Expression": "m * 2", "Label": "twice"},
                ],
            },
        },
        "Now": {
            "Type": "AWS::CloudWatch::CompositeAlarm",
            "Properties": {
                "AlarmName": "stack-now", "AlarmRule": {"Fn::Sub": 'ALARM("${Ratio}")'}, "ActionsEnabled": "true",
                "Tags": [{"Key": "loop", "Value": "rides"}],
            },
        },
    },
    "Outputs": {"Arn": {"Value": {"Fn::GetAtt": ["Now", "Arn"]}}, "Ratio": {"Value": {"Ref": "Ratio"}}},
}  # fmt: skip


def test_stacks_make_change_and_remove_math_alarms_and_composite_alarms(lab: Lab) -> None:
    """
    AWS::CloudWatch::Alarm with Metrics, AWS::CloudWatch::CompositeAlarm (CloudFormation template reference,
    2026-11-24); ministack 1.5.33 refused the first and did not know the second.
    """
    lab.cloudformation.create_stack(StackName="alarms", TemplateBody=json.dumps(TEMPLATE))
    lab.cloudformation.get_waiter("stack_create_complete").wait(StackName="alarms", WaiterConfig={"Delay": 0.2})
    (stack,) = lab.cloudformation.describe_stacks(StackName="alarms")["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    name = outputs["Ratio"]
    (alarm,) = lab.cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
    assert (alarm["Metrics"][1]["Expression"], alarm["EvaluationPeriods"], alarm["Threshold"]) == ("m * 2", 3, 1.5)
    tags = lab.cloudwatch.list_tags_for_resource(ResourceARN=outputs["Arn"])["Tags"]
    assert {"Key": "loop", "Value": "rides"} in tags
    publish(lab, "Stack", 1)
    publish(lab, "Stack", 1, Timestamp=datetime.now(UTC) - timedelta(seconds=1))
    becomes(lab, "stack-now", "ALARM")

    changed = json.loads(json.dumps(TEMPLATE))
    changed["Resources"]["Ratio"]["Properties"]["Threshold"] = 7
    lab.cloudformation.update_stack(StackName="alarms", TemplateBody=json.dumps(changed))
    lab.cloudformation.get_waiter("stack_update_complete").wait(StackName="alarms", WaiterConfig={"Delay": 0.2})
    assert lab.cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]["Threshold"] == 7.0

    lab.cloudformation.delete_stack(StackName="alarms")
    lab.cloudformation.get_waiter("stack_delete_complete").wait(StackName="alarms", WaiterConfig={"Delay": 0.2})
    left = lab.cloudwatch.describe_alarms(AlarmNames=[name, "stack-now"], AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    assert left["MetricAlarms"] + left["CompositeAlarms"] == []


def test_dashboards_are_still_served(lab: Lab) -> None:
    """PutDashboard and its sisters are ministack's own: replacing the alarms must not lose them."""
    lab.cloudwatch.put_dashboard(DashboardName="d", DashboardBody='{"widgets": []}')
    assert lab.cloudwatch.get_dashboard(DashboardName="d")["DashboardBody"] == '{"widgets": []}'


def test_metrics_that_other_services_publish_arrive(lab: Lab) -> None:
    """AWS/Lambda Invocations, dimension FunctionName (Lambda developer guide, "Types of metrics", 2026-11-24)."""
    make_function(lab, "counted")
    lab.client("lambda").invoke(FunctionName="counted", Payload=b"{}")

    def invocations() -> list[float]:
        watched = {"Namespace": "AWS/Lambda", "MetricName": "Invocations", "Dimensions": dims(FunctionName="counted")}
        now = datetime.now(UTC)
        (result,) = lab.cloudwatch.get_metric_data(
            MetricDataQueries=[{"Id": "m", "MetricStat": {"Metric": watched, "Period": 60, "Stat": "Sum"}}],
            StartTime=now - timedelta(minutes=5), EndTime=now + timedelta(seconds=5),
        )["MetricDataResults"]  # fmt: skip
        return list(result["Values"])

    assert sum(until(invocations)) == 1.0
