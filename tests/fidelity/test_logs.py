"""CloudWatch Logs as `aws logs tail` asks for it: FilterLogEvents (API reference and filter syntax, read 2026-11)."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud.logs.pattern import PatternInvalid, compile_pattern
from tests.fidelity.cloud import ACCOUNT, REGION, Cloud, allow, fresh

RECORD = json.dumps(
    {
        "level": "ERROR",
        "rows": 7,
        "share": 0.25,
        "late": True,
        "gone": None,
        "loop": {"name": "bikeshare", "steps": [0.1, 0.5]},
        "alarms": [{"name": "Errors"}, {"name": "Latency"}],
    }
)


def _group(cloud: Cloud, **streams: list[tuple[int, str]]) -> str:
    """A log group whose streams hold these (timestamp in ms, message)."""
    logs, group = cloud.client("logs"), fresh("/tail/group")
    logs.create_log_group(logGroupName=group)
    for stream, events in streams.items():
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
        said = [{"timestamp": at, "message": message} for at, message in events]
        if said:
            logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=said)
    return group


def _messages(answer: dict[str, Any]) -> list[str]:
    return [event["message"] for event in answer["events"]]


def test_streams_are_interleaved_by_time_and_each_event_can_be_told_from_every_other(cloud: Cloud) -> None:
    """The call of `aws logs tail`: CLI 2 asks with `interleaved`, and tells what it has shown by `eventId`."""
    now = int(time.time() * 1000)
    group = _group(cloud, a=[(now - 3000, "1"), (now - 1000, "3")], b=[(now - 2000, "2"), (now - 1000, "4")])
    asked = {"logGroupName": group, "interleaved": True, "startTime": now - 60_000}
    answer = cloud.client("logs").filter_log_events(**asked)
    assert _messages(answer) == ["1", "2", "3", "4"]
    assert [event["logStreamName"] for event in answer["events"]] == ["a", "b", "a", "b"]
    assert len({event["eventId"] for event in answer["events"]}) == 4
    later = cloud.client("logs").filter_log_events(**{**asked, "startTime": now - 1000})
    assert _messages(later) == ["3", "4"]


def test_what_does_not_fit_one_answer_follows_on_the_next(cloud: Cloud) -> None:
    now = int(time.time() * 1000)
    written = [(now + number // 3, f"line {number}") for number in range(25)]
    group = _group(cloud, a=written[::2], b=written[1::2])
    pages = list(
        cloud.client("logs")
        .get_paginator("filter_log_events")
        .paginate(logGroupName=group, PaginationConfig={"PageSize": 4})
    )
    found = [message for page in pages for message in _messages(page)]
    assert (len(pages), sorted(found), len(found)) == (7, sorted(text for _, text in written), 25)
    with pytest.raises(ClientError, match="nextToken is invalid"):
        cloud.client("logs").filter_log_events(logGroupName=group, nextToken="never given")


def test_an_answer_holds_no_more_than_a_megabyte(cloud: Cloud) -> None:
    now = int(time.time() * 1000)
    group = _group(cloud, a=[(now, letter * 200_000) for letter in "uvwxyz"])
    first = cloud.client("logs").filter_log_events(logGroupName=group)
    second = cloud.client("logs").filter_log_events(logGroupName=group, nextToken=first["nextToken"])
    assert [text[0] for text in _messages(first)] == list("uvwxy")
    assert [text[0] for text in _messages(second)] == ["z"]
    assert "nextToken" not in second


def test_streams_are_chosen_by_name_or_by_prefix_but_not_by_both(cloud: Cloud) -> None:
    now = int(time.time() * 1000)
    group = _group(cloud, blue1=[(now, "b1")], blue2=[(now, "b2")], green1=[(now, "g1")])
    logs = cloud.client("logs")
    assert _messages(logs.filter_log_events(logGroupName=group, logStreamNamePrefix="blue")) == ["b1", "b2"]
    assert _messages(logs.filter_log_events(logGroupName=group, logStreamNames=["green1"])) == ["g1"]
    with pytest.raises(ClientError, match="mutually exclusive"):
        logs.filter_log_events(logGroupName=group, logStreamNames=["green1"], logStreamNamePrefix="blue")


def test_a_pattern_about_json_lets_only_its_events_through(cloud: Cloud) -> None:
    """ministack 1.5.33 takes it for one that matches everything."""
    now = int(time.time() * 1000)
    group = _group(cloud, a=[(now, '{"level": "INFO"}'), (now + 1, '{"level": "ERROR"}'), (now + 2, "START")])
    answer = cloud.client("logs").filter_log_events(logGroupName=group, filterPattern='{ $.level = "ERROR" }')
    assert _messages(answer) == ['{"level": "ERROR"}']
    with pytest.raises(ClientError, match="Invalid filter pattern"):
        cloud.client("logs").filter_log_events(logGroupName=group, filterPattern="{ $.level ~ 3 }")


@pytest.mark.parametrize(
    "pattern",
    [
        '{ $.level = "ERROR" }',
        "{ $.level = ERR* }",
        "{ $.level = %^ERR|WARN% }",
        '{ $.level != "INFO" }',
        "{ $.rows = 7 }",
        "{ $.rows != 8 && $.share <= 0.25 }",
        "{ $.late IS TRUE }",
        "{ $.gone IS NULL }",
        "{ $.absent NOT EXISTS }",
        '{ $.loop.name = "bike*" && ($.rows > 100 || $.loop.steps[1] >= 0.5) }',
        "{ $.alarms[*].name = Latency }",
        "{ $['level'] = \"ERROR\" }",
        # && binds closer than ||.
        "{ $.rows = 7 || $.rows = 8 && $.rows = 9 }",
    ],
)
def test_an_event_passes_what_is_true_of_it(pattern: str) -> None:
    assert compile_pattern(pattern)(RECORD)


@pytest.mark.parametrize(
    "pattern",
    [
        '{ $.level = "error" }',
        "{ $.level = RR }",
        '{ $.level != "ERROR" }',
        "{ $.absent != 8 }",
        "{ $.rows > 7 }",
        "{ $.late IS FALSE }",
        "{ $.level NOT EXISTS }",
        "{ ($.rows = 7 || $.rows = 8) && $.rows = 9 }",
    ],
)
def test_an_event_is_held_back_by_what_is_not_true_of_it(pattern: str) -> None:
    assert not compile_pattern(pattern)(RECORD)


def test_terms_are_all_of_them_any_of_them_or_none_of_them() -> None:
    line = "[ERROR 400] BAD REQUEST"
    passed = ["ERROR", "ERROR REQUEST", '"BAD REQUEST"', "?INFO ?BAD", "ERROR -GOOD", "%4\\d\\d%", "", '""']
    held = ["error", "ERROR GOOD", '"REQUEST BAD"', "?INFO ?GOOD", "ERROR -BAD", "%5\\d\\d%"]
    assert [one for one in passed if not compile_pattern(one)(line)] == []
    assert [one for one in held if compile_pattern(one)(line)] == []


@pytest.mark.parametrize(
    "pattern",
    [
        "[ip, user]",
        "{ $.a = 1",
        "{ $.a = }",
        "{ $.a > x }",
        "{ $.a IS BIG }",
        "{ $.a 1 }",
        "?A B",
        "{ $.a = %(% }",
        "{ }",
    ],
)
def test_a_pattern_that_is_not_understood_is_refused_and_never_guessed(pattern: str) -> None:
    with pytest.raises(PatternInvalid):
        compile_pattern(pattern)


def test_a_stream_is_deleted_by_who_may_delete_that_stream(cloud: Cloud) -> None:
    """Service authorization reference, CloudWatch Logs, 2026-12: DeleteLogStream's resource type is log-stream;
    ministack 1.5.33 asks for the group."""
    group = _group(cloud, mine=[], theirs=[])
    arn = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}:log-stream:mine"
    logs = cloud.as_role(cloud.role(allow("logs:DeleteLogStream", resource=arn)), "logs")
    with pytest.raises(ClientError, match="log-stream:theirs"):
        logs.delete_log_stream(logGroupName=group, logStreamName="theirs")
    logs.delete_log_stream(logGroupName=group, logStreamName="mine")
