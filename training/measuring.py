"""What is measured of one model: metrics by group, importances, latency, skew between training and serving."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
import pandas as pd

from perennial.evaluation import Metrics, MetricValue
from perennial.metrics import Task, direction
from perennial.performance import Score
from perennial.scores import Predictions, measure, measure_all
from training.dataset import Rows
from training.frame import frame_of_rows, to_json_value
from training.model_folder import LoadedModel
from training.predictions import Answers, PredictionImpossible
from training.serving import Request, answer, input_fn, predict_fn

__all__ = [
    "answer_latencies_ms",
    "baseline",
    "by_group",
    "feature_skew",
    "importances",
    "metrics",
    "request_rows",
    "scored",
    "smoke",
]

# Bounds that keep an evaluation short whatever the holdout's size.
_IMPORTANCE_ROWS = 2_000
_IMPORTANCE_REPEATS = 3
_GROUPS_PER_COLUMN = 20
_LATENCY_REQUESTS = 40
_LATENCY_REPEATS = 2
_SKEW_ROWS = 200
_SMOKE_ROWS = 20
_SMOKE_TOLERANCE = 1e-6


def scored(rows: Rows, answers: Answers) -> Predictions:
    """Labels beside answers, as `perennial.scores` measures them; the last class is the positive one."""
    if answers.probabilities is None:
        return Predictions(rows.labels.to_numpy(), answers.values)
    binary = len(answers.classes) == 2
    return Predictions(
        rows.labels.to_numpy(),
        answers.values,
        answers.probabilities[:, 1] if binary else answers.probabilities,
        positive=answers.classes[-1],
        classes=answers.classes,
    )


def metrics(rows: Rows, answers: Answers, task: Task, *, confidence: float) -> Metrics:
    """Every metric of the task; for classifiers with the share of rows answered with the positive class."""
    found = {name: _value(s) for name, s in measure_all(task, scored(rows, answers), confidence=confidence).items()}
    if task != "regression" and len(rows):
        share = float(np.mean(answers.values == answers.classes[-1]))
        found["positive_share"] = MetricValue(value=share, rows=len(rows))
    return found


def _value(score: Score) -> MetricValue:
    return MetricValue(value=score.value, low=score.low, high=score.high, rows=score.rows)


def by_group(
    rows: Rows, answers: Answers, task: Task, columns: tuple[str, ...], *, confidence: float
) -> dict[str, dict[str, Metrics]]:
    """The same metrics for each of the largest groups of each column; empty cells are the group `(empty)`."""
    found: dict[str, dict[str, Metrics]] = {}
    for column in columns:
        names = rows.features[column].map(_group_name)
        largest = names.value_counts(sort=True).index[:_GROUPS_PER_COLUMN]
        found[column] = {
            name: metrics(_some(rows, chosen), _some_answers(answers, chosen), task, confidence=confidence)
            for name in sorted(largest)
            if (chosen := (names == name).to_numpy()).any()
        }
    return found


def _group_name(cell: Any) -> str:
    return "(empty)" if pd.isna(cell) else str(to_json_value(cell))


def _some(rows: Rows, chosen: np.ndarray) -> Rows:
    return Rows(
        rows.features[chosen].reset_index(drop=True),
        rows.labels[chosen].reset_index(drop=True),
        rows.record_ids[chosen].reset_index(drop=True),
    )


def _some_answers(answers: Answers, chosen: np.ndarray) -> Answers:
    probabilities = None if answers.probabilities is None else answers.probabilities[chosen]
    return Answers(answers.values[chosen], answers.scores[chosen], probabilities, answers.classes)


def _evenly(rows: Rows, count: int) -> Rows:
    """At most `count` rows spread over the whole, in their order."""
    places = np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int))
    chosen = np.zeros(len(rows), dtype=bool)
    chosen[places] = True
    return _some(rows, chosen)


def baseline(train: Rows, holdout: Rows, task: Task, *, confidence: float) -> Metrics:
    """What the holdout scores when every row is answered alike: the most frequent class, or the mean."""
    count = len(holdout)
    if task == "regression":
        constant = np.full(count, float(train.labels.mean()))
        return metrics(holdout, Answers(constant, constant, None, ()), task, confidence=confidence)
    shares = train.labels.value_counts(normalize=True).sort_index()
    classes = tuple(shares.index.tolist())
    probabilities = np.tile(shares.to_numpy(dtype="float64"), (count, 1))
    values = np.full(count, shares.idxmax(), dtype=train.labels.dtype)
    made = Answers(values, probabilities[:, -1], probabilities, classes)
    return metrics(holdout, made, task, confidence=confidence)


def importances(model: LoadedModel, rows: Rows, metric: str, *, seed: int) -> dict[str, float]:
    """
    Each feature's share of what the metric loses when that feature is shuffled; 0 for features that lose nothing.

    Source: L. Breiman (2001), Random Forests, Machine Learning 45, section 10. Shares sum to 1, or are all 0.
    """
    chance = np.random.default_rng(seed)
    some = _evenly(rows, _IMPORTANCE_ROWS)
    sign = 1.0 if direction(metric) == "higher" else -1.0
    whole = measure(metric, scored(some, model.answer(some.features))).value
    losses = {}
    for name in model.card.features:
        found = []
        for _ in range(_IMPORTANCE_REPEATS):
            order = chance.permutation(len(some))
            shuffled = some.features.assign(**{name: some.features[name].take(order).reset_index(drop=True)})
            found.append(sign * (whole - measure(metric, scored(some, model.answer(shuffled))).value))
        losses[name] = max(float(np.mean(found)), 0.0) if np.isfinite(found).all() else 0.0
    total = sum(losses.values())
    return {name: loss / total if total > 0 else 0.0 for name, loss in losses.items()}


def request_rows(rows: Rows, record_id: str) -> list[dict[str, Any]]:
    """Rows as a client of the endpoint would send them: JSON values, the record id among them."""
    columns = {name: [to_json_value(cell) for cell in rows.features[name]] for name in rows.features}
    columns[record_id] = list(rows.record_ids)
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def answer_latencies_ms(model: LoadedModel, rows: Rows) -> tuple[float, float]:
    """
    Median and 99th percentile of answering one row, from the request's bytes to the answer's, without network.

    Each request is made again and its faster answer counts: what else the machine does isn't the model's latency.
    """
    asked = request_rows(_evenly(rows, _LATENCY_REQUESTS), model.loop.contract.record_id)
    bodies = [json.dumps({"instances": [row]}).encode() for row in asked]
    taken = []
    for _ in range(_LATENCY_REPEATS):
        for body in bodies:
            start = time.perf_counter()
            answer(predict_fn(input_fn(body, "application/json"), model))
            taken.append((time.perf_counter() - start) * 1000)
    fastest = np.array(taken).reshape(_LATENCY_REPEATS, len(bodies)).min(axis=0)
    return float(np.percentile(fastest, 50)), float(np.percentile(fastest, 99))


def feature_skew(model: LoadedModel, rows: Rows) -> float:
    """
    The largest difference between features as trained and the same rows as an endpoint would read them from JSON.

    Numbers differ by their distance, everything else by 0 or 1; the model's scores on both count as well.
    """
    some = _evenly(rows, _SKEW_ROWS)
    request = input_fn(json.dumps({"instances": request_rows(some, model.loop.contract.record_id)}), "application/json")
    if not isinstance(request, Request):
        return 1.0
    served = frame_of_rows(request.rows, model.loop.contract)
    differences = [_difference(some.features[name], served[name]) for name in model.card.features]
    scores = model.answer(some.features).scores - model.answer(served).scores
    return float(max([*differences, float(np.abs(scores).max(initial=0.0))], default=0.0))


def _difference(trained: pd.Series, served: pd.Series) -> float:
    if trained.dtype != served.dtype:
        return 1.0
    if trained.dtype.kind == "f":
        one, other = trained.to_numpy(), served.to_numpy()
        apart = np.where(np.isnan(one) & np.isnan(other), 0.0, one - other)
        return float(np.nan_to_num(np.abs(apart), nan=1.0).max(initial=0.0))
    same = (trained == served) | (trained.isna() & served.isna())
    return 0.0 if bool(same.all()) else 1.0


def smoke(model: LoadedModel, rows: Rows) -> dict[str, Any]:
    """Rows to send to the deployed model, and the answers that it must then give within the tolerance."""
    asked = request_rows(_evenly(rows, _SMOKE_ROWS), model.loop.contract.record_id)
    document = predict_fn(Request(tuple(asked), is_text=False), model)
    if not isinstance(document, dict):
        raise PredictionImpossible("the holdout's own rows must be answerable. Got a refusal of one of them instead.")
    return {
        "model_version": model.card.model_version,
        "rows": asked,
        "predictions": document["predictions"],
        "tolerance": _SMOKE_TOLERANCE,
    }
