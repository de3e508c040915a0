import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from perennial.metrics import METRICS, direction
from perennial.scores import Predictions, measure, measure_all, paired

CLASSIFIED = ("accuracy", "balanced_accuracy", "precision", "recall", "f1")
SCORED = ("auc", "average_precision", "log_loss", "brier")
REGRESSED = ("mae", "rmse", "r2")

SKLEARN = {
    "accuracy": reference.accuracy_score,
    "balanced_accuracy": reference.balanced_accuracy_score,
    "precision": reference.precision_score,
    "recall": reference.recall_score,
    "f1": reference.f1_score,
    "auc": reference.roc_auc_score,
    "average_precision": reference.average_precision_score,
    "log_loss": reference.log_loss,
    "brier": reference.brier_score_loss,
    "mae": reference.mean_absolute_error,
    "rmse": reference.root_mean_squared_error,
    "r2": reference.r2_score,
}


def _binary(rows=400, seed=0, skill=1.0, ties=None):
    chance = np.random.default_rng(seed)
    truth = (chance.random(rows) < 0.4).astype(int)
    score = 1 / (1 + np.exp(-(skill * (truth - 0.5) + chance.normal(0, 1, rows))))
    score = score if ties is None else np.round(score, ties)
    return Predictions(truth, (score > 0.5).astype(int), score)


def _numbers(rows=400, seed=0, noise=1.0):
    chance = np.random.default_rng(seed)
    truth = chance.normal(5, 2, rows)
    return Predictions(truth, truth + chance.normal(0.2, noise, rows))


def _make(metric, seed, rows=400):
    return _numbers(rows, seed) if metric in REGRESSED else _binary(rows, seed)


@pytest.mark.parametrize("metric", CLASSIFIED + SCORED)
@pytest.mark.parametrize("ties", [None, 1])
def test_values_equal_scikit_learns(metric, ties):
    rows = _binary(ties=ties)
    given_ = rows.score if metric in SCORED else rows.answer
    if metric == "log_loss":
        given_ = np.clip(given_, 1e-15, 1 - 1e-15)
    assert math.isclose(SKLEARN[metric](rows.truth, given_), measure(metric, rows).value, rel_tol=1e-9)


@pytest.mark.parametrize("metric", REGRESSED)
def test_values_of_regressions_equal_scikit_learns(metric):
    rows = _numbers()
    assert math.isclose(SKLEARN[metric](rows.truth, rows.answer), measure(metric, rows).value, rel_tol=1e-9)


def test_multiclass_values_equal_scikit_learns():
    chance = np.random.default_rng(1)
    classes = ("a", "b", "c")
    truth = chance.choice(classes, 300)
    score = chance.dirichlet([1, 1, 1], 300)
    answer = np.array(classes)[score.argmax(axis=1)]
    rows = Predictions(truth, answer, score, classes=classes)
    expected = {
        "accuracy": reference.accuracy_score(truth, answer),
        "balanced_accuracy": reference.balanced_accuracy_score(truth, answer),
        "f1": reference.f1_score(truth, answer, average="macro"),
        "log_loss": reference.log_loss(truth, score, labels=list(classes)),
    }
    found = measure_all("multiclass", rows)
    assert expected == pytest.approx({name: score.value for name, score in found.items()})


@pytest.mark.parametrize("metric", [name for name in METRICS if name != "calibration_error"])
def test_the_standard_error_is_that_of_the_bootstrap(metric):
    rows = _make(metric, seed=3)
    chance = np.random.default_rng(0)
    truth, answer = np.asarray(rows.truth), np.asarray(rows.answer)
    values = []
    for _ in range(300):
        drawn = chance.integers(0, len(truth), len(truth))
        score = None if rows.score is None else np.asarray(rows.score)[drawn]
        values.append(measure(metric, Predictions(truth[drawn], answer[drawn], score)).value)
    assert np.std(values) == pytest.approx(measure(metric, rows).standard_error, rel=0.2)


@pytest.mark.parametrize("metric", ["accuracy", "auc", "log_loss", "mae", "f1"])
def test_intervals_of_equal_models_cover_zero_about_as_often_as_they_say(metric):
    hits = 0
    for seed in range(200):
        chance = np.random.default_rng(1000 + seed)
        base = _make(metric, seed, rows=300)
        answer, score = np.asarray(base.answer), base.score

        def blurred(chance=chance, base=base, answer=answer, score=score):
            if score is None:
                return Predictions(base.truth, answer + chance.normal(0, 0.5, len(answer)))
            moved = np.clip(np.asarray(score) + chance.normal(0, 0.2, len(answer)), 0.001, 0.999)
            return Predictions(base.truth, (moved > 0.5).astype(int), moved)

        found = paired(metric, blurred(), blurred())
        hits += found.low <= 0 <= found.high
    assert 180 <= hits <= 199


@pytest.mark.parametrize("metric", sorted(METRICS))
def test_the_better_model_has_the_positive_difference(metric):
    if metric in REGRESSED:
        good, bad = _numbers(noise=0.5), _numbers(noise=3.0)
    elif metric == "calibration_error":
        good = _binary()
        bad = Predictions(good.truth, good.answer, np.asarray(good.score) ** 4)
    else:
        base = _binary(skill=4.0)
        good, bad = base, Predictions(base.truth, 1 - np.asarray(base.answer), 1 - np.asarray(base.score))
    found = paired(metric, good, bad)
    assert found.difference > 0
    assert found.low <= found.difference <= found.high
    assert (measure(metric, good).value > measure(metric, bad).value) == (direction(metric) == "higher")


def test_a_pair_is_known_better_than_two_models_apart():
    base = _binary(2000)
    score = np.asarray(base.score)
    near = Predictions(base.truth, base.answer, np.clip(score + 0.01, 0, 1))
    found, apart = paired("log_loss", base, near), measure("log_loss", base)
    assert (found.high - found.low) < (apart.high - apart.low) / 5


@pytest.mark.parametrize("metric", sorted(METRICS))
def test_no_rows_give_no_number(metric):
    empty = Predictions([], [], [])
    assert math.isnan(measure(metric, empty).value)
    assert math.isnan(paired(metric, empty, empty).difference)


@pytest.mark.parametrize("metric", ["auc", "average_precision"])
def test_one_class_alone_gives_no_number(metric):
    assert math.isnan(measure(metric, Predictions([0, 0], [0, 0], [0.1, 0.2])).value)


@pytest.mark.parametrize("metric", SCORED)
def test_nan_scores_give_no_number(metric):
    assert math.isnan(measure(metric, Predictions([0, 1], [0, 1], [0.1, math.nan])).value)


def test_different_rows_are_not_a_pair():
    with pytest.raises(ValueError, match="same rows"):
        paired("accuracy", Predictions([0], [0]), Predictions([1], [1]))


def test_a_metric_that_needs_scores_says_so_and_is_left_out_of_all():
    rows = Predictions([0, 1], [0, 1])
    with pytest.raises(ValueError, match="needs a score"):
        measure("auc", rows)
    assert set(CLASSIFIED) == set(measure_all("binary", rows))


def test_calibration_error_is_the_gap_between_saying_and_being():
    rows = Predictions([1] * 80 + [0] * 20, [1] * 100, [0.65] * 100)
    assert math.isclose(0.15, measure("calibration_error", rows).value)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
@example([(False, True)] * 5)
def test_accuracys_interval_stays_within_its_bounds(pairs):
    truth, answer = zip(*pairs, strict=True)
    found = measure("accuracy", Predictions(truth, answer))
    assert 0 <= found.low <= found.value <= found.high <= 1
