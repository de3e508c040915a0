"""docs/reference/loop.md from the policies: `python -m perennial.cli.loop_reference > docs/reference/loop.md`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, get_args, get_origin

from pydantic import AliasChoices, BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from perennial.contract import Column, Contract, DriftSettings, Quality
from perennial.cost import CostPolicy
from perennial.dataset import TrainingPolicy
from perennial.drift import DriftPolicy
from perennial.gate import FairnessPolicy, GatePolicy, SlicePolicy
from perennial.governance import Envelope, GovernancePolicy
from perennial.labels import LabelPolicy
from perennial.metrics import Task, default_metric
from perennial.performance import BusinessPolicy, PerformancePolicy
from perennial.policy import format_duration
from perennial.project import Loop
from perennial.rollout_plan import FastGuardrails, RolloutPolicy, SlowGuardrails
from perennial.trigger import NewDataPolicy, TriggerPolicy

__all__ = ["MEANINGS", "SECTIONS", "render", "settings"]

#: Each table of a loop.toml and the model that it is read into.
SECTIONS: Final[Mapping[str, type[BaseModel]]] = {
    "loop": Loop,
    "data": Contract,
    "data.columns.NAME": Column,
    "data.columns.NAME.drift": DriftSettings,
    "data.quality": Quality,
    "labels": LabelPolicy,
    "training": TrainingPolicy,
    "triggers": TriggerPolicy,
    "triggers.drift": DriftPolicy,
    "triggers.performance": PerformancePolicy,
    "triggers.business": BusinessPolicy,
    "triggers.new_data": NewDataPolicy,
    "gate": GatePolicy,
    "gate.slices": SlicePolicy,
    "gate.fairness": FairnessPolicy,
    "rollout": RolloutPolicy,
    "rollout.fast": FastGuardrails,
    "rollout.slow": SlowGuardrails,
    "governance": GovernancePolicy,
    "governance.envelope": Envelope,
    "cost": CostPolicy,
}

#: What each key means, where its field doesn't say so itself.
MEANINGS: Final[Mapping[str, Mapping[str, str]]] = {
    "loop": {
        "name": "The folder's name: lower case, digits and hyphens, at most 29 characters. Resources take it.",
        "description": "One sentence; for people.",
        "owner": "Who answers for the loop; every resource is tagged with it.",
        "task": "What kind of answer the model gives.",
    },
    "data": {
        "columns": "A table for each column, see below.",
        "quality": "What a file as a whole must keep, see below.",
        "format": "What lands, perhaps compressed as .gz or .zst.",
        "record_id": "The column that names a row for ever: labels and predictions are joined by it.",
        "event_time": "The column that says when it happened, which is not when it landed.",
        "label": "The column to predict. It may be missing from batches: labels come in files of their own.",
        "entity": "Whose record it is. Nothing reads it yet: sticky assignment of traffic is not built.",
        "segments": "Columns whose groups the gate compares one by one.",
        "sensitive": "Columns whose groups must be answered alike (`gate.fairness`).",
        "value": "The column of a record's business value, a number (`triggers.business`).",
        "pairs": "Pairs of columns whose joint distribution is watched beside each one's own.",
    },
    "data.columns.NAME": {
        "type": "What a cell must hold.",
        "nullable": "Empty cells are no violation.",
        "min": "Smallest value allowed; ISO 8601 for timestamps.",
        "max": "Largest value allowed.",
        "allowed": "The only values allowed.",
        "pattern": "A regular expression (RE2) that the whole text must match.",
        "unique": "No value may come twice in a file.",
        "max_null_rate": "Empty cells are allowed up to this share of a file's rows.",
        "drift": "How the column takes part in drift checks; `false` leaves it out.",
        "center": "Where the histogram is finest; follows from `min` and `max`.",
        "scale": "The histogram's unit; follows from `min` and `max`.",
    },
    "data.columns.NAME.drift": {
        "weight": "The column's share of the false-alarm budget beside the others'; 0 leaves it out.",
        "floor": "Smallest effect that counts: KS for numbers, else the share of rows that changed category.",
    },
    "data.quality": {
        "max_invalid_rate": "With a larger share of bad rows the whole file is quarantined.",
        "max_age": "A file whose newest event is older is quarantined.",
        "expected_every": "Silence for longer is a data outage.",
        "unique_within": "A record id comes once among batches whose events are that near. Off: once in its file.",
        "min_rows": "A file with fewer rows is quarantined.",
        "max_rows": "A file with more rows is quarantined.",
        "on_schema_change": "A new column: refuse the file, leave the column out, or do that and propose a contract.",
        "checks": 'A table of name = "expression" over the columns of a row that must be true.',
    },
    "labels": {
        "latency": "How late labels usually are; nothing younger is learnt from or scored.",
        "maturity": "A window is scored once this share of it is labelled.",
        "negative_after": "Silence for so long means `negative_value`.",
    },
    "training": {
        "mode": "All of history, the newest window, or the window with a sample of what came before.",
        "window": "How far back a window reaches.",
        "replay": "Share of a replay's rows that come from before the window.",
        "holdout": "Share of the window, its newest part, that judges instead of teaching.",
        "anchor": "Share of batches, drawn by lot for ever, that no model learns from: they show forgetting.",
        "min_batches": "Fewer batches are too few to learn from.",
        "min_rows": "Fewer labelled rows are too few to learn from.",
        "max_source_share": "No supplier of files may fill more of the window than this.",
        "hyperparameters": "Handed to `model.py` as text.",
        "seed": "Handed to `model.py` too; the same data and seed give the same model.",
        "instance_type": "SageMaker instance of the training job.",
        "volume_gb": "Disk of the training job.",
        "spot": "Managed spot training: cheaper, and it may take longer.",
        "network": "Whether the training job reaches a network; without one its container has no credentials either.",
        "max_runtime": "A job that takes longer is stopped.",
    },
    "triggers": {
        "schedule": 'A duration such as `"7d"`, `cron(...)` or `rate(...)`; `false` for none.',
        "drift": "See below; `false` switches it off.",
        "performance": "See below; `false` switches it off.",
        "business": "See below; off unless the table is there.",
        "new_data": "See below; `false` switches it off.",
        "first_batches": "Batches that the first model waits for.",
        "first_labelled": "Labelled rows that the first model waits for.",
        "confirm": "Windows in a row that must show a signal.",
        "cooldown": "For so long, in data time, nothing but a person starts another run.",
        "max_per_month": "Runs in 30 days, whatever the signals.",
        "budget": "USD a calendar month that runs may be expected to cost.",
    },
    "triggers.performance": {
        "max_drop": "Fall below what the gate measured, in the metric's unit; for mae and rmse a share.",
        "min_rows": "Labelled rows without which nothing is said.",
        "confidence": "How surely it must have fallen.",
    },
    "triggers.business": {
        "max_drop_share": "Fall of the mean value per record, as a share of what was expected.",
        "min_rows": "Rows without which nothing is said.",
        "confidence": "How surely it must have fallen.",
    },
    "triggers.new_data": {
        "growth": "A refit when history has grown by this factor since the last one.",
        "min_batches": "And by so many batches.",
    },
    "gate": {
        "metric": "What decides.",
        "min_gain": "The candidate must surely be better by more than this.",
        "non_inferiority": "Instead: better at face value, and surely not worse than by this.",
        "confidence": "How surely.",
        "min_rows": "Holdout rows without which the verdict is inconclusive.",
        "floors": "Bounds on the candidate alone, by metric.",
        "slices": "See below.",
        "fairness": "See below; needs `data.sensitive`.",
        "max_forgetting": "Loss allowed on the anchor batches.",
        "max_calibration_error": "Expected calibration error allowed.",
        "max_latency_ms": "p99 of one answer, as the evaluation's machine measures it.",
        "max_explanation_shift": "How far the importances of features may move, 0 to 1.",
        "max_feature_skew": "Largest difference between an answer in evaluation and in serving.",
    },
    "gate.slices": {
        "max_drop": "Loss allowed in any group of `data.segments`, beyond chance.",
        "min_rows": "Smaller groups are not judged.",
    },
    "gate.fairness": {
        "max_selection_gap": "Difference in the share of positive answers between groups.",
        "max_metric_gap": "Difference in the gate's metric between groups.",
        "min_rows": "Smaller groups are not judged.",
    },
    "rollout": {
        "strategy": "Steps of your own, equal steps, or all at once beside the old one.",
        "steps": "Shares of traffic, ascending. Default for a canary: 0.1, 0.5, 1.0.",
        "linear_step": "What each step of a linear rollout adds.",
        "bake": "How long each step is watched before the next.",
        "min_samples": "Requests that the challenger must have answered; with fewer the step is baked again.",
        "max_holds": "After baking again so often the champion gets everything back.",
        "fast": "See below.",
        "slow": "See below.",
        "assignment": "Who is asked: by lot, request by request.",
        "keep_previous": "The champion before stays beside the new one at the end, which costs its instance.",
        "instance_type": "SageMaker instance of each variant.",
        "instance_count": "Instances of each variant; AWS advises two or more, in two zones, for production.",
        "capture": "Share of requests that is captured, for performance and lineage.",
    },
    "rollout.fast": {
        "max_error_share": "Failed requests (5xx) of the challenger, beyond the champion's share.",
        "max_refused_share": "Requests without a good answer (4xx, 5xx, time-outs), beyond the champion's share.",
        "max_latency_ratio": "p99 beside the champion's.",
        "latency_floor_ms": "Below this p99 is never too slow beside another.",
        "max_latency_ms": "p99 in itself.",
        "max_prediction_shift": "Distance between both variants' answers, 0 to 1.",
        "confidence": "How surely a limit must be broken or kept.",
    },
    "rollout.slow": {
        "max_quality_drop": "Loss beside the champion on requests labelled in time.",
        "min_labelled": "Labelled requests without which nothing is said.",
    },
    "governance": {
        "approval": "By policy inside the envelope, by a person, or by one who quotes the evidence's digest.",
        "envelope": "See below.",
        "timeout": "A request that nobody answers for so long is denied.",
    },
    "governance.envelope": {
        "max_explanation_shift": "Beyond it a person is asked.",
        "min_rows": "With fewer holdout rows a person is asked.",
        "first_model": "Whether even the first model may be approved by policy.",
    },
    "cost": {
        "monthly_budget": "USD a month for the whole loop: an AWS budget.",
        "alarm_at": "Share of it at which people are told.",
    },
}

_HEAD: Final = """\
# loop.toml

Made by `python -m perennial.cli.loop_reference` from the policies themselves; a test holds this page to them.

Durations are written like `"30s"`, `"90m"`, `"12h"`, `"7d"`. A key that isn't here is a mistake, and
`perennial check LOOP` says so with its line. [loops/bikeshare](../../loops/bikeshare/loop.toml) is a commented example.
"""


def render() -> str:
    """The page: every table, its keys, what they take, their defaults and what they mean."""
    return "\n".join([_HEAD, *(_section(name, model) for name, model in SECTIONS.items())])


def settings(section: str) -> Iterator[tuple[str, str, FieldInfo]]:
    """The keys of a table as a loop.toml spells them, with the names of their fields and the fields."""
    for name, field in SECTIONS[section].model_fields.items():
        if section == "loop" and name not in ("name", "description", "owner", "task"):
            continue
        alias = field.validation_alias
        names = [str(one) for one in alias.choices] if isinstance(alias, AliasChoices) else [name]
        yield min(names, key=len), name, field


def _section(section: str, model: type[BaseModel]) -> str:
    lines = [f"## [{section}]", "", "| key | takes | default | |", "|---|---|---|---|"]
    for key, name, field in settings(section):
        meaning = MEANINGS.get(section, {}).get(key) or field.description or ""
        lines.append(f"| `{key}` | {_takes(name, field)} | {_default(section, name, field)} | {_cell(meaning)} |")
    return "\n".join(lines) + "\n"


def _takes(name: str, field: FieldInfo) -> str:
    if name.endswith("_seconds"):
        return "duration"
    kinds = [kind for kind in _kinds(field.annotation) if kind]
    bounds = [
        f"{sign} {bound:g}"
        for one in field.metadata
        for sign, name in ((">", "gt"), ("≥", "ge"), ("<", "lt"), ("≤", "le"))
        if isinstance(bound := getattr(one, name, None), int | float) and abs(bound) < 2**31
    ]
    return _cell(" or ".join(dict.fromkeys(kinds)) + (f", {' and '.join(bounds)}" if bounds else ""))


def _kinds(annotation: Any) -> Iterator[str]:
    origin = get_origin(annotation)
    if origin is Literal:
        yield from (json.dumps(value) for value in get_args(annotation))
    elif origin in (tuple, list):
        yield "list"
    elif origin in (dict, Mapping) or (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        yield "table"
    elif get_args(annotation):
        inner = get_args(annotation)
        for one in inner[:1] if hasattr(annotation, "__metadata__") else inner:
            yield from _kinds(one)
    else:
        yield {str: "text", int: "whole number", float: "number", bool: "true, false"}.get(annotation, "")


def _default(section: str, name: str, field: FieldInfo) -> str:
    if (section, name) == ("gate", "metric"):
        return ", ".join(f"`{default_metric(task)}` for {task}" for task in get_args(Task))
    if field.is_required() or field.default is PydanticUndefined:
        return "" if field.default_factory is not None else "required"
    default = field.default
    if default is None or default == () or isinstance(default, BaseModel):
        return ""
    if name.endswith("_seconds"):
        return f'`"{format_duration(default)}"`'
    return f"`{json.dumps(default)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(render())
