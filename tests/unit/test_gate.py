import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.gate import Evaluation, ModelEvaluation, explanation_shift, judge
from tests.builders import (
    make_evaluation,
    make_first_evaluation,
    make_gate_policy,
    make_metric,
    make_model_evaluation,
    make_paired,
)

NAN = math.nan


def _verdict(evaluation=None, **policy):
    return judge(evaluation or make_evaluation(), make_gate_policy(**policy))


def _outcomes(verdict, name):
    return {check.outcome for check in verdict.checks if check.name == name}


def test_a_candidate_that_is_surely_better_passes():
    verdict = _verdict()
    assert (verdict.verdict, verdict.candidate, verdict.champion) == ("passed", 0.85, 0.80)
    assert any("better by 0.05" in reason for reason in verdict.reasons)


POLICIES = st.fixed_dictionaries(
    {},
    optional={
        "min_gain": st.floats(0, 0.1),
        "non_inferiority": st.floats(0.001, 0.2),
        "confidence": st.floats(0.51, 0.999),
        "min_rows": st.integers(2, 2000),
    },
)


@given(st.floats(-0.5, 0.0), st.floats(0, 0.3), POLICIES)
def test_a_worse_or_an_equal_candidate_never_passes(difference, margin, policy):
    """P34, whatever the policy: not even with a margin of non-inferiority."""
    evaluation = make_evaluation(
        candidate=make_model_evaluation(0.8 + difference), paired=make_paired(difference, margin=margin)
    )
    assert _verdict(evaluation, **policy).verdict != "passed"


@pytest.mark.parametrize(
    "evaluation",
    [
        make_evaluation(candidate=make_model_evaluation(NAN)),
        make_evaluation(candidate=make_model_evaluation(None)),
        make_evaluation(candidate=make_model_evaluation(overall={})),
        make_evaluation(candidate=make_model_evaluation(overall={"accuracy": make_metric(0.99, rows=0)})),
        make_evaluation(champion=make_model_evaluation(NAN)),
        make_evaluation(champion=make_model_evaluation(overall={})),
        make_evaluation(paired=None),
        make_evaluation(paired=make_paired(NAN)),
        make_evaluation(paired=make_paired(0.05, low=NAN)),
        make_evaluation(paired=make_paired(math.inf)),
        make_evaluation(paired=make_paired(metric="auc")),
        make_evaluation(paired=make_paired(0.05, low=0.06)),
        make_evaluation(candidate=make_model_evaluation(0.7)),
        make_evaluation(candidate=make_model_evaluation(0.8)),
        make_evaluation(paired=make_paired(0.05, high=None)),
        make_first_evaluation(NAN),
        make_first_evaluation(None),
        make_first_evaluation(candidate=make_model_evaluation(overall={"accuracy": make_metric(0.99, rows=0)})),
    ],
)
def test_no_number_no_rows_and_contradictions_fail(evaluation):
    """P34."""
    assert _verdict(evaluation).verdict == "failed"
    stored = Evaluation.model_validate_json(evaluation.model_dump_json())
    assert _verdict(stored).verdict == "failed"


@pytest.mark.parametrize(
    "evaluation",
    [
        make_evaluation(candidate=make_model_evaluation(overall={"accuracy": make_metric(0.85, rows=99)})),
        make_evaluation(paired=make_paired(rows=99)),
        make_evaluation(paired=make_paired(0.05, margin=0.07)),
        make_first_evaluation(candidate=make_model_evaluation(overall={"accuracy": make_metric(0.85, rows=99)})),
    ],
)
def test_too_little_evidence_is_inconclusive(evaluation):
    assert _verdict(evaluation).verdict == "inconclusive"


def test_a_gain_must_surely_exceed_what_is_asked():
    assert _verdict(min_gain=0.02).verdict == "passed"
    assert _verdict(min_gain=0.04).verdict == "inconclusive"
    assert _verdict(min_gain=0.06).verdict == "failed"


def test_non_inferiority_lets_pass_what_is_better_at_face_value_and_surely_not_worse():
    evaluation = make_evaluation(candidate=make_model_evaluation(0.801), paired=make_paired(0.001, margin=0.01))
    assert _verdict(evaluation).verdict == "inconclusive"
    assert _verdict(evaluation, non_inferiority=0.02).verdict == "passed"
    assert _verdict(evaluation, non_inferiority=0.005).verdict == "inconclusive"


def test_an_interval_of_low_confidence_does_not_buy_a_pass():
    paired = make_paired(0.05, margin=0.02, confidence=0.5)
    assert _verdict(make_evaluation(paired=paired), confidence=0.99).verdict == "inconclusive"


def test_for_metrics_where_lower_is_better_lower_wins():
    better, worse = (make_model_evaluation(value, metric="log_loss") for value in (0.3, 0.4))
    paired = make_paired(0.1, metric="log_loss")
    win = make_evaluation(candidate=better, champion=worse, paired=paired)
    lose = make_evaluation(candidate=worse, champion=better, paired=paired)
    assert _verdict(win, metric="log_loss").verdict == "passed"
    assert _verdict(lose, metric="log_loss").verdict == "failed"


def test_of_errors_with_a_unit_tolerances_are_shares_of_the_champions():
    """A gain of 3 is little beside an error of 400, and much beside one of 10."""
    for champion, outcome in ((400.0, "failed"), (10.0, "passed")):
        evaluation = make_evaluation(
            candidate=make_model_evaluation(champion - 3, metric="mae"),
            champion=make_model_evaluation(champion, metric="mae"),
            paired=make_paired(3.0, metric="mae", margin=1.0),
        )
        assert outcome == _verdict(evaluation, metric="mae", min_gain=0.05).verdict


# --- floors and the first model --------------------------------------------------------------------------------------


def test_the_first_model_needs_its_floors_only():
    assert _verdict(make_first_evaluation(0.7)).verdict == "passed"
    assert _verdict(make_first_evaluation(0.7), floors={"accuracy": 0.7}).verdict == "passed"
    assert _verdict(make_first_evaluation(0.69), floors={"accuracy": 0.7}).verdict == "failed"


def test_a_floor_of_a_metric_where_lower_is_better_is_a_ceiling():
    evaluation = make_first_evaluation(candidate=make_model_evaluation(0.3, metric="brier"))
    assert _verdict(evaluation, metric="brier", floors={"brier": 0.3}).verdict == "passed"
    assert _verdict(evaluation, metric="brier", floors={"brier": 0.29}).verdict == "failed"


def test_a_floor_that_was_not_measured_fails():
    assert _verdict(floors={"auc": 0.5}).verdict == "failed"


def test_what_a_constant_answer_achieves_is_not_enough():
    for evaluation in (make_first_evaluation(0.85), make_evaluation()):
        constant = evaluation.model_copy(update={"baseline": {"accuracy": make_metric(0.85)}})
        assert _verdict(constant).verdict == "failed"


# --- slices, fairness, forgetting, explanations, calibration, latency, skew ------------------------------------------


def _sliced(candidate, champion, *, rows=500, margin=0.02):
    def slices(value):
        return {"city": {"Rome": {"accuracy": make_metric(value, rows=rows, margin=margin)}}}

    return make_evaluation(
        candidate=make_model_evaluation(0.85, slices=slices(candidate)),
        champion=make_model_evaluation(0.80, slices=slices(champion)),
    )


def test_a_group_that_loses_stops_a_candidate_that_wins_on_the_whole():
    verdict = _verdict(_sliced(0.6, 0.8))
    assert verdict.verdict == "failed"
    assert verdict.reasons == ("slice: city = Rome: accuracy 0.6, champion 0.8",)


@pytest.mark.parametrize(
    "evaluation", [_sliced(0.78, 0.8), _sliced(0.6, 0.8, rows=20), _sliced(0.7, 0.8, margin=0.2), _sliced(0.6, NAN)]
)
def test_small_chance_or_unmeasured_losses_of_a_group_do_not_stop_it(evaluation):
    assert _verdict(evaluation).verdict == "passed"


def test_a_group_without_a_number_fails():
    assert _verdict(_sliced(NAN, 0.8)).verdict == "failed"


def _grouped(**shares):
    groups = {"sex": {name: {"positive_share": make_metric(share)} for name, share in shares.items()}}
    return make_evaluation(candidate=make_model_evaluation(0.85, groups=groups))


def test_groups_that_are_answered_too_differently_fail():
    assert _verdict(_grouped(a=0.3, b=0.5)).verdict == "passed"
    assert _verdict(_grouped(a=0.3, b=0.51)).verdict == "failed"
    assert _verdict(_grouped(a=0.3, b=0.51), fairness={"max_selection_gap": 0.3}).verdict == "passed"


def _anchored(candidate, champion=0.8):
    def anchor(value):
        return {} if value is None else {"accuracy": make_metric(value)}

    return make_evaluation(
        candidate=make_model_evaluation(0.85, anchor=anchor(candidate)),
        champion=make_model_evaluation(0.80, anchor=anchor(champion)),
    )


@pytest.mark.parametrize(
    ("anchor", "outcome"), [(0.78, "passed"), (0.7, "failed"), (None, "inconclusive"), (NAN, "inconclusive")]
)
def test_what_was_known_may_not_be_forgotten(anchor, outcome):
    assert outcome == _verdict(_anchored(anchor), max_forgetting=0.05).verdict
    assert _verdict(_anchored(anchor)).verdict == "passed"


@pytest.mark.parametrize(
    ("importances", "outcome"), [({"a": 1.0}, "passed"), ({"b": 1.0}, "failed"), ({}, "inconclusive")]
)
def test_explanations_may_not_move_too_far(importances, outcome):
    evaluation = make_evaluation(importances=importances, champion_importances={"a": 0.9, "b": 0.1})
    assert outcome == _verdict(evaluation, max_explanation_shift=0.2).verdict


IMPORTANCES = st.dictionaries(st.text(max_size=2), st.floats(0, 1), max_size=5)


@given(IMPORTANCES, IMPORTANCES)
def test_an_explanation_shift_is_a_distance(one, other):
    shift = explanation_shift(one, other)
    assert 0 <= shift <= 1 + 1e-9
    assert math.isclose(shift, explanation_shift(other, one), abs_tol=1e-9)
    if sum(one.values()) > 0:
        assert math.isclose(0, explanation_shift(one, one), abs_tol=1e-9)


@pytest.mark.parametrize(
    ("policy", "candidate", "outcome"),
    [
        ({"max_latency_ms": 100}, {"latency_ms_p99": 99.0}, "passed"),
        ({"max_latency_ms": 100}, {"latency_ms_p99": 101.0}, "failed"),
        ({"max_latency_ms": 100}, {}, "inconclusive"),
        ({"max_latency_ms": 100}, {"latency_ms_p99": NAN}, "inconclusive"),
    ],
)
def test_bounds_on_the_candidate_alone_are_kept(policy, candidate, outcome):
    evaluation = make_evaluation(candidate=make_model_evaluation(0.85, **candidate))
    assert outcome == _verdict(evaluation, **policy).verdict


@pytest.mark.parametrize(("error", "outcome"), [(0.05, "passed"), (0.2, "failed"), (None, "inconclusive")])
def test_scores_must_be_as_sure_as_they_are_right(error, outcome):
    overall = {"accuracy": make_metric(0.85), "calibration_error": make_metric(error)}
    evaluation = make_evaluation(candidate=make_model_evaluation(overall=overall))
    assert outcome == _verdict(evaluation, max_calibration_error=0.1).verdict


def test_features_that_differ_between_training_and_serving_fail():
    assert _verdict(make_evaluation(feature_skew=0.01)).verdict == "failed"
    assert _verdict(make_evaluation(feature_skew=NAN)).verdict == "inconclusive"
    assert _verdict(make_evaluation(feature_skew=0.0)).verdict == "passed"


def test_the_worst_answer_decides_and_all_answers_are_kept():
    verdict = _verdict(make_evaluation(paired=make_paired(0.05, margin=0.07)), floors={"auc": 0.5})
    assert verdict.verdict == "failed"
    assert {"passed"} == _outcomes(verdict, "evidence")
    assert {"inconclusive"} == _outcomes(verdict, "comparison")
    assert verdict.reasons == ("floor: auc was not measured, 0.5 is required",)


def test_labels_that_turn_the_champion_upside_down_are_looked_at_by_a_person():
    upside_down = ModelEvaluation(overall={"accuracy": make_metric(0.2), "auc": make_metric(0.05)})
    verdict = judge(make_evaluation(champion=upside_down, paired=make_paired(0.65)), make_gate_policy())
    assert verdict.verdict == "inconclusive"
    assert any("upside down" in reason for reason in verdict.reasons)


def test_a_champion_at_chance_is_no_reason_to_doubt_the_labels():
    at_chance = ModelEvaluation(overall={"accuracy": make_metric(0.5), "auc": make_metric(0.49)})
    verdict = judge(make_evaluation(champion=at_chance, paired=make_paired(0.35)), make_gate_policy())
    assert not any(check.name == "labels" for check in verdict.checks)
