"""
The conformance suite that a loop's estimator must pass before it is deployed.

Each check is a question about `build_estimator(hyperparameters)` on sample rows of the contract; what it finds is a
`Finding`, never an exception. Needs scikit-learn, pandas and joblib when called, not when imported.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from perennial.contract import Contract
from perennial.metrics import Task

__all__ = ["CHECKS", "Finding", "check_estimator", "sample_rows"]

Build = Callable[[dict[str, Any]], Any]
_SHOWN: Final = 200


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found wrong, and what would put it right."""

    check: str
    sentence: str
    advice: str


@dataclass(frozen=True, slots=True)
class _Case:
    """What every check works on."""

    build: Build
    hyperparameters: dict[str, Any]
    features: Any
    labels: Any
    contract: Contract
    task: Task

    def fitted(self) -> Any:
        return self.build(dict(self.hyperparameters)).fit(self.features.copy(), self.labels.copy())

    def answers(self, estimator: Any, features: Any) -> Any:
        """Scores where there are any, else predictions, for a copy of the rows: what serving returns."""
        return self.answers_in_place(estimator, features.copy())

    def answers_in_place(self, estimator: Any, features: Any) -> Any:
        """The same on the very rows: for the check that they stay as they are."""
        import numpy as np

        if self.task != "regression" and hasattr(estimator, "predict_proba"):
            return np.asarray(estimator.predict_proba(features))
        return np.asarray(estimator.predict(features))


def sample_rows(contract: Contract, *, rows: int = 200, seed: int = 0) -> Any:
    """
    Rows that keep the contract, made up from its columns: a data frame for checks without data.

    The label, where the contract has its column, varies over its allowed values.
    """
    import numpy as np
    import pandas as pd

    chance = np.random.default_rng(seed)
    made: dict[str, Any] = {}
    for name, column in contract.columns.items():
        low = column.min if isinstance(column.min, int | float) else 0.0
        high = column.max if isinstance(column.max, int | float) else low + 100.0
        if name == contract.record_id:
            made[name] = [f"r{row}" for row in range(rows)]
        elif column.allowed:
            made[name] = chance.choice(np.array(column.allowed, dtype=object), rows)
        elif column.type == "number":
            made[name] = chance.uniform(low, high, rows)
        elif column.type == "integer":
            made[name] = chance.integers(int(low), int(high) + 1, rows)
        elif column.type == "boolean":
            made[name] = chance.random(rows) < 0.5
        elif column.type == "timestamp":
            made[name] = pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(np.arange(rows), unit="h")
        else:
            made[name] = chance.choice(np.array(["alpha", "beta", "gamma", "delta"], dtype=object), rows)
    return pd.DataFrame(made)


def _same(one: Any, other: Any) -> bool:
    import numpy as np

    if one.shape != other.shape:
        return False
    if one.dtype.kind in "fiu" and other.dtype.kind in "fiu":
        return bool(np.allclose(one, other, rtol=1e-9, atol=1e-12, equal_nan=True))
    return bool(np.array_equal(one, other))


def _clonable(case: _Case) -> Finding | None:
    from sklearn.base import clone

    clone(case.build(dict(case.hyperparameters)))
    return None


def _fits_and_answers(case: _Case) -> Finding | None:
    import numpy as np

    answers = case.answers(case.fitted(), case.features)
    if len(answers) != len(case.features):
        return Finding("answers", f"{len(case.features)} rows gave {len(answers)} answers", "answer every row once")
    if answers.dtype.kind == "f" and not np.isfinite(answers).all():
        return Finding("answers", "some answers are NaN or infinite", "impute missing values inside the estimator")
    return None


def _leaves_input_alone(case: _Case) -> Finding | None:
    features, labels = case.features.copy(), case.labels.copy()
    estimator = case.build(dict(case.hyperparameters)).fit(features, labels)
    case.answers_in_place(estimator, features)
    if not features.equals(case.features) or not labels.equals(case.labels):
        return Finding("input", "fitting or predicting changed the caller's rows", "work on a copy in the first step")
    return None


def _row_by_row(case: _Case) -> Finding | None:
    import numpy as np

    estimator = case.fitted()
    some = case.features.iloc[:20]
    bulk = case.answers(estimator, some)
    single = np.concatenate([case.answers(estimator, some.iloc[[row]]) for row in range(len(some))])
    if not _same(bulk, single):
        return Finding(
            "row by row",
            "a row alone gets another answer than in bulk",
            "no feature may depend on the other rows that are asked with it: learn statistics in fit",
        )
    return None


def _order_free(case: _Case) -> Finding | None:
    estimator = case.fitted()
    columns = list(reversed(list(case.features.columns)))
    if not _same(case.answers(estimator, case.features), case.answers(estimator, case.features[columns])):
        return Finding("column order", "answers depend on the order of columns", "select columns by name")
    return None


def _deterministic(case: _Case) -> Finding | None:
    if not _same(case.answers(case.fitted(), case.features), case.answers(case.fitted(), case.features)):
        return Finding(
            "deterministic", "two fits on the same rows answer differently", "pass random_state from hyperparameters"
        )
    return None


def _survives_gaps(case: _Case) -> Finding | None:
    import numpy as np

    estimator = case.fitted()
    for name, column in case.contract.columns.items():
        if name not in case.features or not column.accepts_null:
            continue
        gaps = case.features.iloc[:5].copy()
        gaps[name] = np.full(len(gaps), np.nan) if column.is_numeric else np.full(len(gaps), None, dtype=object)
        answers = case.answers(estimator, gaps)
        if answers.dtype.kind == "f" and not np.isfinite(answers).all():
            return Finding("missing values", f"{name} may be empty, but then the answer is NaN", "impute it")
    return None


def _survives_news(case: _Case) -> Finding | None:
    estimator = case.fitted()
    for name, column in case.contract.columns.items():
        if name in case.features and column.type in ("category", "text") and column.allowed is None:
            strange = case.features.iloc[:5].copy()
            strange[name] = "a value never seen before"
            case.answers(estimator, strange)
    return None


def _survives_storage(case: _Case) -> Finding | None:
    import joblib  # type: ignore[import-untyped]

    estimator = case.fitted()
    buffer = io.BytesIO()
    joblib.dump(estimator, buffer)
    buffer.seek(0)
    # Our own bytes of a moment ago, in the process that a user checks a model of theirs in.
    if not _same(case.answers(estimator, case.features), case.answers(joblib.load(buffer), case.features)):
        return Finding("storage", "it answers differently after joblib dump and load", "keep all state in attributes")
    return None


CHECKS: Final[Mapping[str, tuple[Callable[[_Case], Finding | None], str]]] = {
    "clonable": (_clonable, "keep constructor arguments as attributes of the same name, unchanged"),
    "answers": (_fits_and_answers, "build_estimator must return an estimator that takes the contract's columns"),
    "input": (_leaves_input_alone, "work on a copy in the first step"),
    "row by row": (_row_by_row, "learn statistics in fit, not in predict"),
    "column order": (_order_free, "select columns by name"),
    "deterministic": (_deterministic, "pass random_state from hyperparameters"),
    "missing values": (_survives_gaps, "impute inside the estimator, or make the column not nullable"),
    "unknown categories": (_survives_news, 'use handle_unknown="ignore", or list the allowed values in the contract'),
    "storage": (_survives_storage, "define classes and functions in model.py, not inside functions or as lambdas"),
}


def check_estimator(
    build: Build,
    rows: Any,
    *,
    contract: Contract,
    task: Task,
    hyperparameters: Mapping[str, Any] | None = None,
) -> list[Finding]:
    """
    Everything that is wrong with the estimator of `build`; empty when it conforms.

    Parameters
    ----------
    build
        `build_estimator` of the loop's model.py.
    rows
        A data frame of sample rows with the contract's columns and the label.
    """
    label = contract.label
    if label is None or label not in rows:
        return [Finding("label", f"the sample rows hold no label column {label!r}", "add labels to the sample")]
    features = rows[[name for name in contract.features if name in rows]].reset_index(drop=True)
    case = _Case(build, dict(hyperparameters or {}), features, rows[label].reset_index(drop=True), contract, task)
    findings = []
    for name, (check, advice) in CHECKS.items():
        try:
            found = check(case)
        except Exception as error:  # noqa: BLE001  a user's estimator may raise anything: that is the finding
            found = Finding(name, f"{type(error).__name__}: {str(error)[:_SHOWN]}", advice)
        if found is not None:
            findings.append(found)
    return findings
