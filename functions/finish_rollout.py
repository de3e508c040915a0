"""
The challenger becomes the champion: the live pointer moves, the lock is released.

Trigger: rollout machine. Announces: Model Promoted. Raises Fenced, EndpointDiverged.

AWS actions
-----------
- endpoint: sagemaker:DescribeEndpoint, sagemaker:UpdateEndpointWeightsAndCapacities
- lake bucket: s3:GetObject on the loop's file asset
- catalog table: dynamodb:GetItem, PutItem on `live`, `locks`; dynamodb:GetItem, UpdateItem on `models`, `rollouts`
- bus: events:PutEvents
- keys of those: kms:Decrypt
"""

from __future__ import annotations

from typing import Any

from functions import _shell
from functions._shell import Shell
from perennial import keys
from perennial.aws.live import LivePointer, LiveState
from perennial.aws.locks import ROLLOUT_LOCK, Lock
from perennial.errors import EndpointBusy, EndpointDiverged, Fenced
from perennial.events import ModelPromoted
from perennial.rollout import RolloutPlan

__all__ = ["Settings", "handler", "run"]


class Settings(_shell.Settings):
    """The environment of finish_rollout."""

    endpoint_name: str


def run(event: dict[str, Any], shell: Shell[Settings]) -> dict[str, Any]:
    """Move the pointer (the one moment that decides), then the rest of the weight, then tell and free the lock."""
    plan = RolloutPlan.model_validate(event["plan"])
    reasons = tuple((event.get("step") or {}).get("reasons") or ("rollout: every step passed",))
    pointer = LivePointer(shell.catalog, shell.settings.loop_name)
    state = pointer.read()
    former = state.live.champion.model_version if state.live.champion else None
    if former != plan.model_version:
        _require_planned_endpoint(plan, shell)
        Lock(shell.catalog, keys.lock_item(shell.settings.loop_name, ROLLOUT_LOCK)).check(
            plan.rollout_id, plan.fencing_token
        )
        _record(plan, former, reasons, shell)
        state = pointer.change(f"{plan.rollout_id}#promoted", lambda now: _promoted(now, plan))
    _settle_weights(plan, shell)
    _tell(plan, shell)
    Lock(shell.catalog, keys.lock_item(shell.settings.loop_name, ROLLOUT_LOCK)).release(plan.rollout_id)
    return _ended(plan)


def _promoted(state: LiveState, plan: RolloutPlan) -> LiveState | None:
    """
    The pointer with the challenger as champion.

    Raises
    ------
    Fenced
        The rollout was rolled back, or another one has begun: nothing of ours counts any more.
    """
    if state.live.champion is not None and state.live.champion.model_version == plan.model_version:
        return None
    if state.rollout is None or not state.holds(plan.rollout_id) or state.rollout.status != "in progress":
        status = state.rollout.status if state.rollout and state.holds(plan.rollout_id) else "not in progress"
        raise Fenced(f"rollout {plan.rollout_id} must be in progress to be finished. Got {status} instead.")
    return state.promoted(keep_previous=plan.keep_previous)


def _require_planned_endpoint(plan: RolloutPlan, shell: Shell[Settings]) -> None:
    state = shell.endpoint(shell.settings.endpoint_name).state()
    if state is not None and state.changing:
        raise EndpointBusy(f"{plan.endpoint_name} must be InService. Got {state.status} instead.")
    if state is None or state.config_name != plan.endpoint_config_name or state.variant(plan.challenger_slot) is None:
        found = "no endpoint" if state is None else state.config_name
        raise EndpointDiverged(f"the endpoint must serve {plan.endpoint_config_name}. Got {found} instead.")


def _settle_weights(plan: RolloutPlan, shell: Shell[Settings]) -> None:
    """The former champion gives up its last share only after the pointer has moved: some champion serves throughout."""
    if plan.champion_slot is None:
        return
    endpoint = shell.endpoint(shell.settings.endpoint_name)
    weights = {plan.challenger_slot: 1.0, plan.champion_slot: 0.0}
    state = endpoint.state()
    if state is None or state.variant(plan.champion_slot) is None or state.settled_at(weights):
        return
    endpoint.set_weights(weights)


def _record(plan: RolloutPlan, former: str | None, reasons: tuple[str, ...], shell: Shell[Settings]) -> None:
    """What the end will be told with, kept before the pointer moves: afterwards the former champion isn't known."""
    shell.catalog.update(
        keys.rollout_item(shell.settings.loop_name, plan.rollout_id), {"former": former or "", "reasons": list(reasons)}
    )


def _tell(plan: RolloutPlan, shell: Shell[Settings]) -> None:
    name, key = shell.settings.loop_name, keys.rollout_item(shell.settings.loop_name, plan.rollout_id)
    recorded = shell.catalog.get(key) or {}
    former = recorded.get("former") or None
    shell.catalog.update(key, {"status": "promoted"})
    shell.catalog.update(keys.model_item(name, plan.model_version), {"status": "champion"})
    if former is not None:
        shell.catalog.update(keys.model_item(name, former), {"status": "retired"})
    shell.announce_once(
        key,
        ModelPromoted(
            loop=name,
            loop_digest=shell.loop.digest,
            at=shell.now(),
            rollout_id=plan.rollout_id,
            model_version=plan.model_version,
            slot=plan.challenger_slot,
            previous_version=former,
            reasons=tuple(recorded.get("reasons", ())),
        ),
    )
    if recorded.get("status") != "promoted":
        shell.metrics.add("ModelsPromoted", 1)
    shell.logger.info({"event": "promoted", "run_id": plan.rollout_id, "model_version": plan.model_version})


def _ended(plan: RolloutPlan) -> dict[str, Any]:
    """What the machine does next: the former champion's variant is retired unless it is kept warm."""
    kept = [variant for variant in plan.production_variants if variant["VariantName"] == plan.challenger_slot]
    return {
        "status": "promoted",
        "rollout_id": plan.rollout_id,
        "retire": plan.champion_slot is not None and not plan.keep_previous,
        "endpoint_name": plan.endpoint_name,
        "endpoint_config_name": plan.retired_config_name,
        # A variant's weight in a configuration of one is its whole traffic, but 0 would mean none.
        "production_variants": [{**variant, "InitialVariantWeight": 1.0} for variant in kept],
    }


handler = _shell.lambda_handler(Settings, run)
