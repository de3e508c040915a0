"""An answer to a request for approval, from whomever: on record, announced, and handed to the machine that waits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from perennial import keys
from perennial.aws.catalog import Catalog
from perennial.aws.executions import Executions
from perennial.events import ApprovalDenied, ApprovalGranted, Event
from perennial.keys import TableKey

__all__ = ["Answer", "settle"]


@dataclass(frozen=True, slots=True)
class Answer:
    """Who said yes or no to which artifact, and why; `by` is "policy" where nobody had to be asked."""

    loop: str
    loop_digest: str
    at: datetime
    model_version: str
    artifact_digest: str
    approved: bool
    by: str
    reasons: tuple[str, ...]
    task_token: str


def settle(
    answer: Answer, *, catalog: Catalog, announce_once: Callable[[TableKey, Event], Event], executions: Executions
) -> None:
    """
    The model's item first, then the event, then the machine, which must find what it goes on with.

    Each step may be done again: the request stays open until the last one is done.
    """
    request = keys.approval_item(answer.loop, answer.model_version)
    known: dict[str, object]
    if answer.approved:
        known = {"status": "approved", "approved_digest": answer.artifact_digest, "approved_by": answer.by}
    else:
        known = {"status": "denied", "status_reasons": list(answer.reasons)}
    catalog.update(keys.model_item(answer.loop, answer.model_version), known)
    announce_once(request, _event(answer))
    told = {"approved": answer.approved, "by": answer.by, "reasons": list(answer.reasons)}
    executions.answer(answer.task_token, told)
    catalog.update(request, {"status": "granted" if answer.approved else "denied"})


def _event(answer: Answer) -> ApprovalGranted | ApprovalDenied:
    if answer.approved:
        return ApprovalGranted(
            loop=answer.loop,
            loop_digest=answer.loop_digest,
            at=answer.at,
            model_version=answer.model_version,
            artifact_digest=answer.artifact_digest,
            approved_by=answer.by,
            reasons=answer.reasons,
        )
    return ApprovalDenied(
        loop=answer.loop,
        loop_digest=answer.loop_digest,
        at=answer.at,
        model_version=answer.model_version,
        artifact_digest=answer.artifact_digest,
        denied_by=answer.by,
        reasons=answer.reasons,
    )
