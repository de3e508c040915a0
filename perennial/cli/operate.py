"""What a person may ask of a deployed loop: learn now, roll back, approve, reject, pause, resume."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from perennial import keys
from perennial.aws.bus import Bus
from perennial.aws.catalog import Item
from perennial.aws.registry import Registry
from perennial.cli.deployment import Deployment
from perennial.cli.model_choice import choose_model
from perennial.errors import ApprovalRefused, Fenced, PerennialError
from perennial.events import LoopPaused, LoopResumed, parse

__all__ = ["Answered", "Paused", "answer", "ask_retraining", "invoke", "roll_back", "set_paused", "signature"]

# As often as somebody else may change the trigger's state between our reading and our writing it.
_ROUNDS = 10


def invoke(deployment: Deployment, output: str, payload: Mapping[str, Any]) -> Any:
    """
    Call the function that the stacks' output `output` names and give back what it returns.

    Raises
    ------
    PerennialError
        The function failed; the message is its own.
    """
    response = deployment.functions.invoke(FunctionName=deployment[output], Payload=json.dumps(payload).encode())
    said = json.loads(response["Payload"].read() or b"null")
    if response.get("FunctionError"):
        raise PerennialError(f"{deployment[output]} failed: {said.get('errorType')}: {said.get('errorMessage')}")
    return said


def ask_retraining(deployment: Deployment, reason: str, hyperparameters: Mapping[str, str] | None = None) -> Any:
    """Ask the loop to learn now; the trigger's policy still decides, and says why when it declines."""
    payload = {"signal": "manual", "reason": reason, "hyperparameters": dict(hyperparameters or {})}
    return invoke(deployment, "DecideRetrainingFunction", payload)


def roll_back(deployment: Deployment, reason: str) -> Any:
    """Give all traffic to the champion now."""
    return invoke(deployment, "RollBackFunction", {"cause": "person", "reason": reason})


@dataclass(frozen=True, slots=True)
class Answered:
    """
    What became of a person's answer to a request for approval.

    Attributes
    ----------
    status
        "granted" and "denied" are final. "refused": the answer didn't count, `reasons` says why, and somebody else may
        still give another. "waiting": the registry has the answer, the loop hasn't taken it up yet.
    changed
        False: the request had been answered before.
    """

    model_version: str
    status: Literal["granted", "denied", "refused", "waiting"]
    reasons: tuple[str, ...] = ()
    changed: bool = True


def answer(
    deployment: Deployment,
    model: str,
    *,
    approve: bool,
    by: str,
    reason: str,
    now: datetime,
    bundle: str | None = None,
    wait_seconds: float = 60.0,
    pause_seconds: float = 0.5,
) -> Answered:
    """
    Answer a model's request for approval in the registry, then wait for what the loop makes of it.

    The registry is where the answer is given, so that AWS records who gave it; the loop's own rules (not the
    requester, in time, the judged bytes) are applied by settle_approval.

    Parameters
    ----------
    model
        A model version, or the beginning of one.
    bundle
        Digest of the evidence that the approver has read; approval "bundle" asks for it.

    Raises
    ------
    ModelUnknown
        No approval was asked for such a model; says for which it was.
    ApprovalRefused
        The name can't be written into a signature.
    """
    requests = dict(deployment.catalog.query(keys.approval_item(deployment.loop, "")["pk"]))
    version = choose_model(requests, model, what=f"a model of loop {deployment.loop} that approval was asked for")
    request, wanted = requests[version], "granted" if approve else "denied"
    if request.get("status") != "pending":
        return _answered_before(version, request)
    if now >= datetime.fromisoformat(str(request["expires_at"])):
        return Answered(version, "refused", (f"the request's time ended at {request['expires_at']}",), changed=False)
    arn, said = str(request["model_package_arn"]), signature(by, reason, bundle)
    registry = Registry(deployment.sagemaker, deployment["ModelPackageGroupName"])
    (registry.approve if wanted == "granted" else registry.reject)(arn, said)
    deadline = time.monotonic() + wait_seconds
    while (outcome := _outcome(deployment, registry, version, arn)) is None:
        if time.monotonic() >= deadline:
            return Answered(version, "waiting", (f"the registry has the answer of {by}; nobody took it up yet",))
        time.sleep(pause_seconds)
    return outcome


def signature(by: str, reason: str, bundle: str | None = None) -> str:
    """
    An answer as the registry keeps it and settle_approval reads it.

    Raises
    ------
    ApprovalRefused
        `by` is empty, too long or holds what ends a name there.

    >>> signature("ann", "better on every slice")
    'by ann: better on every slice'
    """
    if not by.strip() or len(by) > 200 or ":" in by or "\n" in by:
        raise ApprovalRefused(
            f"the name of who answers must be 1 to 200 characters without a colon. Got {by!r} instead."
        )
    return f"by {by.strip()}: {reason}" + (f" (evidence bundle {bundle})" if bundle else "")


def _answered_before(version: str, request: Item) -> Answered:
    said = request.get("said_approval_granted") or request.get("said_approval_denied") or {}
    status: Literal["granted", "denied"] = "granted" if request.get("status") == "granted" else "denied"
    who = said.get("approved_by") or said.get("denied_by") or "somebody"
    return Answered(version, status, (f"{status} before, by {who}", *said.get("reasons", ())), changed=False)


def _outcome(deployment: Deployment, registry: Registry, version: str, arn: str) -> Answered | None:
    """What the loop made of the answer; None while it hasn't made anything of it."""
    request = deployment.catalog.get(keys.approval_item(deployment.loop, version)) or {}
    if request.get("status") in ("granted", "denied"):
        status: Literal["granted", "denied"] = "granted" if request["status"] == "granted" else "denied"
        said = request.get(f"said_approval_{status}") or {}
        return Answered(version, status, tuple(said.get("reasons", ())))
    package = registry.describe(arn)
    if package.approval == "PendingManualApproval":
        return Answered(version, "refused", (package.description,))
    return None


@dataclass(frozen=True, slots=True)
class Paused:
    """Whether the loop's trigger is paused now, why, and whether this call changed it."""

    paused: bool
    reason: str | None
    changed: bool


def set_paused(deployment: Deployment, *, paused: bool, by: str, reason: str, now: datetime) -> Paused:
    """
    Pause the loop's trigger, or resume it: nothing starts to learn meanwhile; a run under way goes on.

    Data is validated, watched and served all the same.

    Raises
    ------
    Fenced
        Others kept changing the trigger's state.
    """
    item = keys.trigger_item(deployment.loop)
    for _ in range(_ROUNDS):
        kept, version = deployment.catalog.get_versioned(item)
        if bool(kept.get("paused")) == paused:
            _announce_pause(deployment, kept)
            return Paused(paused, kept.get("paused_reason"), changed=False)
        told = f"{by}: {reason}" if paused else None
        event = (
            LoopPaused(loop=deployment.loop, at=now, paused_by=by, reasons=(reason,))
            if paused
            else LoopResumed(loop=deployment.loop, at=now, resumed_by=by)
        )
        said = {"detail_type": event.detail_type, "detail": event.model_dump(mode="json")}
        following = {**kept, "paused": paused, "paused_reason": told, "said_paused": said}
        if deployment.catalog.put_version(item, following, expected=version, token=f"person#{by}#{version}#{paused}"):
            _announce_pause(deployment, following)
            return Paused(paused, told, changed=True)
    raise Fenced(f"the trigger's state must stand still for a moment. Got {_ROUNDS} changes by others instead.")


def _announce_pause(deployment: Deployment, kept: Item) -> None:
    """Say what is kept: if the first call died before it spoke, the next one says the same, which is heard once."""
    if said := kept.get("said_paused"):
        Bus(deployment.client("events"), deployment["BusName"]).announce(parse(said["detail_type"], said["detail"]))
