"""
The estimator of the bike-share loop: will this hour be a busy one?

The transformation of the features is part of the estimator, so training and serving cannot come to differ.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

NUMERIC = ["season", "weekday", "temp", "atemp", "hum", "windspeed"]
FLAGS = ["holiday", "workingday"]
CATEGORIES = ["weathersit"]


def on_the_clock(hours: pd.DataFrame) -> np.ndarray:
    """
    Hours of the day as points on a circle, so that 23 and 0 are neighbours, beside the hour itself.

    Shape (rows, 3): sine, cosine, hour.
    """
    hour = hours.to_numpy(dtype=float)
    angle = hour * (2 * np.pi / 24)
    return np.hstack([np.sin(angle), np.cos(angle), hour])


def build_estimator(hyperparameters: Mapping[str, str]) -> BaseEstimator:
    """
    A fresh, unfitted classifier.

    Parameters
    ----------
    hyperparameters
        `learning_rate`, `max_iter`, `max_leaf_nodes`, `min_samples_leaf`, `l2_regularization`, `seed`; and
        `unknown_category`: `ignore` treats a weather code that training never saw as none of the known ones,
        `error` refuses to predict on it.

    Raises
    ------
    ValueError
        `unknown_category` is neither of the two.
    """
    unknown = hyperparameters.get("unknown_category", "ignore")
    if unknown not in ("ignore", "error"):
        raise ValueError(f"unknown_category must be ignore or error. Got {unknown!r} instead.")
    features = ColumnTransformer(
        [
            ("clock", FunctionTransformer(on_the_clock), ["hr"]),
            ("numbers", "passthrough", NUMERIC + FLAGS),
            ("weather", OneHotEncoder(handle_unknown=unknown, sparse_output=False), CATEGORIES),
        ]
    )
    booster = HistGradientBoostingClassifier(
        learning_rate=float(hyperparameters.get("learning_rate", "0.15")),
        max_iter=int(hyperparameters.get("max_iter", "80")),
        max_leaf_nodes=int(hyperparameters.get("max_leaf_nodes", "8")),
        min_samples_leaf=int(hyperparameters.get("min_samples_leaf", "20")),
        l2_regularization=float(hyperparameters.get("l2_regularization", "1.0")),
        early_stopping=False,
        random_state=int(hyperparameters.get("seed", "0")),
    )
    return Pipeline([("features", features), ("booster", booster)])
