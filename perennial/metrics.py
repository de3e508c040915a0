"""
Which metrics exist, for which task, and which way is better. How they are computed is in `perennial.scores`.

>>> direction("log_loss"), default_metric("regression")
('lower', 'mae')
>>> gain("mae", candidate=1.0, champion=1.5)
0.5
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["METRICS", "Direction", "Metric", "Task", "default_metric", "direction", "gain", "metrics_of", "tolerance"]

Task = Literal["binary", "multiclass", "regression", "ranking"]
Direction = Literal["higher", "lower"]


@dataclass(frozen=True, slots=True)
class Metric:
    """
    One metric: its name, the way that is better, the tasks it makes sense for.

    `has_unit` says that values are in the label's own unit, so that a difference of 0.05 means nothing by itself.
    """

    name: str
    direction: Direction
    tasks: tuple[Task, ...]
    has_unit: bool = False


_BINARY: Final[tuple[Task, ...]] = ("binary", "ranking")
_CLASSES: Final[tuple[Task, ...]] = ("binary", "multiclass")

METRICS: Final[dict[str, Metric]] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "higher", _CLASSES),
        Metric("balanced_accuracy", "higher", _CLASSES),
        Metric("auc", "higher", _BINARY),
        Metric("average_precision", "higher", _BINARY),
        Metric("log_loss", "lower", ("binary", "multiclass", "ranking")),
        Metric("brier", "lower", _BINARY),
        Metric("calibration_error", "lower", _BINARY),
        Metric("precision", "higher", ("binary",)),
        Metric("recall", "higher", ("binary",)),
        Metric("f1", "higher", _CLASSES),
        Metric("mae", "lower", ("regression",), has_unit=True),
        Metric("rmse", "lower", ("regression",), has_unit=True),
        Metric("r2", "higher", ("regression",)),
    )
}

_DEFAULTS: Final[dict[Task, str]] = {
    "binary": "auc",
    "multiclass": "accuracy",
    "regression": "mae",
    "ranking": "auc",
}


def default_metric(task: Task) -> str:
    """The primary metric of a loop that names none."""
    return _DEFAULTS[task]


def metrics_of(task: Task) -> tuple[str, ...]:
    """The names of all metrics that make sense for `task`."""
    return tuple(metric.name for metric in METRICS.values() if task in metric.tasks)


def direction(metric: str) -> Direction:
    """Whether a higher or a lower value of `metric` is better."""
    return METRICS[metric].direction


def gain(metric: str, *, candidate: float, champion: float) -> float:
    """By how much the candidate is better, in the metric's own unit; negative when it is worse."""
    return candidate - champion if direction(metric) == "higher" else champion - candidate


def tolerance(metric: str, given: float, *, beside: float) -> float:
    """
    A tolerance of a policy in the metric's own unit: a share of the value beside it, where that has a unit.

    >>> tolerance("accuracy", 0.05, beside=0.8), tolerance("mae", 0.05, beside=40.0)
    (0.05, 2.0)
    """
    return given * abs(beside) if METRICS[metric].has_unit else given
