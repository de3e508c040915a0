"""
Builders of every type the tests need: what a test doesn't name gets a value that makes it valid.

One kind of thing, one `make_` function; every argument is a keyword and has a default.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from perennial.contract import Contract
from perennial.dataset import BatchEntry, DatasetVersion, LabelsEntry, TrainingPolicy, freeze
from perennial.gate import Evaluation, GatePolicy, MetricValue, ModelEvaluation, Paired
from perennial.governance import ApprovalRequest
from perennial.labels import Label, LabelPolicy
from perennial.ledger import LedgerEntry, append
from perennial.performance import Score
from perennial.project import Loop
from perennial.rollout import Evidence, Live, RolloutPlan, RolloutPolicy, SlotState, VariantEvidence, plan
from perennial.trigger import History, Signal, TriggerPolicy, TriggerState

#: The present of all tests that don't say another.
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DIGEST = hashlib.sha256(b"artifact").hexdigest()


def day(number: float) -> datetime:
    """Midnight of a day of 2026, counted from 1; fractions are hours."""
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number - 1)


# --- loops ---------------------------------------------------------------------------------------------------------

LOOP_TOML = """\
[loop]
name = "demo"
task = "binary"

[data]
format = "csv"
record_id = "id"
event_time = "ts"
label = "y"

[data.columns]
x = {type = "number", nullable = true}
color = {type = "category"}
y = {type = "integer", min = 0, max = 1}
"""


def make_contract(**changes: Any) -> Contract:
    """A contract with a number, a category and a binary label."""
    given: dict[str, Any] = {
        "format": "csv",
        "record_id": "id",
        "event_time": "ts",
        "label": "y",
        "columns": {
            "x": {"type": "number", "nullable": True},
            "color": {"type": "category"},
            "y": {"type": "integer", "min": 0, "max": 1},
        },
    }
    return Contract.model_validate({**given, **changes})


def make_loop(**changes: Any) -> Loop:
    """A binary loop with the default policies; sections are given as tables or models."""
    given: dict[str, Any] = {"name": "demo", "task": "binary", "contract": make_contract()}
    return Loop.model_validate({**given, **changes})


# --- data and labels -----------------------------------------------------------------------------------------------


def make_batch(
    number: int = 1, *, rows: int = 100, source: str | None = None, batch_id: str | None = None, days: float = 0.9
) -> BatchEntry:
    """The batch of one day of 2026."""
    name = batch_id or hashlib.sha256(f"batch {number}".encode()).hexdigest()[:40]
    return BatchEntry(
        batch_id=name,
        curated_key=f"curated/batches/{name}.parquet",
        rows=rows,
        first_event_at=day(number),
        last_event_at=day(number + days),
        source=source,
    )


def make_batches(count: int = 10, **changes: Any) -> list[BatchEntry]:
    """One batch for each of the first days of 2026."""
    return [make_batch(number, **changes) for number in range(1, count + 1)]


def make_labels(number: int = 1, *, rows: int | None = 1000, as_of: datetime | None = None) -> LabelsEntry:
    """A label file."""
    name = hashlib.sha256(f"labels {number}".encode()).hexdigest()[:40]
    return LabelsEntry(labels_id=name, curated_key=f"curated/labels/{name}.parquet", rows=rows, as_of=as_of)


def make_label(record_id: str = "r1", value: Any = 1, **changes: Any) -> Label:
    """One label of a file."""
    return Label(**{"record_id": record_id, "value": value, "labels_id": "f1", **changes})


def make_dataset_version(
    batches: Sequence[BatchEntry] | None = None,
    labels: Sequence[LabelsEntry] | None = None,
    *,
    training: TrainingPolicy | None = None,
    label_policy: LabelPolicy | None = None,
    **changes: Any,
) -> DatasetVersion:
    """A version frozen from ten days of batches."""
    given: dict[str, Any] = {"loop": "demo", "run_id": "run", "as_of": NOW}
    return freeze(
        make_batches() if batches is None else batches,
        [make_labels()] if labels is None else labels,
        training or TrainingPolicy(),
        label_policy or LabelPolicy(),
        **{**given, **changes},
    )


# --- signals ---------------------------------------------------------------------------------------------------------


def make_history(*, batches: int = 20, rows: int = 2000, labelled: int = 2000) -> History:
    """Enough to learn from."""
    return History(batches, rows, labelled)


def make_signal(kind: Any = "drift", *, as_of: datetime = NOW, **changes: Any) -> Signal:
    """A signal at `as_of`; another as_of is another signal."""
    given: dict[str, Any] = {
        "reasons": (f"{kind}: it moved",),
        "signal_id": as_of.isoformat(),
        "history": make_history(),
    }
    return Signal(kind=kind, as_of=as_of, **{**given, **changes})


def make_trigger_policy(**changes: Any) -> TriggerPolicy:
    """The defaults, but for `changes`."""
    return TriggerPolicy.model_validate(changes)


def make_trigger_state(**changes: Any) -> TriggerState:
    """A trigger that has not fired yet."""
    return TriggerState.model_validate(changes)


# --- evaluations -----------------------------------------------------------------------------------------------------


def make_score(value: float = 0.8, *, metric: str = "accuracy", margin: float = 0.02, **changes: Any) -> Score:
    """A score with a symmetric interval."""
    given: dict[str, Any] = {"low": value - margin, "high": value + margin, "rows": 1000}
    return Score(metric=metric, value=value, **{**given, **changes})


def make_metric(value: float | None = 0.8, *, margin: float = 0.02, rows: int = 1000) -> MetricValue:
    """A metric with a symmetric interval."""
    low, high = (None, None) if value is None else (value - margin, value + margin)
    return MetricValue(value=value, low=low, high=high, rows=rows)


def make_model_evaluation(value: float | None = 0.8, *, metric: str = "accuracy", **changes: Any) -> ModelEvaluation:
    """A model on the holdout."""
    return ModelEvaluation.model_validate({"overall": {metric: make_metric(value)}, **changes})


def make_paired(difference: float = 0.05, *, margin: float = 0.02, **changes: Any) -> Paired:
    """How much better the candidate is."""
    given: dict[str, Any] = {
        "metric": "accuracy",
        "difference": difference,
        "low": difference - margin,
        "high": difference + margin,
        "confidence": 0.95,
        "rows": 1000,
    }
    return Paired.model_validate({**given, **changes})


def make_evaluation(
    *, candidate: ModelEvaluation | None = None, champion: ModelEvaluation | None = None, **changes: Any
) -> Evaluation:
    """A candidate that is plainly better than the champion."""
    given: dict[str, Any] = {
        "run_id": "run",
        "candidate": candidate or make_model_evaluation(0.85),
        "champion": champion or make_model_evaluation(0.80),
        "paired": make_paired(),
        "artifact_digest": DIGEST,
    }
    return Evaluation.model_validate({**given, **changes})


def make_first_evaluation(value: float | None = 0.85, **changes: Any) -> Evaluation:
    """A candidate without a champion."""
    given: dict[str, Any] = {"candidate": make_model_evaluation(value), "artifact_digest": DIGEST, "run_id": "run"}
    return Evaluation.model_validate({**given, **changes})


def make_gate_policy(**changes: Any) -> GatePolicy:
    """The defaults, with accuracy as the primary metric."""
    return GatePolicy.model_validate({"metric": "accuracy", **changes})


# --- rollouts --------------------------------------------------------------------------------------------------------


def make_live(*, champion_slot: Any = "blue", endpoint_exists: bool = True) -> Live:
    """A champion in one slot; `champion_slot=None` for a loop without a model."""
    if champion_slot is None:
        return Live()
    champion = SlotState(model_version="old", model_name="demo--dev--old", artifact_digest=DIGEST)
    return Live(champion_slot=champion_slot, slots={champion_slot: champion}, endpoint_exists=endpoint_exists)


def make_rollout_policy(**changes: Any) -> RolloutPolicy:
    """The defaults, but for `changes`."""
    return RolloutPolicy.model_validate(changes)


def make_rollout_plan(*, live: Live | None = None, policy: RolloutPolicy | None = None, **changes: Any) -> RolloutPlan:
    """The plan of a rollout beside a champion in the slot blue."""
    given: dict[str, Any] = {
        "loop": "demo",
        "stage": "dev",
        "rollout_id": "run",
        "model_version": "run",
        "model_data_url": f"s3://lake/approved/{DIGEST}/model.tar.gz",
        "artifact_digest": DIGEST,
        "model_digest": "m" * 64,
        "image_uri": "image@sha256:abc",
        "fencing_token": 1,
        "endpoint_name": "perennial-demo--dev",
        "capture_uri": "s3://lake/capture",
    }
    return plan(live=live or make_live(), policy=policy or RolloutPolicy(), **{**given, **changes})


def make_variant(**changes: Any) -> VariantEvidence:
    """A variant with plenty of traffic and no errors."""
    return VariantEvidence(**{"invocations": 1000, "errors_5xx": 0, "latency_ms_p99": 20.0, **changes})


def make_evidence(
    *,
    step: int = 0,
    challenger: Mapping[str, Any] | None = None,
    champion: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Evidence:
    """A step after which nothing speaks against the challenger."""
    given: dict[str, Any] = {"holds": 0}
    variants = {"challenger": make_variant(**(challenger or {})), "champion": make_variant(**(champion or {}))}
    return Evidence(step=step, **variants, **{**given, **changes})


# --- approvals and records -------------------------------------------------------------------------------------------


def make_approval_request(**changes: Any) -> ApprovalRequest:
    """A request that is open for a week."""
    given: dict[str, Any] = {
        "model_version": "run",
        "artifact_digest": DIGEST,
        "requested_by": "perennial",
        "requested_at": NOW,
        "expires_at": NOW + timedelta(days=7),
    }
    return ApprovalRequest.model_validate({**given, **changes})


def make_ledger(count: int = 3, *, loop: str = "demo") -> list[LedgerEntry]:
    """A chain of entries."""
    entries: list[LedgerEntry] = []
    for number in range(count):
        previous = entries[-1] if entries else None
        detail = {"batch_id": f"b{number}", "rows": number}
        entries.append(append(previous, loop=loop, at=NOW, kind="Batch Accepted", entry_id=f"e{number}", detail=detail))
    return entries
