"""What an evaluation job found: the evidence that the gate, governance and canaries judge by."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Evaluation", "Groups", "MetricValue", "Metrics", "ModelEvaluation", "Paired"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MetricValue(_Part):
    """A metric on one set of rows with its two-sided interval; None or NaN where it can't be computed."""

    value: float | None
    low: float | None = None
    high: float | None = None
    rows: int = 0


Metrics = dict[str, MetricValue]
# column -> group -> metrics
Groups = dict[str, dict[str, Metrics]]


class ModelEvaluation(_Part):
    """
    One model on the holdout.

    `slices` are groups of `data.segments`, `groups` those of `data.sensitive`, each column -> value -> metrics, with
    `positive_share` (the share of rows it answers positively) among the metrics of a classifier. `anchor` is the
    frozen set. `baseline` is what answering without any feature scores.
    """

    overall: Metrics
    slices: Groups = {}
    groups: Groups = {}
    anchor: Metrics = {}
    latency_ms_p50: float | None = None
    latency_ms_p99: float | None = None


class Paired(_Part):
    """
    How much better the candidate is on the same rows, positive when it is better whatever the metric's direction.

    `low` and `high` bound the difference two-sidedly at `confidence`; None stands for NaN, which JSON lacks.
    """

    metric: str
    difference: float | None
    low: float | None
    high: float | None
    confidence: Annotated[float, Field(gt=0.0, lt=1.0)]
    rows: int = 0


class Evaluation(_Part):
    """
    `evaluation.json`: what the evaluation job found.

    `feature_skew` is the largest difference between predictions of the same rows as evaluated and as served.
    """

    run_id: str
    candidate: ModelEvaluation
    champion: ModelEvaluation | None = None
    baseline: Metrics = {}
    paired: Paired | None = None
    importances: dict[str, float] = {}
    champion_importances: dict[str, float] = {}
    feature_skew: float | None = None
    artifact_digest: str
    versions: dict[str, str] = {}
