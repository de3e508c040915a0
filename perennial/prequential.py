"""
Predictions that were made before their labels were known, joined with them and scored, version by version.

Joins are by record id: the label that counts is the newest (ties go to the larger labels id, as in
`perennial.labels`), the prediction that counts is a version's first for the record, made before anything was known.

>>> import numpy as np
>>> said = Said.of(["a", "b", "a"], ["1", "0", "0"], [0.9, 0.2, 0.1], ["v1", "v1", "v1"], ["t1", "t1", "t2"])
>>> known = Known.of(["b", "a"], np.array([0, 1]))
>>> joined = join(said, known, "v1")
>>> joined.truth.tolist(), joined.answer.tolist(), joined.predicted
([1, 0], ['1', '0'], 2)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from perennial.contract import Column
from perennial.metrics import Task
from perennial.performance import Score
from perennial.scores import Predictions, measure

__all__ = ["Joined", "Known", "Said", "join", "scorable_metric", "score"]

Words = NDArray[np.str_]
Array = NDArray[Any]
_NEED_ALL_PROBABILITIES = ("log_loss",)


@dataclass(frozen=True, slots=True)
class Said:
    """Captured predictions, one place for each: record, answer as text, score, model version, time as sortable text."""

    record_ids: Words
    answers: Words
    scores: NDArray[np.float64]
    versions: Words
    predicted_at: Words

    @classmethod
    def of(
        cls,
        record_ids: Sequence[str],
        answers: Sequence[str],
        scores: Sequence[float | None],
        versions: Sequence[str],
        predicted_at: Sequence[str],
    ) -> Self:
        """From plain lists; a missing score is NaN."""
        words = [np.asarray(values, dtype=np.str_) for values in (record_ids, answers, versions, predicted_at)]
        return cls(words[0], words[1], np.asarray(scores, dtype=np.float64), words[2], words[3])


@dataclass(frozen=True, slots=True)
class Known:
    """The label that counts for each record: ids ascending, each once."""

    record_ids: Words
    labels: Array

    @classmethod
    def of(cls, record_ids: Sequence[str], labels: Array) -> Self:
        """From label files in the order of their rank: of several labels of a record the last given counts."""
        ids = np.asarray(record_ids, dtype=np.str_)[::-1]
        kept, first = np.unique(ids, return_index=True)
        return cls(kept, labels[::-1][first])


@dataclass(frozen=True, slots=True)
class Joined:
    """One version's labelled predictions; `predicted` counts its predictions of the same time, labelled or not."""

    truth: Array
    answer: Words
    score: NDArray[np.float64]
    predicted: int

    def __len__(self) -> int:
        return len(self.truth)


def join(said: Said, known: Known, version: str) -> Joined:
    """The predictions of `version` that have labels, and how many it made from the first to the last of those."""
    mine = np.flatnonzero(said.versions == version)
    order = mine[np.argsort(said.predicted_at[mine], kind="stable")]
    _, first = np.unique(said.record_ids[order], return_index=True)
    chosen = order[first]
    if not len(known.record_ids) or not len(chosen):
        return Joined(known.labels[:0], said.answers[:0], said.scores[:0], 0)
    place = np.minimum(np.searchsorted(known.record_ids, said.record_ids[chosen]), len(known.record_ids) - 1)
    found = known.record_ids[place] == said.record_ids[chosen]
    labelled, times = chosen[found], said.predicted_at[chosen]
    window = np.sort(times[found])
    predicted = int(((times >= window[0]) & (times <= window[-1])).sum()) if len(window) else 0
    return Joined(known.labels[place[found]], said.answers[labelled], said.scores[labelled], predicted)


def scorable_metric(metric: str, task: Task) -> str:
    """
    The metric itself, or accuracy where captured answers don't hold what it needs.

    An endpoint answers with the probability of one class: that is all there is of two, but not of more.
    """
    return "accuracy" if task == "multiclass" and metric in _NEED_ALL_PROBABILITIES else metric


def score(joined: Joined, metric: str, column: Column) -> Score:
    """
    `metric` of labelled predictions, with its interval.

    Parameters
    ----------
    column
        The label's column of the contract: it says how answers, captured as text, compare with labels.
    """
    truth, answer = _comparable(joined.truth, column), _comparable(joined.answer, column)
    return measure(metric, Predictions(truth, answer, joined.score, positive=_positive(truth, answer, column)))


def _comparable(values: Array, column: Column) -> Array:
    """Labels and captured answers in the label's own type."""
    if column.is_numeric:
        return values.astype(np.float64)
    if column.type == "boolean":
        return np.asarray(np.char.lower(values.astype(np.str_)) == "true")
    return values.astype(np.str_)


def _positive(truth: Array, answer: Array, column: Column) -> Any:
    """The last class, as scikit-learn sorts classes: what the contract allows decides, else what occurs."""
    if column.type == "boolean":
        return True
    if column.allowed:
        return float(max(column.allowed)) if column.is_numeric else str(max(map(str, column.allowed)))
    if column.is_numeric and isinstance(column.max, int | float):
        return float(column.max)
    return max(np.concatenate([truth, answer]).tolist(), default=1)
