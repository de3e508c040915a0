import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from pydantic import ValidationError

from perennial.rollout import (
    AlarmState,
    analyse,
    begin,
    observed_step,
    promoted_weights,
    roll_back_weights,
    weights_for,
)
from tests.builders import make_evidence, make_live, make_rollout_plan, make_rollout_policy, make_variant

POLICY = make_rollout_policy()


def _analyse(evidence=None, policy=POLICY, **changes):
    return analyse(evidence or make_evidence(**changes), make_rollout_plan(policy=policy), policy)


def _share(weights, slot):
    table = {weight["VariantName"]: weight["DesiredWeight"] for weight in weights}
    return table.get(slot, 0.0) / sum(table.values())


# --- the plan --------------------------------------------------------------------------------------------------------


def test_the_challenger_takes_the_slot_that_does_not_serve_at_weight_zero():
    rollout = make_rollout_plan()
    assert (rollout.challenger_slot, rollout.champion_slot) == ("green", "blue")
    weights = {one["VariantName"]: one["InitialVariantWeight"] for one in rollout.production_variants}
    assert weights == {"blue": 1.0, "green": 0.0}
    assert [one["ModelName"] for one in rollout.production_variants] == ["demo--dev--old", "demo--dev--run"]
    assert make_rollout_plan(live=make_live(champion_slot="green")).challenger_slot == "blue"


def test_the_first_model_is_one_variant_with_all_the_weight():
    rollout = make_rollout_plan(live=make_live(champion_slot=None))
    assert (rollout.champion_slot, rollout.steps) == (None, ())
    assert [one["InitialVariantWeight"] for one in rollout.production_variants] == [1.0]
    decision = begin(rollout)
    assert (decision.decision, decision.traffic_share) == ("finish", 1.0)


def test_a_first_model_whose_endpoint_is_left_over_from_a_failure_updates_it():
    live = make_live(champion_slot=None).model_copy(update={"endpoint_exists": True})
    assert make_rollout_plan(live=live).endpoint_exists


def test_the_plan_survives_being_stored():
    rollout = make_rollout_plan(tags={"loop": "demo"})
    assert rollout == type(rollout).model_validate_json(rollout.model_dump_json())
    assert rollout.tags == [{"Key": "loop", "Value": "demo"}]


@given(st.text("abcdefghij0123456789", min_size=1, max_size=40), st.text("abc-", min_size=1, max_size=29))
def test_names_fit_sagemaker(rollout_id, loop):
    rollout = make_rollout_plan(rollout_id=rollout_id, loop=f"a{loop}"[:29], stage="production")
    for name in (rollout.model_name, rollout.endpoint_config_name, rollout.retired_config_name):
        assert len(name) <= 63
        assert not name.endswith("-")
    assert rollout.endpoint_config_name != rollout.retired_config_name


def test_another_rollout_has_other_names_however_long_the_loops_is():
    names = {make_rollout_plan(loop="l" * 29, stage="s" * 10, rollout_id=c * 40).model_name for c in "abc"}
    assert len(names) == 3


@pytest.mark.parametrize(
    ("policy", "shares"),
    [
        ({}, (0.1, 0.5, 1.0)),
        ({"strategy": "linear"}, (0.2, 0.4, 0.6, 0.8, 1.0)),
        ({"strategy": "linear", "linear_step": 0.4}, (0.4, 0.8, 1.0)),
        ({"strategy": "blue_green"}, (1.0,)),
        ({"steps": [0.05, 0.2]}, (0.05, 0.2)),
    ],
)
def test_a_strategy_is_a_series_of_shares(policy, shares):
    assert shares == make_rollout_policy(**policy).shares


@pytest.mark.parametrize("steps", [[0.5, 0.5], [0.5, 0.1], [0.0, 0.5], [0.5, 1.1], [math.nan]])
def test_steps_that_do_not_ascend_within_zero_and_one_are_refused(steps):
    with pytest.raises(ValidationError):
        make_rollout_policy(steps=steps)


# --- weights ---------------------------------------------------------------------------------------------------------


@given(st.floats(0, 1))
def test_the_champion_keeps_weight_and_the_sum_is_above_zero(share):
    """P22."""
    weights = weights_for(share, challenger_slot="green", champion_slot="blue")
    assert 0 < _share(weights, "blue") <= 1
    assert all(weight["DesiredWeight"] >= 0 for weight in weights)
    assert math.isclose(min(share, 0.99), _share(weights, "green"), abs_tol=1e-5)


def test_rolling_back_gives_the_champion_everything():
    assert _share(roll_back_weights(challenger_slot="green", champion_slot="blue"), "blue") == 1.0
    assert _share(promoted_weights(challenger_slot="green", champion_slot="blue"), "green") == 1.0


def test_the_endpoints_weights_tell_the_step_after_a_crash():
    """P31."""
    rollout = make_rollout_plan()
    for step, share in enumerate(rollout.steps):
        weights = weights_for(share, challenger_slot="green", champion_slot="blue")
        assert step == observed_step({one["VariantName"]: one["DesiredWeight"] for one in weights}, rollout)
    assert observed_step({"blue": 1.0, "green": 0.0}, rollout) == -1
    for strange in ({"blue": 0.7, "green": 0.3}, {"blue": 1.0}, {"blue": 0.0, "green": 0.0}, {}):
        assert observed_step(strange, rollout) is None


# --- the analysis of a bake ------------------------------------------------------------------------------------------


def test_a_quiet_bake_advances_and_the_last_one_finishes():
    decisions = [_analyse(step=step) for step in range(3)]
    assert [one.decision for one in decisions] == ["advance", "advance", "finish"]
    assert [one.traffic_share for one in decisions] == [0.5, 0.99, 1.0]


@pytest.mark.parametrize(
    ("changes", "cause", "told"),
    [
        ({"status": "rolled back"}, "alarm", "already ended"),
        ({"alarms": (AlarmState("errors", "ALARM"),)}, "alarm", "alarm: errors"),
        ({"endpoint_as_planned": False}, "failure", "not what the rollout set"),
        ({"challenger": {"errors_5xx": 100}}, "analysis", "errors: 100 of 1000"),
        ({"challenger": {"latency_ms_p99": 51.0}}, "analysis", "latency: p99 51 ms, champion 20 ms"),
    ],
)
def test_what_speaks_against_the_challenger_rolls_back(changes, cause, told):
    decision = _analyse(**changes)
    assert ("roll back", cause, 0.0) == (decision.decision, decision.cause, decision.traffic_share)
    assert told in decision.reasons[0]
    assert _share(decision.weights, "blue") == 1.0


def test_latencies_below_the_floor_do_not_matter():
    assert _analyse(challenger={"latency_ms_p99": 49.0}).decision == "advance"


def test_a_slow_challenger_without_a_champion_to_compare_with_is_held_and_not_passed():
    """P71: a guardrail without evidence never passes in silence."""
    decision = _analyse(challenger={"latency_ms_p99": 500.0}, champion={"invocations": 99})
    assert (decision.decision, decision.reasons) == (
        "hold",
        ("latency: the champion has too few requests to compare with",),
    )
    earlier = make_variant(latency_ms_p99=100.0)
    back = _analyse(challenger={"latency_ms_p99": 500.0}, champion={"invocations": 99}, champion_overall=earlier)
    assert (back.decision, back.reasons) == ("roll back", ("latency: p99 500 ms, champion 100 ms",))


# --- requests that get no answer -------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [{}, {"min_samples": 20}])
def test_p70_a_challenger_that_refuses_every_request_is_rolled_back(policy):
    decision = _analyse(
        policy=make_rollout_policy(**policy),
        challenger={"invocations": 500, "unanswered": 500},
        champion={"invocations": 500},
        champion_overall=make_variant(),
    )
    assert (decision.decision, decision.cause) == ("roll back", "analysis")
    assert "500 of 500 requests got no good answer" in decision.reasons[0]


@given(st.floats(0.0, 1.0), st.integers(100, 20_000), st.integers(100, 20_000))
def test_what_callers_do_wrong_reaches_both_and_holds_nobody_up(share, mine, theirs):
    decision = _analyse(
        challenger={"invocations": mine, "unanswered": math.floor(share * mine)},
        champion={"invocations": theirs, "unanswered": math.ceil(share * theirs)},
    )
    assert decision.decision == "advance"


def test_refusals_by_chance_more_than_the_champions_hold_nobody_up_for_long():
    """Of two alike, one is above the other half of the time: two standard errors are allowed."""
    alike = {"invocations": 900, "unanswered": 270}
    assert _analyse(challenger={"invocations": 100, "unanswered": 36}, champion=alike).decision == "advance"
    worse = _analyse(challenger={"invocations": 100, "unanswered": 42}, champion=alike)
    assert worse.decision == "hold"
    assert "may be chance" in worse.reasons[0]


def test_in_the_last_step_refusals_are_compared_with_the_champion_since_the_rollout_began():
    """It has one in a hundred requests then: 5 say nothing."""
    mine, few = {"invocations": 500, "unanswered": 150}, {"invocations": 5, "unanswered": 1}
    before = make_variant(invocations=5000, unanswered=1500)
    assert _analyse(challenger=mine, champion=few, champion_overall=before).decision == "advance"
    clean = make_variant(invocations=5000)
    assert _analyse(challenger=mine, champion=few, champion_overall=clean).decision == "hold"
    assert _analyse(challenger=mine, champion={"invocations": 50}, champion_overall=clean).decision == "roll back"


def test_p71_refusals_without_any_champion_traffic_are_held_against_the_challenger():
    decision = _analyse(challenger={"invocations": 500, "unanswered": 150}, champion={"invocations": 0})
    assert decision.decision == "roll back"


def test_guardrails_that_were_set_roll_back():
    fast = {"max_latency_ms": 100, "max_prediction_shift": 0.2}
    policy = make_rollout_policy(fast=fast, slow={"max_quality_drop": 0.05})
    late = {"champion": {"latency_ms_p99": 150.0}, "challenger": {"latency_ms_p99": 101.0}}
    assert "latency" in _analyse(policy=policy, **late).reasons[0]
    assert "predictions" in _analyse(policy=policy, prediction_shift=0.3).reasons[0]
    labelled = {"champion": {"labelled": 200}, "challenger": {"labelled": 200}}
    assert "quality" in _analyse(policy=policy, quality_gain=-0.1, **labelled).reasons[0]
    assert _analyse(policy=policy, quality_gain=-0.1).decision == "advance"
    noisy = {"champion": {"labelled": 200, "quality_margin": 0.1}, "challenger": {"labelled": 200}}
    assert _analyse(policy=policy, quality_gain=-0.1, **noisy).decision == "advance"


@pytest.mark.parametrize(
    "changes",
    [
        {"challenger": {"invocations": 0, "latency_ms_p99": None}},
        {"challenger": {"invocations": 99}},
        {"alarms": (AlarmState("errors", "INSUFFICIENT_DATA"),)},
        {"challenger": {"errors_5xx": 14}},
    ],
)
@pytest.mark.parametrize("step", [0, 1, 2])
def test_silence_too_few_samples_and_doubt_hold_and_never_promote(changes, step):
    """P28."""
    held = _analyse(step=step, **changes)
    assert (held.decision, held.holds) == ("hold", 1)
    assert math.isclose(min(POLICY.shares[step], 0.99), held.traffic_share)
    given_up = _analyse(step=step, holds=POLICY.max_holds, **changes)
    assert (given_up.decision, given_up.cause) == ("roll back", "analysis")


def test_an_unmeasured_latency_holds_where_it_has_a_bound():
    policy = make_rollout_policy(fast={"max_latency_ms": 100})
    assert _analyse(policy=policy, challenger={"latency_ms_p99": None}).decision == "hold"


def test_errors_that_the_champion_makes_as_well_do_not_hold_the_challenger():
    both = {"invocations": 1000, "errors_5xx": 30}
    assert _analyse(challenger=both, champion=both).decision == "advance"


COUNTS = st.tuples(st.sampled_from([0, 0, 0, 1, 3, 50]), st.integers(0, 400)).map(
    lambda two: {"errors_5xx": min(two), "invocations": two[1]}
)
ALARMS = st.lists(st.sampled_from(["OK", "OK", "OK", "ALARM", "INSUFFICIENT_DATA"]), max_size=3)
STATUSES = st.sampled_from(["in progress", "in progress", "in progress", "rolled back"])
PLANNED = st.sampled_from([True, True, True, False])


@given(st.integers(0, 2), st.integers(0, 9), COUNTS, COUNTS, ALARMS, PLANNED, STATUSES)
def test_only_plenty_of_quiet_evidence_moves_traffic(step, holds, mine, theirs, alarms, planned, status):
    """P26, P28 over all kinds of evidence."""
    evidence = make_evidence(
        step=step,
        holds=holds,
        challenger=mine,
        champion=theirs,
        alarms=tuple(AlarmState(str(number), state) for number, state in enumerate(alarms)),
        endpoint_as_planned=planned,
        status=status,
    )
    decision = _analyse(evidence)
    if decision.decision in ("advance", "finish"):
        assert mine["invocations"] >= POLICY.min_samples
        assert all(state == "OK" for state in alarms)
        assert planned
        assert status == "in progress"
    if "ALARM" in alarms or status != "in progress" or not planned:
        assert decision.decision == "roll back"
    if decision.decision == "roll back":
        assert _share(decision.weights, "blue") == 1.0


class Rollouts(RuleBasedStateMachine):
    """
    A loop's endpoint under rollouts, alarms at any moment, crashes between calls and late repetitions.

    The model keeps what SageMaker would: the weights. Whatever happens, some champion has traffic, a challenger only
    gets what the rules gave it, and after an alarm the champion has everything (P22, P26, P27, P31).
    """

    @initialize()
    def a_champion_serves(self):
        self.live = make_live()
        self.weights = {"blue": 1.0}
        self.rollout, self.step, self.holds, self.status = None, 0, 0, "none"
        self.alarmed = False

    @precondition(lambda self: self.rollout is None)
    @rule()
    def start(self):
        self.rollout = make_rollout_plan(live=self.live)
        self.weights = {one["VariantName"]: one["InitialVariantWeight"] for one in self.rollout.production_variants}
        self.status, self.alarmed = "in progress", False
        self._follow(begin(self.rollout))

    def _follow(self, decision):
        self.weights = {one["VariantName"]: one["DesiredWeight"] for one in decision.weights}
        self.step, self.holds = decision.step, decision.holds
        if decision.decision == "roll back":
            self.status = "rolled back"
        if decision.decision == "finish":
            slot = self.rollout.challenger_slot
            slots = {
                slot: self.live.champion.model_copy(update={"model_version": "run", "model_name": "demo--dev--run"})
            }
            self.live = self.live.model_copy(update={"champion_slot": slot, "slots": slots})
            self.status = "promoted"

    @precondition(lambda self: self.rollout is not None and self.status in ("in progress", "rolled back"))
    @rule(invocations=st.integers(0, 500), crashed=st.booleans())
    def bake(self, invocations, crashed):
        if crashed and self.status == "in progress":
            # The recorded step was lost: the endpoint's own weights tell it.
            seen = observed_step(self.weights, self.rollout)
            assert seen == self.step
        evidence = make_evidence(
            step=self.step, holds=self.holds, challenger={"invocations": invocations}, status=self.status
        )
        before = self.weights[self.rollout.challenger_slot] / sum(self.weights.values())
        decision = analyse(evidence, self.rollout, POLICY)
        self._follow(decision)
        if self.alarmed:
            assert self.status == "rolled back"
        if invocations < POLICY.min_samples:
            assert decision.traffic_share <= before + 1e-9

    @precondition(lambda self: self.rollout is not None)
    @rule(times=st.integers(1, 3))
    def alarm(self, times):
        for _ in range(times):
            if self.status == "in progress" or self.status == "rolled back":
                slots = {"challenger_slot": self.rollout.challenger_slot, "champion_slot": self.rollout.champion_slot}
                self.weights = {one["VariantName"]: one["DesiredWeight"] for one in roll_back_weights(**slots)}
                self.status, self.alarmed = "rolled back", True

    @precondition(lambda self: self.status in ("promoted", "rolled back"))
    @rule()
    def retire(self):
        self.weights = {self.live.champion_slot: 1.0}
        self.rollout, self.status = None, "none"

    @invariant()
    def traffic_always_has_a_champion(self):
        if not hasattr(self, "weights"):
            return
        assert sum(self.weights.values()) > 0
        assert self.weights[self.live.champion_slot] > 0
        if self.status == "rolled back":
            assert math.isclose(1.0, self.weights[self.live.champion_slot] / sum(self.weights.values()))


Rollouts.TestCase.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
TestRollouts = Rollouts.TestCase
