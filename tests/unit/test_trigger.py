from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from perennial.trigger import MONTH, Streak, TriggerPolicy, TriggerState, Window, decide, observe, run_id
from tests.builders import NOW, day, make_history, make_signal, make_trigger_policy, make_trigger_state

QUIET = {"champion_exists": True, "running": False, "spent_usd": 0.0, "now": NOW}


def _decide(signal=None, state=None, policy=None, **facts):
    return decide(
        signal or make_signal(), state or make_trigger_state(), policy or make_trigger_policy(), **{**QUIET, **facts}
    )


def _replay(signals, policy, state=None):
    """The signals in their order through one remembered state; those that fired."""
    state, fired = state or make_trigger_state(), []
    for signal in signals:
        # The state goes through its stored form, as after a restart.
        state = TriggerState.model_validate_json(state.model_dump_json())
        decision = _decide(signal, state, policy, now=day(400))
        state = decision.state
        if decision.fire:
            fired.append(signal)
    return fired, state


def test_a_drift_signal_starts_a_run_and_tells_why():
    decision = _decide()
    assert decision.fire
    assert decision.reasons == ("drift: it moved",)


KINDS = st.sampled_from(["drift", "performance", "schedule", "new data"])
SIGNALS = st.lists(
    st.builds(
        lambda kind, hours, tag, rows, batches: make_signal(
            kind,
            as_of=day(1 + hours / 24),
            signal_id=f"{hours}-{tag}",
            history=make_history(rows=rows, batches=batches),
        ),
        KINDS,
        st.integers(0, 24 * 90),
        st.integers(0, 3),
        st.integers(1, 10_000),
        st.integers(1, 100),
    ),
    max_size=40,
)


@given(SIGNALS, st.integers(1, 10))
def test_signals_within_a_cooldown_start_at_most_one_run(signals, days):
    """P35, whatever the order in which they come, through restarts (P36)."""
    policy = make_trigger_policy(cooldown=f"{days}d")
    fired, _ = _replay(signals, policy)
    moments = sorted(signal.as_of for signal in fired)
    assert all(later - earlier >= timedelta(days=days) for earlier, later in pairwise(moments))


@given(SIGNALS, st.integers(1, 5))
def test_no_month_holds_more_runs_than_the_cap(signals, cap):
    """P36, P37: also for a person's requests, which no cooldown holds back, and for evidence that comes late."""
    manual = [
        make_signal("manual", as_of=one.as_of, signal_id=one.signal_id, history=one.history) for one in signals[::2]
    ]
    policy = make_trigger_policy(cooldown=0, max_per_month=cap)
    state, fired = make_trigger_state(), []
    for signal in (*signals, *manual):
        decision = _decide(signal, state, policy, now=day(400))
        fired += decision.state.fired_as_of[-1:] if decision.fire else ()
        state = decision.state
    for start in fired:
        assert sum(start <= at < start + MONTH for at in fired) <= cap


def test_old_evidence_does_not_reopen_a_month_that_is_spent():
    """P37: a person asks again with the evidence of long ago; data time never runs backwards."""
    policy, state, recorded = make_trigger_policy(cooldown=0, max_per_month=2), make_trigger_state(), []
    for number in (10, 20, 55, 30, 31, 32):
        decision = _decide(make_signal("manual", as_of=day(number)), state, policy)
        state = decision.state
        recorded += state.fired_as_of[-1:] if decision.fire else ()
    assert [day(10), day(20), day(55), day(55)] == recorded


def test_alternating_distributions_cannot_exceed_the_cap():
    """P37: every window drifts away from the last fit, for half a year."""
    signals = [make_signal(as_of=day(number), streak=number) for number in range(1, 181)]
    fired, _ = _replay(signals, make_trigger_policy(cooldown="1d", max_per_month=3))
    assert len(fired) == 18


@given(st.integers(1, 30))
def test_the_same_signal_again_starts_no_second_run(times):
    """P35: redelivery, even where nothing else would stop it."""
    policy = make_trigger_policy(cooldown=0)
    fired, _ = _replay([make_signal()] * times, policy)
    assert len(fired) == 1


def test_a_flood_is_one_open_alert_with_a_count():
    """P42."""
    flood = [make_signal(as_of=day(10 + number / 1440), signal_id=str(number)) for number in range(500)]
    fired, state = _replay(flood, make_trigger_policy(cooldown="7d"))
    assert (len(fired), state.suppressed) == (1, {"drift": 499})
    (_, *_), after = _replay([make_signal(as_of=day(30))], make_trigger_policy(cooldown="7d"), state)
    assert after.suppressed == {}


def test_a_signal_inside_the_cooldown_says_how_long_is_left():
    state = make_trigger_state(fired_as_of=[NOW])
    decision = _decide(make_signal(as_of=NOW + timedelta(minutes=10)), state, make_trigger_policy(cooldown="1h"))
    assert (decision.fire, decision.reasons) == (False, ("cooldown: 50m left",))


def test_a_cooldown_that_is_over_holds_nothing_back():
    state = make_trigger_state(fired_as_of=[NOW - timedelta(hours=1)])
    assert _decide(make_signal(), state, make_trigger_policy(cooldown="1h")).fire


@pytest.mark.parametrize(
    ("facts", "changes", "told"),
    [
        ({"running": True}, {}, "running: "),
        ({"spent_usd": 10.0}, {"budget": 9.0}, "budget: "),
        ({"spent_usd": 8.9, "run_cost_usd": 0.2}, {"budget": 9.0}, "budget: "),
        ({"spent_usd": float("nan")}, {"budget": 9.0}, "budget: "),
        ({}, {"drift": None}, "drift: not among this loop's triggers"),
        ({}, {"confirm": 2}, "drift: seen in 1 consecutive windows, 2 are needed"),
    ],
)
@pytest.mark.parametrize("champion_exists", [True])
def test_what_speaks_against_a_run_is_told(facts, changes, told, champion_exists):
    decision = _decide(policy=make_trigger_policy(**changes), champion_exists=champion_exists, **facts)
    assert not decision.fire
    assert decision.reasons[0].startswith(told)
    assert decision.state.suppressed == {"drift": 1}


def test_money_within_the_budget_is_spent():
    assert _decide(policy=make_trigger_policy(budget=9.0), spent_usd=8.0, run_cost_usd=1.0).fire


@pytest.mark.parametrize("kind", ["drift", "manual", "schedule"])
def test_a_paused_loop_starts_nothing(kind):
    decision = _decide(make_signal(kind), make_trigger_state(paused=True, paused_reason="holidays"))
    assert (decision.fire, decision.reasons) == (False, ("paused: holidays; resume the loop first",))


def test_evidence_from_the_future_neither_fires_nor_blocks_what_follows():
    decision = _decide(make_signal(as_of=NOW + timedelta(days=3650)))
    assert not decision.fire
    assert _decide(make_signal(), decision.state).fire
    assert _decide(make_signal(as_of=NOW + timedelta(minutes=59))).fire


def test_enough_consecutive_windows_confirm():
    assert _decide(make_signal(streak=2), policy=make_trigger_policy(confirm=2)).fire


# --- the first model -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("history", "fire"),
    [
        (make_history(batches=4, labelled=200), True),
        (make_history(batches=3, labelled=5000), False),
        (make_history(batches=50, labelled=199), False),
    ],
)
def test_the_first_model_waits_for_batches_and_labels(history, fire):
    decision = _decide(make_signal("new data", history=history), champion_exists=False)
    assert fire == decision.fire
    assert decision.reasons[0].startswith("first model: ")


def test_a_first_model_that_fails_is_not_tried_at_every_batch():
    policy, state, fired = make_trigger_policy(cooldown="7d"), make_trigger_state(), 0
    for number in range(1, 15):
        signal = make_signal("new data", as_of=day(number))
        decision = decide(signal, state, policy, champion_exists=False, running=False, spent_usd=0, now=NOW)
        state, fired = decision.state, fired + decision.fire
    assert fired == 2


# --- new data and schedules ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "fire"), [(1499, False), (1500, True)])
def test_history_that_has_grown_enough_is_learnt_from(rows, fire):
    state = make_trigger_state(rows_at_last_fit=1000, batches_at_last_fit=10)
    signal = make_signal("new data", history=make_history(rows=rows, batches=11))
    assert fire == _decide(signal, state).fire


def test_growth_refits_a_logarithmic_number_of_times():
    signals = [
        make_signal("new data", as_of=day(number), history=make_history(rows=number * 100, batches=number))
        for number in range(4, 101)
    ]
    fired, _ = _replay(signals, make_trigger_policy(cooldown=0, max_per_month=1000))
    assert [one.history.batches for one in fired] == [4, 6, 9, 14, 21, 32, 48, 72]


def test_rows_without_a_new_batch_are_no_new_data():
    state = make_trigger_state(rows_at_last_fit=10, batches_at_last_fit=20)
    assert not _decide(make_signal("new data"), state).fire


def test_a_schedule_with_nothing_new_is_let_pass():
    state = make_trigger_state(batches_at_last_fit=20)
    decision = _decide(make_signal("schedule"), state)
    assert (decision.fire, decision.reasons) == (False, ("schedule: nothing landed since the last fit",))
    assert _decide(make_signal("schedule"), make_trigger_state(batches_at_last_fit=19)).fire


def test_a_person_needs_neither_growth_nor_confirmation_nor_patience():
    state = make_trigger_state(fired_as_of=[NOW], rows_at_last_fit=2000, batches_at_last_fit=20)
    assert _decide(make_signal("manual"), state, make_trigger_policy(confirm=9)).fire


@pytest.mark.parametrize(
    ("given_", "expression"),
    [
        ("7d", "rate(7 days)"),
        ("1d", "rate(1 day)"),
        ("90m", "rate(90 minutes)"),
        ("2h", "rate(2 hours)"),
        ("cron(0 3 * * ? *)", "cron(0 3 * * ? *)"),
        ("never", None),
        (False, None),
    ],
)
def test_a_schedule_is_a_duration_or_an_expression(given_, expression):
    assert expression == make_trigger_policy(schedule=given_).schedule


@pytest.mark.parametrize("given_", ["30s", "soon", "rate(1 day", "0s", True])
def test_a_schedule_that_is_neither_is_refused(given_):
    with pytest.raises(ValidationError):
        make_trigger_policy(schedule=given_)


def test_what_was_stored_is_understood_again():
    policy = make_trigger_policy(schedule="7d", cooldown="12h", confirm=2)
    assert policy == TriggerPolicy.model_validate_json(policy.model_dump_json())


def test_the_same_signal_names_the_same_run_and_an_attempt_another():
    signal = make_signal()
    assert run_id("demo", signal) == run_id("demo", make_signal())
    assert run_id("demo", signal) != run_id("demo", signal, attempt=1)
    assert run_id("demo", signal) != run_id("other", signal)


# --- streaks ---------------------------------------------------------------------------------------------------------

WINDOWS = st.lists(
    st.builds(
        lambda n, positive: Window(window_id=str(n), as_of=day(n), positive=positive), st.integers(1, 20), st.booleans()
    ),
    max_size=20,
    unique_by=lambda window: window.window_id,
)


@given(WINDOWS, st.randoms())
def test_a_streak_is_the_same_in_whatever_order_its_windows_come(windows, chance):
    def streak(order):
        found = Streak()
        for window in order:
            found = observe(found, window)
        return found

    shuffled = [*windows, *windows[:2]]
    chance.shuffle(shuffled)
    ordered = sorted(windows, key=lambda window: window.as_of, reverse=True)
    expected = next((place for place, window in enumerate(ordered) if not window.positive), len(ordered))
    assert expected == streak(windows).length == streak(shuffled).length
