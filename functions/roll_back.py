"""
All traffic back to the champion, from the catalog and SageMaker alone.

Trigger: rollout machine; the Lambda action of a slot's composite alarm (asynchronous); a person with
{"cause": "person", "reason": ...}.
Announces: Model Rolled Back. Raises EndpointBusy while the endpoint is Updating, so that whoever called tries
again.

AWS actions
-----------
- endpoint: sagemaker:DescribeEndpoint, sagemaker:UpdateEndpointWeightsAndCapacities
- catalog table: dynamodb:GetItem, PutItem on `live`, `locks`; dynamodb:GetItem, UpdateItem on `models`, `rollouts`
- bus: events:PutEvents
- cloudwatch:DescribeAlarms (takes no resource), only where a composite alarm doesn't say which alarm set it off
- keys of those: kms:Decrypt
- lambda permission: lambda.alarms.cloudwatch.amazonaws.com with SourceArn of the alarm
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import BaseModel, ConfigDict, Field

from functions import _shell
from functions._shell import Shell
from perennial import failures, keys
from perennial.aws.live import InProgress, LivePointer, LiveState
from perennial.aws.locks import ROLLOUT_LOCK, Lock
from perennial.aws.metrics import alarm_states
from perennial.errors import EndpointBusy
from perennial.events import ModelRolledBack

__all__ = ["Settings", "handler", "run"]

Cause = Literal["alarm", "analysis", "smoke test", "failure", "person"]
# Clocks of CloudWatch and of the function may differ by this much.
CLOCK_SKEW = timedelta(seconds=60)


class Settings(_shell.Settings):
    """The environment of roll_back."""

    endpoint_name: str
    # Guardrail alarms of each slot, by name: an alarm of the champion's slot doesn't roll a challenger back.
    alarm_names: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    # While SageMaker changes the endpoint it takes no other change: asked again so often before whoever called must.
    busy_attempts: int = 20
    busy_wait_seconds: float = 3.0
    # After an alarm the weights are watched for so long: the machine may just have sent others.
    watch_seconds: float = 30.0


class Order(BaseModel):
    """Who wants to roll back what, and why."""

    model_config = ConfigDict(frozen=True)

    cause: Cause
    reasons: tuple[str, ...]
    # None: whatever rollout is in progress.
    rollout_id: str | None = None
    # The machine ends with this call: lock and slot are free afterwards.
    closes: bool = False
    # False: an alarm that has ended.
    rings: bool = True
    # The slots' alarms that rang, as far as CloudWatch says.
    alarm_names: tuple[str, ...] = ()
    alarm_at: datetime | None = None


def run(event: dict[str, Any], shell: Shell[Settings]) -> dict[str, Any]:
    """Stop the rollout in the live pointer first, so that nothing advances it; then turn the traffic; then tell."""
    order = _with_ringing(_parse(event), shell)
    pointer = LivePointer(shell.catalog, shell.settings.loop_name)
    state = pointer.read()
    if state.rollout is None and order.cause == "person":
        return _back_to_previous(order, state, pointer, shell)
    against = _not_ours(order, state, shell.settings)
    if against is not None:
        said = {"event": "nothing to roll back", "reason": against, "cause": order.cause, "because": order.reasons}
        shell.logger.warning(said)
        _abandon(order, state, shell)
        return _ended(order, state, shell) | {"reason": against, "alarms": list(order.alarm_names)}
    rollout = state.rollout
    assert rollout is not None
    pointer.change(f"{rollout.rollout_id}#rolling-back", lambda now: _marked(now, rollout.rollout_id, "rolling back"))
    _turn_traffic(rollout, shell)
    state = pointer.change(
        f"{rollout.rollout_id}#rolled-back", lambda now: _marked(now, rollout.rollout_id, "rolled back")
    )
    _tell(order, rollout, state, shell)
    if order.cause == "alarm" and not order.closes:
        _watch(rollout, pointer, shell)
    if order.closes:
        _close(rollout, pointer, shell)
    return _ended(order, state, shell)


def _parse(event: dict[str, Any]) -> Order:
    """The machine's, the alarm's or a person's way of asking."""
    if "alarmData" in event:
        alarm = event["alarmData"]
        return Order(
            cause="alarm",
            reasons=(f"alarm: {alarm['alarmName']}: {alarm['state'].get('reason', '')}"[:500],),
            rings=alarm["state"]["value"] == "ALARM",
            alarm_names=_ringing(alarm),
            alarm_at=datetime.fromisoformat(event["time"]) if event.get("time") else None,
        )
    collected = event.get("state") or {}
    plan = event.get("plan") or collected.get("plan") or {}
    error = event.get("error") or {}
    told = tuple(event.get("reasons") or ()) or tuple((event.get("step") or {}).get("reasons") or ())
    if not told and event.get("reason"):
        told = (str(event["reason"]),)
    if not told:
        told = failures.rollout_reasons(collected) if collected else (failures.sentence(error),)
    cause: Cause = event.get("cause") or (event.get("step") or {}).get("cause") or "failure"
    if error.get("Error") == "SmokeTestFailed":
        cause = "smoke test"
    rollout_id = plan.get("rollout_id") or event.get("rollout_id")
    return Order(cause=cause, reasons=told, rollout_id=rollout_id, closes=rollout_id is not None)


def _ringing(alarm: Mapping[str, Any]) -> tuple[str, ...]:
    """
    Names of the alarms behind an alarm's message: a metric alarm itself, a composite alarm's triggering alarms.

    See "Composite alarm" in "Invoke a Lambda function from an alarm" of CloudWatch's user guide (2026-11): the
    triggers are JSON inside of JSON. None where they can't be read.
    """
    if "alarmRule" not in alarm.get("configuration", {}):
        return (str(alarm["alarmName"]),)
    try:
        triggers = json.loads(alarm["state"].get("reasonData") or "{}").get("triggeringAlarms", [])
        ringing = [one["arn"] for one in triggers if one.get("state", {}).get("value", "ALARM") == "ALARM"]
    except (ValueError, TypeError, AttributeError, KeyError):
        return ()
    return tuple(sorted(arn.partition(":alarm:")[2] for arn in ringing))


def _with_ringing(order: Order, shell: Shell[Settings]) -> Order:
    """Asks CloudWatch which of the slots' alarms ring, where an alarm's message doesn't say it."""
    if order.cause != "alarm" or order.rollout_id is not None or not order.rings or order.alarm_names:
        return order
    watched = [name for names in shell.settings.alarm_names.values() for name in names]
    try:
        found = alarm_states(shell.clients.cloudwatch, watched).in_alarm
    except (ClientError, BotoCoreError) as error:
        # In doubt it is the challenger's: rolling back must not need CloudWatch.
        shell.logger.warning({"event": "alarms could not be asked", "error": type(error).__name__})
        return order
    return order.model_copy(update={"alarm_names": found})


def _not_ours(order: Order, state: LiveState, settings: Settings) -> str | None:
    """Why this order isn't about the rollout in progress; in doubt it is."""
    if not order.rings:
        return "the alarm isn't in ALARM"
    rollout = state.rollout
    if rollout is None:
        return "no rollout is in progress"
    if order.rollout_id is not None and order.rollout_id != rollout.rollout_id:
        return f"rollout {order.rollout_id} isn't the one in progress"
    champions = settings.alarm_names.get(rollout.champion_slot or "", ())
    if order.alarm_names and set(order.alarm_names) <= set(champions):
        return f"only the champion's alarms ring: {', '.join(order.alarm_names)}"
    if order.alarm_at is not None and order.alarm_at < rollout.started_at - CLOCK_SKEW:
        return "the alarm is older than the rollout"
    return None


def _marked(state: LiveState, rollout_id: str, status: Literal["rolling back", "rolled back"]) -> LiveState | None:
    if not state.holds(rollout_id):
        return None
    assert state.rollout is not None
    if state.rollout.status in (status, "rolled back"):
        return None
    return state.marked(status)


def _turn_traffic(rollout: InProgress, shell: Shell[Settings]) -> None:
    """The endpoint's own truth decides whether there is anything to turn, however often this is called (P31)."""
    if rollout.champion_slot is not None:
        _set_weights({rollout.champion_slot: 1.0, rollout.challenger_slot: 0.0}, shell)


def _set_weights(weights: Mapping[str, float], shell: Shell[Settings]) -> None:
    """
    Asks until SageMaker has taken the weights.

    Raises
    ------
    EndpointBusy
        It was Updating all the while: the caller's own retry goes on (Lambda's, or the state machine's).
    """
    settings, endpoint = shell.settings, shell.endpoint(shell.settings.endpoint_name)
    for attempt in range(settings.busy_attempts):
        state = endpoint.state()
        if state is None or any(state.variant(name) is None for name in weights):
            # No endpoint, or the configuration before this rollout: the challenger has no variant that takes traffic.
            return None
        if state.settled_at(weights):
            return None
        if not state.changing:
            try:
                return endpoint.set_weights(weights)
            except EndpointBusy:
                shell.logger.info({"event": "endpoint is busy", "attempt": attempt})
        shell.sleep(settings.busy_wait_seconds)
    raise EndpointBusy(
        f"{settings.endpoint_name} must be InService to turn traffic. Got Updating all the while instead."
    )


def _watch(rollout: InProgress, pointer: LivePointer, shell: Shell[Settings]) -> None:
    """Turn the traffic again where the machine's weights came after ours; ends when the machine has closed."""
    until = shell.now() + timedelta(seconds=shell.settings.watch_seconds)
    while shell.now() < until and pointer.read().holds(rollout.rollout_id):
        shell.sleep(shell.settings.busy_wait_seconds)
        _turn_traffic(rollout, shell)


def _tell(order: Order, rollout: InProgress, state: LiveState, shell: Shell[Settings]) -> None:
    """Record the first cause, once; announce what is recorded."""
    champion = state.live.slots.get(rollout.champion_slot) if rollout.champion_slot is not None else None
    event = ModelRolledBack(
        loop=shell.settings.loop_name,
        at=shell.now(),
        rollout_id=rollout.rollout_id,
        model_version=rollout.model_version,
        champion_version=champion.model_version if champion else None,
        cause=order.cause,
        reasons=order.reasons,
    )
    key = keys.rollout_item(shell.settings.loop_name, rollout.rollout_id)
    shell.catalog.update(key, {"status": "rolled back"})
    told = shell.announce_once(key, event)
    assert isinstance(told, ModelRolledBack)
    shell.catalog.update(
        keys.model_item(shell.settings.loop_name, rollout.model_version),
        {"status": "rolled back", "status_reasons": list(told.reasons)},
    )
    shell.metrics.add("ModelsRolledBack", 1)
    shell.logger.warning({"event": "rolled back", "run_id": rollout.rollout_id, "cause": told.cause})


def _close(rollout: InProgress, pointer: LivePointer, shell: Shell[Settings]) -> None:
    pointer.change(
        f"{rollout.rollout_id}#closed", lambda state: state.closed() if state.holds(rollout.rollout_id) else None
    )
    Lock(shell.catalog, keys.lock_item(shell.settings.loop_name, ROLLOUT_LOCK)).release(rollout.rollout_id)


def _abandon(order: Order, state: LiveState, shell: Shell[Settings]) -> None:
    """A rollout that failed before it had a slot: its lock is freed and its record closed; nobody else's is touched."""
    if not order.closes or order.rollout_id is None or state.holds(order.rollout_id):
        return
    champion = state.live.champion
    if champion is None or champion.model_version != order.rollout_id:
        shell.catalog.update(
            keys.rollout_item(shell.settings.loop_name, order.rollout_id),
            {"status": "rolled back"},
            only_if={"status": "in progress"},
        )
    Lock(shell.catalog, keys.lock_item(shell.settings.loop_name, ROLLOUT_LOCK)).release(order.rollout_id)


def _ended(order: Order, state: LiveState, shell: Shell[Settings]) -> dict[str, Any]:
    """
    What the machine does next: the challenger's variant is retired where a configuration without it makes sense.

    Asked after the end (P27), the recorded end is given again.
    """
    rollout_id = order.rollout_id or (state.rollout.rollout_id if state.rollout else None)
    item = shell.catalog.get(keys.rollout_item(shell.settings.loop_name, rollout_id)) if rollout_id else None
    if item is None:
        return {"status": "nothing to roll back", "retire": False}
    plan, status, champion = item["plan"], item["status"], state.live.champion
    if champion is not None and champion.model_version == plan["model_version"]:
        status = "promoted"
    kept = [variant for variant in plan["production_variants"] if variant["VariantName"] == plan["champion_slot"]]
    if status != "rolled back" or not kept:
        return {"status": status, "retire": False, "rollout_id": rollout_id}
    return {
        "status": status,
        "rollout_id": rollout_id,
        "retire": True,
        "endpoint_name": plan["endpoint_name"],
        "endpoint_config_name": plan["retired_config_name"],
        "production_variants": kept,
    }


def _back_to_previous(order: Order, state: LiveState, pointer: LivePointer, shell: Shell[Settings]) -> dict[str, Any]:
    """A person takes a promotion back: the previous champion, kept warm, gets all traffic again."""
    former, previous = state.live.champion, state.live.slots.get(state.previous_slot or "blue")
    if state.previous_slot is None or former is None or previous is None or state.live.champion_slot is None:
        return {"status": "nothing to roll back", "retire": False, "reason": "no previous champion is kept"}
    _set_weights({state.previous_slot: 1.0, state.live.champion_slot: 0.0}, shell)
    pointer.change(
        f"{former.model_version}#swapped",
        lambda now: now.swapped() if now.rollout is None and now.previous_slot == state.previous_slot else None,
    )
    for version, status in ((former.model_version, "rolled back"), (previous.model_version, "champion")):
        shell.catalog.update(keys.model_item(shell.settings.loop_name, version), {"status": status})
    shell.bus.announce(
        ModelRolledBack(
            loop=shell.settings.loop_name,
            at=shell.now(),
            rollout_id=former.model_version,
            model_version=former.model_version,
            champion_version=previous.model_version,
            cause="person",
            reasons=order.reasons,
        )
    )
    return {"status": "rolled back", "retire": False, "champion": previous.model_version}


handler = _shell.lambda_handler(Settings, run)
