"""
Every event on a loop's bus: source `perennial`, a detail type in the past tense, a versioned detail.

An event says what happened, never what to do. Details carry identities and sentences; rows, tokens and
personal data never travel in them.

>>> event = DriftDetected(loop="bikeshare", at="2026-01-01T00:00:00Z", batch_id="b", as_of="2026-01-01T00:00:00Z",
...                       columns=("temp",), reasons=("temp moved",), report_key="reports/drift/b.json")
>>> event.detail_type, event.version
('Drift Detected', 1)
>>> parse(event.detail_type, event.model_dump(mode="json")) == event
True
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, ClassVar, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from perennial.errors import EventInvalid

__all__ = [
    "SOURCE",
    "ApprovalDenied",
    "ApprovalGranted",
    "ApprovalRequested",
    "BatchAccepted",
    "BatchRejected",
    "BusinessFell",
    "CandidateJudged",
    "DataOutage",
    "DatasetFrozen",
    "DriftDetected",
    "Event",
    "LabelsJoined",
    "LabelsRejected",
    "LearningConcluded",
    "LoopPaused",
    "LoopResumed",
    "ModelPromoted",
    "ModelRegistered",
    "ModelRolledBack",
    "PerformanceFell",
    "RetrainingDeclined",
    "RetrainingRequested",
    "RolloutAdvanced",
    "RolloutHeld",
    "RolloutStarted",
    "catalogue",
    "parse",
]

SOURCE = "perennial"


class Event(BaseModel):
    """What every event carries: the loop, when it was said, and the version of its detail."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    detail_type: ClassVar[str] = ""

    version: Literal[1] = 1
    loop: str
    at: AwareDatetime
    loop_digest: str | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.detail_type = re.sub(r"(?<!^)(?=[A-Z])", " ", cls.__name__)


class BatchAccepted(Event):
    """A landed file kept the contract; its accepted rows and its profile are in the lake."""

    batch_id: str
    key: str
    rows: int
    quarantined: int
    first_event_at: datetime | None = None
    last_event_at: datetime | None = None
    profile_key: str


class BatchRejected(Event):
    """A landed file was quarantined as a whole."""

    batch_id: str
    key: str
    rows: int
    reasons: tuple[str, ...]


class LabelsJoined(Event):
    """A label file was accepted and joined to predictions where those exist."""

    labels_id: str
    key: str
    rows: int
    quarantined: int
    as_of: AwareDatetime


class LabelsRejected(Event):
    """A label file was quarantined as a whole."""

    labels_id: str
    key: str
    rows: int
    reasons: tuple[str, ...]


class DriftDetected(Event):
    """A window differs from the champion's reference by more than batches of the reference differ among themselves."""

    batch_id: str
    as_of: AwareDatetime
    columns: tuple[str, ...]
    reasons: tuple[str, ...]
    report_key: str


class PerformanceFell(Event):
    """The champion scores worse on labelled traffic than it did when it was judged."""

    model_version: str
    as_of: AwareDatetime
    metric: str
    value: float
    expected: float
    rows: int
    reasons: tuple[str, ...]


class BusinessFell(Event):
    """The business value per record fell below that of the batches which the champion learnt from."""

    batch_id: str
    model_version: str
    as_of: AwareDatetime
    value: float
    expected: float
    rows: int
    reasons: tuple[str, ...]


class DataOutage(Event):
    """No batch came for longer than the contract allows."""

    last_batch_at: AwareDatetime | None
    expected_every_seconds: int
    reasons: tuple[str, ...]


class RetrainingRequested(Event):
    """A learning run was started."""

    run_id: str
    signal: str
    as_of: AwareDatetime
    reasons: tuple[str, ...]
    execution_arn: str


class RetrainingDeclined(Event):
    """A signal didn't lead to a learning run."""

    signal: str
    as_of: AwareDatetime
    reasons: tuple[str, ...]


class LoopPaused(Event):
    """A person stopped the loop's trigger: nothing starts to learn until it is resumed."""

    paused_by: str
    reasons: tuple[str, ...]


class LoopResumed(Event):
    """A person let the loop's trigger start learning runs again."""

    resumed_by: str


class DatasetFrozen(Event):
    """An immutable dataset version exists."""

    run_id: str
    dataset_id: str
    batches: int
    rows: int
    labelled: int
    label_cutoff_at: AwareDatetime


class CandidateJudged(Event):
    """The gate compared the candidate with the champion."""

    run_id: str
    dataset_id: str
    verdict: Literal["passed", "failed", "inconclusive"]
    metric: str
    candidate: float | None
    champion: float | None
    reasons: tuple[str, ...]


class ModelRegistered(Event):
    """A model version that passed the gate is in the registry."""

    run_id: str
    model_version: str
    model_package_arn: str
    artifact_digest: str


class ApprovalRequested(Event):
    """A person must approve this exact artifact."""

    model_version: str
    artifact_digest: str
    reasons: tuple[str, ...]


class ApprovalGranted(Event):
    """Somebody, or the policy's envelope, approved this exact artifact."""

    model_version: str
    artifact_digest: str
    approved_by: str
    reasons: tuple[str, ...]


class ApprovalDenied(Event):
    """Somebody refused this artifact."""

    model_version: str
    artifact_digest: str
    denied_by: str
    reasons: tuple[str, ...]


class RolloutStarted(Event):
    """A challenger got a variant slot; the champion still takes all traffic."""

    rollout_id: str
    model_version: str
    challenger_slot: str
    champion_slot: str | None
    steps: tuple[float, ...]


class RolloutAdvanced(Event):
    """The challenger's traffic share was changed; `evidence` compares both variants so far."""

    rollout_id: str
    model_version: str
    step: int
    traffic_share: float
    evidence: dict[str, float | int | str | None] = {}
    reasons: tuple[str, ...]


class RolloutHeld(Event):
    """Too little evidence to move on: the step is baked again."""

    rollout_id: str
    model_version: str
    step: int
    traffic_share: float
    evidence: dict[str, float | int | str | None] = {}
    reasons: tuple[str, ...]


class ModelPromoted(Event):
    """The challenger became the champion."""

    rollout_id: str
    model_version: str
    slot: str
    previous_version: str | None
    reasons: tuple[str, ...]


class ModelRolledBack(Event):
    """All traffic went back to the champion."""

    rollout_id: str
    model_version: str
    champion_version: str | None
    cause: Literal["alarm", "analysis", "smoke test", "failure", "person"]
    reasons: tuple[str, ...]


class LearningConcluded(Event):
    """A learning run ended."""

    run_id: str
    outcome: Literal["promoted", "rejected", "rolled back", "denied", "failed", "declined"]
    model_version: str | None = None
    reasons: tuple[str, ...]


def catalogue() -> dict[str, type[Event]]:
    """Every event by its detail type."""
    return {kind.detail_type: kind for kind in Event.__subclasses__()}


def parse(detail_type: str, detail: object) -> Event:
    """
    The typed event of a bus message.

    Raises
    ------
    EventInvalid
        The detail type is unknown, or the detail doesn't fit it.
    """
    kinds = catalogue()
    if detail_type not in kinds:
        raise EventInvalid(f"detail type must be one of {', '.join(sorted(kinds))}. Got {detail_type!r} instead.")
    try:
        return kinds[detail_type].model_validate(detail)
    except ValidationError as error:
        raise EventInvalid(f"{detail_type}: {error}") from error
