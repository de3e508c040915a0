"""
The plan of one rollout: lock, slots, endpoint configuration, steps.

Trigger: rollout machine. Announces: Rollout Started. Raises LockHeld, ArtifactChanged, ApprovalRefused,
EndpointBusy, EndpointDiverged.

AWS actions
-----------
- endpoint and its configurations: sagemaker:DescribeEndpoint
- lake bucket: s3:GetObject on `approved/*` and the loop's file asset; s3:ListBucket
- catalog table: dynamodb:GetItem on `models`; dynamodb:GetItem, PutItem on `live`, `locks`; dynamodb:GetItem,
  PutItem, UpdateItem on `rollouts`
- bus: events:PutEvents
- keys of those: kms:Decrypt
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from functions import _shell
from functions._shell import Shell
from perennial import keys
from perennial.aws.catalog import Item
from perennial.aws.endpoint import DEPLOYMENT_TAG, VERSION_TAG
from perennial.aws.live import LivePointer, LiveState
from perennial.aws.locks import ROLLOUT_LOCK, Lock
from perennial.errors import ApprovalRefused, ArtifactChanged, EndpointBusy
from perennial.events import RolloutStarted
from perennial.rollout import RolloutPlan, plan

__all__ = ["Request", "Settings", "handler", "run"]

# Beyond all bakes and holds: creating instances, waiting for them, retiring the slot.
MARGIN_SECONDS = 4 * 3600


class Settings(_shell.Settings):
    """The environment of prepare_rollout."""

    endpoint_name: str
    image_uri: str
    # Tags of everything the rollout creates, beside those that name the loop and the model version.
    tags: Mapping[str, str] = Field(default_factory=dict)


class Request(BaseModel):
    """The rollout machine's input."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    rollout_id: str
    model_version: str
    model_data_url: str
    artifact_digest: str


def run(event: dict[str, Any], shell: Shell[Settings]) -> dict[str, Any]:
    """Check that this exact artifact may serve, take the lock, write the plan; the same plan when asked again."""
    request = Request.model_validate(event)
    name = shell.settings.loop_name
    item = keys.rollout_item(name, request.rollout_id)
    standing = shell.catalog.get(item)
    if standing is None:
        standing = _begin(request, _required_approval(request, shell), shell)
        shell.catalog.put_new(item, standing, token=request.rollout_id)
        standing = shell.catalog.get(item) or standing
    planned = RolloutPlan.model_validate(standing["plan"])
    LivePointer(shell.catalog, name).change(
        f"{request.rollout_id}#start", lambda state: _started(state, planned, request, shell)
    )
    shell.announce_once(item, _announcement(planned, shell))
    shell.logger.info({"event": "rollout prepared", "run_id": request.rollout_id, "slot": planned.challenger_slot})
    return planned.model_dump(mode="json")


def _required_approval(request: Request, shell: Shell[Settings]) -> Item:
    """The record of what passed the gate and was approved, with the very bytes that were judged (P21, P25)."""
    model = shell.catalog.get(keys.model_item(shell.settings.loop_name, request.model_version)) or {}
    if model.get("verdict") != "passed" or model.get("approved_digest") != request.artifact_digest:
        raise ApprovalRefused(
            f"model {request.model_version} must be approved for artifact {request.artifact_digest}. "
            f"Got status {model.get('status', 'unknown')!r} instead."
        )
    if request.model_data_url != shell.lake.uri(keys.approved_key(request.artifact_digest)):
        raise ArtifactChanged(
            f"a model must be served from {keys.approved_key('<digest>')}. Got another place instead."
        )
    found = shell.digest_of(request.model_data_url)
    if found != request.artifact_digest:
        raise ArtifactChanged(f"the artifact must be {request.artifact_digest}. Got {found} instead.")
    return model


def _begin(request: Request, model: Item, shell: Shell[Settings]) -> dict[str, Any]:
    """The rollout's record: lock taken, endpoint looked at, plan made."""
    settings, now, policy = shell.settings, shell.now(), shell.loop.rollout
    lease = len(policy.shares) * policy.bake_seconds * (policy.max_holds + 1) + MARGIN_SECONDS
    lock = Lock(shell.catalog, keys.lock_item(settings.loop_name, ROLLOUT_LOCK))
    token = lock.acquire(request.rollout_id, now=now, lease_seconds=lease)
    endpoint = shell.endpoint(settings.endpoint_name).state()
    if endpoint is not None and endpoint.changing:
        raise EndpointBusy(f"{settings.endpoint_name} must be InService. Got {endpoint.status} instead.")
    live = LivePointer(shell.catalog, settings.loop_name).read().live
    planned = plan(
        loop=settings.loop_name,
        stage=settings.stage,
        rollout_id=request.rollout_id,
        model_version=request.model_version,
        model_data_url=request.model_data_url,
        artifact_digest=request.artifact_digest,
        model_digest=str(model["model_digest"]),
        image_uri=settings.image_uri,
        live=live.model_copy(
            update={
                "endpoint_exists": endpoint is not None,
                "endpoint_failed": endpoint is not None and endpoint.failed,
            }
        ),
        policy=policy,
        fencing_token=token,
        endpoint_name=settings.endpoint_name,
        capture_uri=shell.lake.uri(keys.CAPTURE_PREFIX.rstrip("/")),
        tags={**settings.tags, DEPLOYMENT_TAG: settings.deployment_name, VERSION_TAG: request.model_version},
    )
    return {
        "plan": planned.model_dump(mode="json"),
        "model_data_url": request.model_data_url,
        "status": "in progress",
        "started_at": now.isoformat(),
    }


def _announcement(planned: RolloutPlan, shell: Shell[Settings]) -> RolloutStarted:
    return RolloutStarted(
        loop=shell.settings.loop_name,
        loop_digest=shell.loop.digest,
        at=shell.now(),
        rollout_id=planned.rollout_id,
        model_version=planned.model_version,
        challenger_slot=planned.challenger_slot,
        champion_slot=planned.champion_slot,
        steps=planned.steps,
    )


def _started(state: LiveState, planned: RolloutPlan, request: Request, shell: Shell[Settings]) -> LiveState | None:
    if state.holds(planned.rollout_id):
        return None
    Lock(shell.catalog, keys.lock_item(shell.settings.loop_name, ROLLOUT_LOCK)).check(
        planned.rollout_id, planned.fencing_token
    )
    return state.starting(planned, model_data_url=request.model_data_url, now=shell.now())


handler = _shell.lambda_handler(Settings, run)
