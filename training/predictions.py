"""
What a fitted estimator says about rows: a prediction each, and a score each.

The one way by which training, evaluation and serving ask an estimator, so that they cannot differ.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from perennial.metrics import Task

__all__ = ["Answers", "PredictionImpossible", "predict"]


class PredictionImpossible(RuntimeError):
    """The estimator gave something that is no prediction."""


@dataclass(frozen=True, slots=True)
class Answers:
    """
    A model's answers to some rows.

    Attributes
    ----------
    values
        Shape (rows,): the class or the number predicted.
    scores
        Shape (rows,): binary and ranking: the probability of the second class; multiclass: of the predicted class;
        regression: the prediction.
    probabilities
        Shape (rows, classes) or None for regression.
    classes
        The classes in the order of the probabilities.
    """

    values: np.ndarray
    scores: np.ndarray
    probabilities: np.ndarray | None
    classes: tuple[Any, ...]

    def digest(self) -> str:
        """SHA-256 of predictions and scores rounded to 12 digits: equal for equal models on equal rows."""
        rounded = np.round(self.scores.astype("float64"), 12) + 0.0
        return hashlib.sha256(repr(self.values.tolist()).encode() + rounded.tobytes()).hexdigest()


def predict(estimator: Any, frame: pd.DataFrame, task: Task) -> Answers:
    """
    The estimator's predictions on `frame`.

    Raises
    ------
    PredictionImpossible
        The estimator lacks `predict_proba` where the task needs it, or a score isn't finite.
    """
    if task == "regression":
        values = np.asarray(estimator.predict(frame), dtype="float64").reshape(-1)
        made = Answers(values, values, None, ())
    else:
        made = _classified(estimator, frame, task)
    if not np.isfinite(made.scores).all():
        row = int(np.flatnonzero(~np.isfinite(made.scores))[0])
        raise PredictionImpossible(f"every score must be finite. Row {row} got {made.scores[row]} instead.")
    return made


def _classified(estimator: Any, frame: pd.DataFrame, task: Task) -> Answers:
    if not hasattr(estimator, "predict_proba"):
        raise PredictionImpossible(
            f"a {task} estimator must have predict_proba. {type(estimator).__name__} has none: "
            "wrap it in sklearn's CalibratedClassifierCV."
        )
    last, features = _features_once(estimator, frame)
    probabilities = np.asarray(last.predict_proba(features), dtype="float64")
    classes = tuple(np.asarray(estimator.classes_).tolist())
    # A predict of its own may apply a threshold, so it is asked, not derived.
    values = np.asarray(last.predict(features)).reshape(-1)
    scores = probabilities.max(axis=1) if task == "multiclass" else probabilities[:, -1]
    return Answers(values, scores, probabilities, classes)


def _features_once(estimator: Any, frame: pd.DataFrame) -> tuple[Any, Any]:
    """
    The estimator to ask and what to ask it: of a plain pipeline the last step, and the features made once for it.

    A pipeline makes the features anew for each question, and they are most of what one row costs. A subclass may do
    otherwise, so it is asked itself.
    """
    if type(estimator) is not Pipeline or len(estimator.steps) < 2:
        return estimator, frame
    return estimator.steps[-1][1], estimator[:-1].transform(frame)
