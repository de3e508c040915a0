"""
Who may let a model through, and what an approval is worth: one artifact, once, by somebody else, in time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from perennial.errors import ApprovalRefused, ArtifactChanged
from perennial.evaluation import Evaluation
from perennial.gate import Verdict, explanation_shift
from perennial.metrics import gain
from perennial.policy import Policy, Seconds, spelled

__all__ = [
    "ApprovalGrant",
    "ApprovalRequest",
    "ApprovalRoute",
    "Envelope",
    "GovernancePolicy",
    "grant",
    "route",
]


class Envelope(Policy):
    """`[governance.envelope]`: the bounds inside which approval may be automatic; outside, a person decides."""

    max_gain: Annotated[float, Field(gt=0.0)] | None = Field(
        default=None, description="A gain too good to be true (a leak) is looked at by a person."
    )
    max_explanation_shift: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    min_rows: Annotated[int, Field(ge=1)] | None = None
    first_model: bool = True


class GovernancePolicy(Policy):
    """`[governance]`: automatic, by a person, or by a person who quotes the digest of the whole evidence bundle."""

    approval: Literal["auto", "manual", "bundle"] = "auto"
    envelope: Envelope = Envelope()
    timeout_seconds: Annotated[Seconds, Field(ge=60, le=365 * 86400)] = spelled(604800, "timeout", "timeout_seconds")


@dataclass(frozen=True, slots=True)
class ApprovalRoute:
    """Who decides."""

    by: Literal["policy", "person"]
    reasons: tuple[str, ...]


class ApprovalRequest(BaseModel):
    """One request: for one artifact, open until it is answered or expires."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    model_version: str
    artifact_digest: str
    requested_by: str
    requested_at: AwareDatetime
    expires_at: AwareDatetime
    bundle_digest: str | None = None
    status: Literal["pending", "granted", "denied", "expired"] = "pending"


@dataclass(frozen=True, slots=True)
class ApprovalGrant:
    """An approval that counts."""

    model_version: str
    artifact_digest: str
    approved_by: str
    approved_at: datetime
    reasons: tuple[str, ...]


def route(verdict: Verdict, evaluation: Evaluation, policy: GovernancePolicy) -> ApprovalRoute:
    """
    Whether the policy may approve by itself, or a person must.

    Raises
    ------
    ApprovalRefused
        The gate didn't pass it, or passed another artifact: nobody can approve that.
    """
    if verdict.verdict != "passed":
        raise ApprovalRefused(f"a model must have passed the gate to be approved. Got {verdict.verdict!r} instead.")
    if verdict.artifact_digest != evaluation.artifact_digest:
        raise ArtifactChanged(
            f"the approved artifact must be the judged one, {verdict.artifact_digest}. "
            f"Got {evaluation.artifact_digest} instead."
        )
    if policy.approval != "auto":
        return ApprovalRoute("person", (f"governance: approval is {policy.approval}",))
    outside = _outside(verdict, evaluation, policy.envelope)
    if outside:
        return ApprovalRoute("person", outside)
    return ApprovalRoute("policy", ("governance: inside the envelope of automatic approval",))


def _outside(verdict: Verdict, evaluation: Evaluation, envelope: Envelope) -> tuple[str, ...]:
    reasons = []
    judged = evaluation.candidate.overall.get(verdict.metric)
    if envelope.min_rows is not None and (judged is None or judged.rows < envelope.min_rows):
        reasons.append(f"envelope: judged on fewer than {envelope.min_rows} rows")
    if evaluation.champion is None:
        return tuple(reasons) if envelope.first_model else (*reasons, "envelope: the first model needs a person")
    if envelope.max_gain is not None:
        better = (
            math.nan
            if verdict.candidate is None or verdict.champion is None
            else gain(verdict.metric, candidate=verdict.candidate, champion=verdict.champion)
        )
        if not better <= envelope.max_gain:
            reasons.append(f"envelope: a gain of {better:.4g} exceeds {envelope.max_gain:.4g}: too good to be true?")
    if envelope.max_explanation_shift is not None:
        shift = explanation_shift(evaluation.importances, evaluation.champion_importances)
        if shift > envelope.max_explanation_shift:
            reasons.append(f"envelope: {shift:.0%} of importance moved, at most {envelope.max_explanation_shift:.0%}")
    return tuple(reasons)


def grant(
    request: ApprovalRequest,
    approver: str,
    digest: str,
    *,
    now: datetime,
    policy: GovernancePolicy,
    bundle_digest: str | None = None,
    reason: str = "",
) -> ApprovalGrant:
    """
    The approval of `request` by `approver`, for the artifact with `digest`, if it counts.

    Raises
    ------
    ApprovalRefused
        It was answered before, is past its time, was asked for by the approver, or (mode "bundle") quotes no or
        another evidence bundle.
    ArtifactChanged
        The artifact isn't the one that approval was asked for.
    """
    name = approver.strip()
    if request.status != "pending":
        raise ApprovalRefused(f"a request must be pending to be approved. Got {request.status!r} instead: replay?")
    if now >= request.expires_at:
        raise ApprovalRefused(f"an approval must come before {request.expires_at.isoformat()}. It is too late.")
    if not name:
        raise ApprovalRefused("an approval must name its approver. Got nobody instead.")
    if name.casefold() == request.requested_by.strip().casefold():
        raise ApprovalRefused(f"an approver must be somebody else than the requester. Got {approver!r} for both.")
    if digest != request.artifact_digest:
        raise ArtifactChanged(
            f"the approved artifact must be {request.artifact_digest}. Got {digest} instead: ask for approval again."
        )
    if policy.approval == "bundle" and (bundle_digest is None or bundle_digest != request.bundle_digest):
        raise ApprovalRefused(
            f"an approval must quote the evidence bundle {request.bundle_digest}. Got {bundle_digest} instead."
        )
    told = reason.strip() or f"approved by {name}"
    return ApprovalGrant(request.model_version, request.artifact_digest, name, now, (told,))
