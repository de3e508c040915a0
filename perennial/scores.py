"""
Metrics of predictions against labels, each with an interval, and the paired difference of two models on the same rows.

Every metric is a smooth function of means over rows, so one device gives all intervals: its influence function, whose
mean square over n is the variance of the estimate. Differences of influences on the same rows give paired intervals,
which are far narrower than comparing two separate ones. Proportions use Wilson's interval instead.

Sources: F. Hampel (1974), The influence curve and its role in robust estimation, JASA 69; E. DeLong, D. DeLong,
D. Clarke-Pearson (1988), Comparing the areas under two or more correlated ROC curves, Biometrics 44; E. Wilson (1927),
Probable inference, JASA 22.

>>> truth, answer = [0, 1, 1, 0], [0, 1, 0, 0]
>>> accuracy = measure("accuracy", Predictions(truth, answer))
>>> accuracy.value, round(accuracy.low, 2), round(accuracy.high, 2)
(0.75, 0.3, 0.95)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from perennial.evaluation import Paired
from perennial.metrics import Task, direction, metrics_of
from perennial.performance import Score

__all__ = ["Predictions", "measure", "measure_all", "paired"]

Floats = NDArray[np.float64]
_EPSILON: Final = 1e-15
_BINS: Final = 10


@dataclass(frozen=True, slots=True)
class Predictions:
    """
    What was true and what was answered, row by row.

    Parameters
    ----------
    truth, answer
        Labels and predicted labels (numbers for regression).
    score
        Probability of the positive class, shape (n,), or of each class in the order of `classes`, shape (n, classes).
        Needed by auc, average_precision, log_loss, brier and calibration_error.
    positive
        The positive class of a binary task.
    classes
        All classes, in the order of the columns of `score`.
    """

    truth: ArrayLike
    answer: ArrayLike
    score: ArrayLike | None = None
    positive: Any = 1
    classes: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class _Estimate:
    value: float
    influence: Floats


def _positives(rows: Predictions) -> NDArray[np.bool_]:
    return np.asarray(np.asarray(rows.truth) == rows.positive, dtype=bool)


def _share(rows: Predictions) -> Floats:
    if rows.score is None:
        raise ValueError("this metric needs a score for each row. Got none instead.")
    score: Floats = np.asarray(rows.score, dtype=np.float64)
    if score.ndim == 2:
        column = rows.classes.index(rows.positive) if rows.classes else score.shape[1] - 1
        score = score[:, column]
    return score


def _mean(values: Floats) -> _Estimate:
    value = float(values.mean())
    return _Estimate(value, values - value)


def _accuracy(rows: Predictions) -> _Estimate:
    return _mean((np.asarray(rows.truth) == np.asarray(rows.answer)).astype(float))


def _ratio(numerator: Floats, denominator: Floats) -> _Estimate:
    """A ratio of means; NaN when nothing is counted."""
    bottom = float(denominator.mean())
    if bottom == 0:
        return _Estimate(math.nan, np.full(len(numerator), math.nan))
    value = float(numerator.mean()) / bottom
    return _Estimate(value, (numerator - value * denominator) / bottom)


def _one_class(rows: Predictions, which: Any, kind: str) -> _Estimate:
    true, said = np.asarray(rows.truth) == which, np.asarray(rows.answer) == which
    hit = (true & said).astype(float)
    if kind == "precision":
        return _ratio(hit, said.astype(float))
    if kind == "recall":
        return _ratio(hit, true.astype(float))
    return _ratio(2 * hit, true.astype(float) + said.astype(float))


def _average(parts: list[_Estimate]) -> _Estimate:
    return _Estimate(
        float(np.mean([part.value for part in parts])), np.mean([part.influence for part in parts], axis=0)
    )


def _precision(rows: Predictions) -> _Estimate:
    return _one_class(rows, rows.positive, "precision")


def _recall(rows: Predictions) -> _Estimate:
    return _one_class(rows, rows.positive, "recall")


def _f1(rows: Predictions) -> _Estimate:
    """F1 of the positive class; the mean over classes that occur (macro) when there are more than two."""
    present = np.unique(np.asarray(rows.truth))
    if len(rows.classes) > 2 or len(present) > 2:
        return _average([_one_class(rows, which, "f1") for which in present])
    return _one_class(rows, rows.positive, "f1")


def _balanced_accuracy(rows: Predictions) -> _Estimate:
    return _average([_one_class(rows, which, "recall") for which in np.unique(np.asarray(rows.truth))])


def _auc(rows: Predictions) -> _Estimate:
    true, score = _positives(rows), _share(rows)
    positive, negative = score[true], score[~true]
    n = len(score)
    if not len(positive) or not len(negative) or np.isnan(score).any():
        return _Estimate(math.nan, np.full(n, math.nan))
    above = _placement(positive, negative)
    below = 1 - _placement(negative, positive)
    value = float(above.mean())
    influence = np.empty(n)
    influence[true] = (above - value) * n / len(positive)
    influence[~true] = (below - value) * n / len(negative)
    return _Estimate(value, influence)


def _placement(values: Floats, others: Floats) -> Floats:
    """For each value, the share of `others` below it, ties counting half."""
    ordered = np.sort(others)
    return np.asarray(
        (np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")) / (2 * len(others))
    )


def _average_precision(rows: Predictions) -> _Estimate:
    true, score = _positives(rows), _share(rows)
    n, hits = len(score), int(true.sum())
    if not hits or np.isnan(score).any():
        return _Estimate(math.nan, np.full(n, math.nan))
    order = np.argsort(-score, kind="stable")
    ranked, values = true[order], score[order]
    last = np.append(values[1:] != values[:-1], True)
    ends = np.flatnonzero(last)[np.cumsum(last) - last]
    reached = (ends + 1) / n
    precision = (np.cumsum(ranked) / np.arange(1, n + 1))[ends]
    area = float((ranked * precision).mean())
    # A row also moves the precision at every positive that is ranked no higher than itself: sums from the bottom up.
    first = np.insert(last[:-1], 0, True)
    starts = np.flatnonzero(first)[np.cumsum(first) - 1]
    below = np.cumsum((ranked / reached)[::-1])[::-1][starts] / n
    below_precise = np.cumsum((ranked * precision / reached)[::-1])[::-1][starts] / n
    share = hits / n
    influence = np.empty(n)
    influence[order] = ranked * precision - area + ranked * below - below_precise
    influence[order] -= area / share * (ranked - share)
    return _Estimate(area / share, influence / share)


def _log_loss(rows: Predictions) -> _Estimate:
    score = np.asarray(rows.score, dtype=float) if rows.score is not None else _share(rows)
    if score.ndim == 2 and score.shape[1] > 1 and rows.classes:
        place = {which: column for column, which in enumerate(rows.classes)}
        columns = np.array([place.get(which, -1) for which in np.asarray(rows.truth).tolist()])
        given = np.where(columns >= 0, score[np.arange(len(score)), columns], 0.0)
    else:
        chance = _share(rows)
        given = np.where(_positives(rows), chance, 1 - chance)
    return _mean(-np.log(np.clip(given, _EPSILON, 1.0)))


def _brier(rows: Predictions) -> _Estimate:
    return _mean((_share(rows) - _positives(rows)) ** 2)


def _calibration_error(rows: Predictions) -> _Estimate:
    """Expected calibration error over ten equal bins of the score."""
    score, true = _share(rows), _positives(rows).astype(float)
    if np.isnan(score).any():
        return _Estimate(math.nan, np.full(len(score), math.nan))
    bins = np.minimum((score * _BINS).astype(int), _BINS - 1)
    gap = np.bincount(bins, weights=true - score, minlength=_BINS) / len(score)
    influence = np.sign(gap)[bins] * (true - score)
    value = float(np.abs(gap).sum())
    return _Estimate(value, influence - value)


def _errors(rows: Predictions) -> Floats:
    truth: Floats = np.asarray(rows.truth, dtype=np.float64)
    answer: Floats = np.asarray(rows.answer, dtype=np.float64)
    return answer - truth


def _mae(rows: Predictions) -> _Estimate:
    return _mean(np.abs(_errors(rows)))


def _rmse(rows: Predictions) -> _Estimate:
    square = _mean(_errors(rows) ** 2)
    root = math.sqrt(square.value)
    return _Estimate(root, square.influence / (2 * root) if root else np.zeros(len(square.influence)))


def _r2(rows: Predictions) -> _Estimate:
    truth = np.asarray(rows.truth, dtype=float)
    missed, spread = _mean(_errors(rows) ** 2), _mean((truth - truth.mean()) ** 2)
    if spread.value == 0:
        return _Estimate(math.nan, np.full(len(truth), math.nan))
    left = missed.value / spread.value
    return _Estimate(1 - left, -(missed.influence - left * spread.influence) / spread.value)


_MEASURES: Final[Mapping[str, Callable[[Predictions], _Estimate]]] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "auc": _auc,
    "average_precision": _average_precision,
    "log_loss": _log_loss,
    "brier": _brier,
    "calibration_error": _calibration_error,
    "precision": _precision,
    "recall": _recall,
    "f1": _f1,
    "mae": _mae,
    "rmse": _rmse,
    "r2": _r2,
}


def _standard_error(influence: Floats) -> float:
    n = len(influence)
    return float(np.sqrt((influence**2).mean() / n)) if n else math.nan


def _wilson(share: float, rows: int, z: float) -> tuple[float, float]:
    centre = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z * math.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows)) / (1 + z * z / rows)
    # At shares of 0 and 1 a bound is the share itself, but for the last digit of a float.
    return max(min(centre - half, share), 0.0), min(max(centre + half, share), 1.0)


def measure(metric: str, rows: Predictions, *, confidence: float = 0.95) -> Score:
    """
    One metric with its two-sided interval. Empty input, a single class where two are needed, or NaN give NaN.
    """
    count = len(np.asarray(rows.truth))
    if count == 0:
        return Score(metric, math.nan, math.nan, math.nan, 0, confidence)
    found = _MEASURES[metric](rows)
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    if metric == "accuracy":
        return Score(metric, found.value, *_wilson(found.value, count, z), count, confidence)
    half = z * _standard_error(found.influence)
    return Score(metric, found.value, found.value - half, found.value + half, count, confidence)


def measure_all(task: Task, rows: Predictions, *, confidence: float = 0.95) -> dict[str, Score]:
    """Every metric of `task` that these predictions allow: those that need a score are left out without one."""
    scored = {"auc", "average_precision", "log_loss", "brier", "calibration_error"}
    names = [name for name in metrics_of(task) if rows.score is not None or name not in scored]
    return {name: measure(name, rows, confidence=confidence) for name in names}


def paired(metric: str, candidate: Predictions, champion: Predictions, *, confidence: float = 0.95) -> Paired:
    """
    By how much the candidate is better than the champion on the very same rows, with a paired interval.

    Raises
    ------
    ValueError
        The two don't have the same labels in the same order.

    >>> truth = [0, 1] * 50
    >>> best, worse = Predictions(truth, truth), Predictions(truth, [0] * 100)
    >>> paired("accuracy", best, worse).difference
    0.5
    """
    if not np.array_equal(np.asarray(candidate.truth), np.asarray(champion.truth)):
        raise ValueError("both models must be scored on the same rows in the same order. Got different labels.")
    rows = len(np.asarray(candidate.truth))
    if rows == 0:
        return Paired(metric=metric, difference=math.nan, low=math.nan, high=math.nan, confidence=confidence, rows=0)
    sign = 1.0 if direction(metric) == "higher" else -1.0
    mine, theirs = _MEASURES[metric](candidate), _MEASURES[metric](champion)
    difference = sign * (mine.value - theirs.value)
    half = NormalDist().inv_cdf(0.5 + confidence / 2) * _standard_error(mine.influence - theirs.influence)
    return Paired(
        metric=metric,
        difference=difference,
        low=difference - half,
        high=difference + half,
        confidence=confidence,
        rows=rows,
    )
