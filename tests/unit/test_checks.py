"""Real estimators, each with one defect: the suite must name it, and a sound one must pass."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from perennial.checks import CHECKS, check_estimator, sample_rows
from tests.builders import make_contract

CONTRACT = make_contract()


def _sound(hyperparameters, *, unknown="ignore", numbers=None, model=None):
    prepared = make_column_transformer(
        (numbers or make_pipeline(SimpleImputer(), StandardScaler()), ["x"]),
        (OneHotEncoder(handle_unknown=unknown), ["color"]),
    )
    # Not `model or ...`: an ensemble has a length, and asking for it unfitted fails.
    return make_pipeline(
        prepared, LogisticRegression(C=float(hyperparameters.get("c", 1.0))) if model is None else model
    )


def _rows(**changes):
    return sample_rows(make_contract(**changes), rows=60)


def _found(build, rows=None, contract=CONTRACT, task="binary"):
    return {
        one.check for one in check_estimator(build, _rows() if rows is None else rows, contract=contract, task=task)
    }


def test_a_sound_estimator_has_nothing_against_it():
    assert check_estimator(_sound, _rows(), contract=CONTRACT, task="binary", hyperparameters={"c": "0.1"}) == []


class Batchwise(ClassifierMixin, BaseEstimator):
    """Centres each request by its own mean: a row's answer depends on its neighbours."""

    def fit(self, features, labels):
        self.classes_ = np.unique(labels)
        return self

    def predict_proba(self, features):
        x = features["x"].fillna(0).to_numpy(dtype=float)
        share = 1 / (1 + np.exp(-(x - x.mean())))
        return np.column_stack([1 - share, share])

    def predict(self, features):
        return self.classes_[self.predict_proba(features).argmax(axis=1)]


class Meddler(Batchwise):
    """Fills gaps in the caller's own frame."""

    def predict_proba(self, features):
        features["x"] = 1.0
        share = np.full(len(features), 0.5)
        return np.column_stack([1 - share, share])


class Forgetful(Batchwise):
    """Keeps its state outside of itself, so storage loses it."""

    memory = {}  # noqa: RUF012  the defect

    def fit(self, features, labels):
        self.memory[id(self)] = float(np.mean(labels))
        return super().fit(features, labels)

    def predict_proba(self, features):
        share = np.full(len(features), self.memory.get(id(self), 0.0))
        return np.column_stack([1 - share, share])


class Positional(Batchwise):
    """Takes columns by their place."""

    def predict_proba(self, features):
        share = 1 / (1 + np.exp(-pd.to_numeric(features.iloc[:, 0], errors="coerce").fillna(0).to_numpy(dtype=float)))
        return np.column_stack([1 - share, share])


class Unclonable(Batchwise):
    """Changes its constructor's argument."""

    def __init__(self, depth=3):
        self.depth = depth + 1


class Short(Batchwise):
    """Drops a row."""

    def predict_proba(self, features):
        return super().predict_proba(features)[1:]


def _numbers(frame):
    return frame.to_numpy(dtype=float)


DEFECTS = [
    ("clonable", lambda _: Unclonable()),
    ("answers", lambda _: Short()),
    ("answers", lambda _: None),
    ("input", lambda _: Meddler()),
    ("row by row", lambda _: Batchwise()),
    ("column order", lambda _: Positional()),
    ("deterministic", lambda h: _sound(h, model=RandomForestClassifier(n_estimators=5))),
    ("missing values", lambda h: _sound(h, numbers=FunctionTransformer(_numbers))),
    ("unknown categories", lambda h: _sound(h, unknown="error")),
    ("storage", lambda _: Forgetful()),
    ("storage", lambda h: _sound(h, numbers=make_pipeline(FunctionTransformer(lambda x: x), SimpleImputer()))),
]


@pytest.mark.parametrize(("check", "build"), DEFECTS)
def test_each_defect_is_named(check, build):
    assert check in _found(build)


def test_every_check_has_a_defect_that_it_finds():
    assert set(CHECKS) == {check for check, _ in DEFECTS}


def test_a_seeded_forest_is_deterministic():
    assert set() == _found(lambda h: _sound(h, model=RandomForestClassifier(n_estimators=5, random_state=0)))


def test_gaps_are_only_asked_for_where_the_contract_permits_them():
    columns = {"x": {"type": "number"}, "color": {"type": "category"}, "y": {"type": "integer", "min": 0, "max": 1}}
    strict = make_contract(columns=columns)
    assert set() == _found(lambda h: _sound(h, numbers=StandardScaler()), contract=strict)


def test_known_categories_only_are_asked_where_the_contract_lists_them():
    columns = {
        "x": {"type": "number", "nullable": True},
        "color": {"type": "category", "allowed": ["red", "blue"]},
        "y": {"type": "integer", "min": 0, "max": 1},
    }
    strict = make_contract(columns=columns)
    assert set() == _found(lambda h: _sound(h, unknown="error"), sample_rows(strict), contract=strict)


def test_a_regression_is_checked_by_its_predictions():
    columns = {"x": {"type": "number", "nullable": True}, "color": {"type": "category"}, "y": {"type": "number"}}
    contract = make_contract(columns=columns)
    assert set() == _found(lambda h: _sound(h, model=Ridge()), sample_rows(contract), contract, "regression")


def test_a_sample_without_labels_is_told():
    assert {"label"} == _found(_sound, _rows().drop(columns="y"))
    assert {"label"} == _found(_sound, contract=make_contract(label=None))


def test_sample_rows_keep_the_contract_and_repeat_with_the_seed():
    columns = {
        "n": {"type": "number", "min": -1, "max": 1},
        "i": {"type": "integer", "min": 3, "max": 5},
        "c": {"type": "category", "allowed": ["a", "b"]},
        "b": {"type": "boolean"},
        "t": {"type": "timestamp"},
        "s": {"type": "text"},
        "y": {"type": "integer", "min": 0, "max": 1},
    }
    contract = make_contract(columns=columns)
    rows = sample_rows(contract, rows=500, seed=1)
    assert set(contract.columns) == set(rows.columns)
    assert rows["n"].between(-1, 1).all()
    assert {3, 4, 5} == set(rows["i"])
    assert {"a", "b"} == set(rows["c"])
    assert {0, 1} == set(rows["y"])
    assert rows["id"].is_unique
    assert rows.equals(sample_rows(contract, rows=500, seed=1))
