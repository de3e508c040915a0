"""
Events as sentences that a person understands.

>>> from perennial.events import BatchRejected
>>> event = BatchRejected(loop="b", at="2026-01-01T00:00:00Z", batch_id="b1", key="batches/w.csv", rows=168,
...                       reasons=("61% of the rows break the contract",))
>>> tell(event)
'w.csv quarantined whole (168 rows): 61% of the rows break the contract'
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from perennial import events as happened
from perennial.events import Event

__all__ = ["tell"]


def _name(key: str) -> str:
    return key.rsplit("/", 1)[-1]


def _why(reasons: tuple[str, ...], most: int = 3) -> str:
    more = f" (and {len(reasons) - most} more)" if len(reasons) > most else ""
    return "; ".join(reasons[:most]) + more


def _short(model_version: str | None) -> str:
    return model_version[:8] if model_version else "none"


def _batch_accepted(event: happened.BatchAccepted) -> str:
    quarantined = f", {event.quarantined} rows quarantined" if event.quarantined else ""
    return f"{_name(event.key)} accepted: {event.rows} rows{quarantined}"


def _judged(event: happened.CandidateJudged) -> str:
    candidate = "no value" if event.candidate is None else f"{event.candidate:.3f}"
    champion = "no champion" if event.champion is None else f"champion {event.champion:.3f}"
    return f"gate {event.verdict}: {event.metric} {candidate} against {champion}; {_why(event.reasons)}"


def _evidence(evidence: dict[str, Any]) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} {value:.4g}" if isinstance(value, float) else f"{name.replace('_', ' ')} {value}"
        for name, value in evidence.items()
        if value is not None
    )


def _step(word: str) -> Callable[[Any], str]:
    def sentence(event: Any) -> str:
        seen = f" [{_evidence(event.evidence)}]" if event.evidence else ""
        return f"challenger {word} {event.traffic_share:.0%} of traffic: {_why(event.reasons)}{seen}"

    return sentence


_SENTENCES: dict[type[Event], Callable[[Any], str]] = {
    happened.BatchAccepted: _batch_accepted,
    happened.BatchRejected: lambda e: f"{_name(e.key)} quarantined whole ({e.rows} rows): {_why(e.reasons)}",
    happened.LabelsJoined: lambda e: f"{_name(e.key)} joined: {e.rows} labels",
    happened.LabelsRejected: lambda e: f"{_name(e.key)} quarantined whole ({e.rows} labels): {_why(e.reasons)}",
    happened.DriftDetected: lambda e: f"drift in {', '.join(e.columns)}: {_why(e.reasons)}",
    happened.PerformanceFell: lambda e: (
        f"{e.metric} fell to {e.value:.3f} where {e.expected:.3f} was expected over {e.rows} rows: {_why(e.reasons)}"
    ),
    happened.BusinessFell: lambda e: (
        f"business value fell to {e.value:.4g} a record where {e.expected:.4g} was expected: {_why(e.reasons)}"
    ),
    happened.DataOutage: lambda e: f"no data: {_why(e.reasons)}",
    happened.RetrainingRequested: lambda e: f"retraining starts ({e.signal}): {_why(e.reasons)}",
    happened.RetrainingDeclined: lambda e: f"no retraining ({e.signal}): {_why(e.reasons)}",
    happened.LoopPaused: lambda e: f"paused by {e.paused_by}: {_why(e.reasons)}",
    happened.LoopResumed: lambda e: f"resumed by {e.resumed_by}",
    happened.DatasetFrozen: lambda e: (
        f"dataset {_short(e.dataset_id)} frozen: {e.batches} batches, {e.rows} rows, {e.labelled} labelled"
    ),
    happened.CandidateJudged: _judged,
    happened.ModelRegistered: lambda e: f"model {_short(e.model_version)} registered",
    happened.ApprovalRequested: lambda e: f"model {_short(e.model_version)} waits for a person: {_why(e.reasons)}",
    happened.ApprovalGranted: lambda e: (
        f"model {_short(e.model_version)} approved by {e.approved_by}: {_why(e.reasons)}"
    ),
    happened.ApprovalDenied: lambda e: f"model {_short(e.model_version)} refused by {e.denied_by}: {_why(e.reasons)}",
    happened.RolloutStarted: lambda e: (
        f"model {_short(e.model_version)} goes into slot {e.challenger_slot}; steps "
        + ", ".join(f"{step:.0%}" for step in e.steps)
    ),
    happened.RolloutAdvanced: _step("takes"),
    happened.RolloutHeld: _step("stays at"),
    happened.ModelPromoted: lambda e: (
        f"model {_short(e.model_version)} is the champion in slot {e.slot} (before: {_short(e.previous_version)})"
    ),
    happened.ModelRolledBack: lambda e: (
        f"model {_short(e.model_version)} rolled back ({e.cause}); champion {_short(e.champion_version)} keeps all "
        f"traffic: {_why(e.reasons)}"
    ),
    happened.LearningConcluded: lambda e: f"learning run {_short(e.run_id)} ended: {e.outcome}. {_why(e.reasons)}",
}


def tell(event: Event) -> str:
    """One sentence about `event`."""
    return _SENTENCES[type(event)](event)
