"""A challenger fails in service: its alarm takes the traffic back while the champion goes on answering."""

from __future__ import annotations

import itertools

import pytest

from tests.loop.conftest import Cycle
from tests.loop.journey import Journey

pytestmark = pytest.mark.local_cloud


def _slots(rolled_back: Cycle) -> tuple[str, str]:
    """Champion's and challenger's slot, by which of both stayed."""
    assert rolled_back.watch is not None
    (champion,) = rolled_back.watch.seen[-1].weights
    (challenger,) = {name for one in rolled_back.watch.seen for name in one.weights} - {champion}
    return champion, challenger


def _error_alarm(journey: Journey, rolled_back: Cycle, slot: str) -> str:
    (name,) = [name for name in rolled_back.watch.seen[-1].alarms if f"{slot.title()}Errors" in name]
    return name


def test_the_failing_variants_alarm_goes_from_ok_to_alarm_to_ok(journey: Journey, rolled_back: Cycle):
    _, challenger = _slots(rolled_back)
    name = _error_alarm(journey, rolled_back, challenger)
    assert rolled_back.watch.states_of(name) == ["OK", "ALARM", "OK"]
    described = journey.aws("cloudwatch", "describe-alarms", "--alarm-names", name)["MetricAlarms"]
    assert [one["StateValue"] for one in described] == ["OK"]


def test_the_champions_alarm_stays_at_rest(journey: Journey, rolled_back: Cycle):
    champion, _ = _slots(rolled_back)
    assert rolled_back.watch.states_of(_error_alarm(journey, rolled_back, champion)) == ["OK"]


def test_the_alarm_itself_rolls_back_before_the_bake_ends(journey: Journey, rolled_back: Cycle):
    _, challenger = _slots(rolled_back)
    name = journey.deployment[f"RollBack{challenger.title()}AlarmName"]
    assert "ALARM" in rolled_back.watch.states_of(name)
    history = journey.aws(
        "cloudwatch",
        "describe-alarm-history",
        "--alarm-name",
        name,
        "--alarm-types",
        "CompositeAlarm",
        "--history-item-type",
        "Action",
    )["AlarmHistoryItems"]
    assert any(":lambda:" in item["HistoryData"] for item in history)
    (told,) = [one for one in journey.told("Model Rolled Back") if one["rollout_id"] == rolled_back.run_id]
    assert told["cause"] == "alarm"


def test_the_rollout_ends_as_rolled_back_and_the_run_with_it(journey: Journey, rolled_back: Cycle):
    assert rolled_back.rollout is not None
    assert rolled_back.rollout.output == {"status": "rolled back", "model_version": rolled_back.run_id}
    assert "ConcludeRolledBack" in rolled_back.learning.run.states
    assert journey.partition("runs")[rolled_back.run_id]["outcome"] == "rolled back"


def test_the_champion_served_throughout_and_nobody_else_failed(rolled_back: Cycle):
    champion, challenger = _slots(rolled_back)
    failed = {call.variant for call in rolled_back.calls if call.error and not call.targeted}
    assert failed <= {challenger}
    assert any(call.variant == challenger and call.error for call in rolled_back.calls)
    answered = [call.ended_at for call in rolled_back.calls if call.variant == champion and not call.error]
    longest = max(after - before for before, after in itertools.pairwise(answered))
    assert longest < 5.0


def test_the_champion_before_has_all_traffic_again(journey: Journey, promoted: Cycle, rolled_back: Cycle):
    smoke = journey.lake_json(f"reports/evaluations/{promoted.run_id}/smoke.json")
    _, answer = journey.predict(smoke["rows"][:1])
    assert answer["model_version"] == promoted.run_id
