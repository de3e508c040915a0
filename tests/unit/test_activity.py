"""Who waits for an outcome gives up when nothing is under way, and not because it takes long."""

from __future__ import annotations

from typing import Any, cast

from localcloud.pace import Pace
from perennial.cli.activity import Activity, Hope

NOBODY = cast("Any", None)
QUIET = Activity(running=(), queued_count=0, endpoint=("InService", (("blue", 1.0),)))


def hope() -> Hope:
    return Hope(NOBODY, quiet_seconds=60, stuck_seconds=1000, pace=Pace(wall=lambda: 0.0, share=lambda: 1.0))


def training(event: int) -> Activity:
    return Activity(running=(("run-1", event),), queued_count=0, endpoint=())


def test_a_run_that_goes_on_is_waited_for_however_long_it_takes():
    waiting = hope()
    assert {waiting.judge(training(minute), 60.0 * minute) for minute in range(600)} == {None}


def test_a_run_that_tells_nothing_for_too_long_is_stuck():
    waiting = hope()
    assert waiting.judge(training(7), 0.0) is None
    assert waiting.judge(training(7), 999.0) is None
    assert waiting.judge(training(7), 1001.0) == (
        "nothing has moved for 1001 s (running: run-1; 0 files wait; endpoint: none)"
    )


def test_nothing_under_way_is_waited_on_for_a_while_only():
    waiting = hope()
    assert waiting.judge(training(1), 500.0) is None
    assert waiting.judge(QUIET, 559.0) is None
    assert waiting.judge(QUIET, 561.0) == "nothing is running and no file waits, for 61 s"


def test_a_file_that_waits_and_an_endpoint_that_changes_are_under_way():
    assert Activity(running=(), queued_count=1, endpoint=()).busy
    assert Activity(running=(), queued_count=0, endpoint=("Updating", ())).busy
    assert not Activity(running=(), queued_count=0, endpoint=("Failed", ())).busy
    assert not QUIET.busy


def test_another_wait_begins_anew():
    waiting = hope()
    waiting.judge(QUIET, 0.0)
    waiting.renew()
    assert waiting.judge(QUIET, 59.0) is None
