"""
One signal in, one decision out: start a learning run or say why not.

Trigger: bus (Drift Detected, Performance Fell, Business Fell, Batch Accepted, Labels Joined); EventBridge Scheduler
with {"signal": "schedule"}; a person with
{"signal": "manual", "reason": ..., "hyperparameters": {...}}. Announces: Retraining Requested, Retraining Declined.

AWS actions
-----------
- learning machine: states:StartExecution; its executions: states:DescribeExecution
- lake bucket: s3:GetObject on the loop's file asset
- catalog table: dynamodb:GetItem on `evidence-business`, `evidence-drift`, `evidence-performance`, `live`, `locks`;
  dynamodb:Query on `labels`, `timeline`; dynamodb:GetItem, PutItem on `trigger`; dynamodb:GetItem, UpdateItem on
  `runs`
- bus: events:PutEvents
- keys of those: kms:Decrypt, kms:GenerateDataKey
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from functions import _shell
from functions._shell import Shell
from perennial import keys
from perennial.aws.executions import execution_arn
from perennial.aws.history import batches_until, labels_until, newest_evidence_at
from perennial.aws.live import LivePointer
from perennial.aws.locks import ROLLOUT_LOCK
from perennial.cost import cycle_cost
from perennial.errors import EventInvalid, Fenced
from perennial.events import (
    SOURCE,
    BatchAccepted,
    BusinessFell,
    DriftDetected,
    LabelsJoined,
    PerformanceFell,
    RetrainingDeclined,
    RetrainingRequested,
    parse,
)
from perennial.trigger import History, Signal, SignalKind, Streak, TriggerDecision, TriggerState, decide, run_id

__all__ = ["Settings", "handler", "run"]

_MONTHS_KEPT = 3
# A burst of signals meets in one item: whoever loses a round pauses, longer each time, and at random.
_ROUNDS, _FIRST_PAUSE_SECONDS, _MOST_PAUSE_SECONDS = 10, 0.02, 1.0


class Settings(_shell.Settings):
    """The environment of decide_retraining."""

    learning_machine_arn: str


def run(event: dict[str, Any], shell: Shell[Settings]) -> dict[str, Any]:
    """Finish what a crash left undone, then decide on the signal, remember the decision, and only then act on it."""
    name, item = shell.settings.loop_name, keys.trigger_item(shell.settings.loop_name)
    left = (shell.catalog.get(item) or {}).get("running")
    if left and not _requested(left["run_id"], shell):
        _start(left, shell)
    signal, extras = _signal(event, shell)
    same = f"{signal.kind}:{signal.signal_id}"
    for lost in range(_ROUNDS):
        kept, version = shell.catalog.get_versioned(item)
        state = TriggerState.model_validate(kept)
        started = kept.get("running") or {}
        if same in state.fired_signals and started.get("signal_key") == same:
            return _start(started, shell)
        decision = _decide(signal, state, kept, shell)
        following = {**kept, **decision.state.model_dump(mode="json")}
        if decision.fire:
            following["running"] = _payload(signal, decision, extras, same, name)
            following["spent_usd"] = _spent(kept, shell.now(), cycle_cost(shell.loop).usd)
        if shell.catalog.put_version(item, following, expected=version, token=f"{same}#{version}"):
            return _start(following["running"], shell) if decision.fire else _decline(signal, decision, shell)
        shell.sleep(random.uniform(0, min(_MOST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2**lost)))
    if not decision.fire:
        # It starts nothing, so it holds without being remembered: only the count of what was declined lacks it.
        return _decline(signal, decision, shell)
    raise Fenced(f"the trigger's state must stand still for a moment. Got {_ROUNDS} changes by others instead.")


def _requested(run: str, shell: Shell[Settings]) -> bool:
    return "said_retraining_requested" in (shell.catalog.get(keys.run_item(shell.settings.loop_name, run)) or {})


def _signal(event: dict[str, Any], shell: Shell[Settings]) -> tuple[Signal, dict[str, Any]]:
    """The signal of a bus event, of the schedule or of a person, with the history known at its data time."""
    if "detail-type" in event:
        if event.get("source") != SOURCE:
            raise EventInvalid(f"a signal must be of {SOURCE}. Got another source instead.")
        said = parse(event["detail-type"], event["detail"])
        if said.loop != shell.settings.loop_name:
            raise EventInvalid(f"a signal must be of loop {shell.settings.loop_name}. Got another one instead.")
        return _from_event(said, shell), {}
    kind, now = event.get("signal"), shell.now()
    as_of = newest_evidence_at(shell.catalog, shell.settings.loop_name) or now
    if kind == "schedule":
        # The same schedule with nothing new is the same signal.
        reasons = ("schedule: it is time",)
        return _made("schedule", as_of, reasons, str(event.get("scheduled_at") or as_of.isoformat()), shell), {}
    if kind != "manual":
        raise EventInvalid(f'a signal must be "schedule", "manual" or an event of the bus. Got {kind!r} instead.')
    extras = {
        "hyperparameters": {str(k): str(v) for k, v in (event.get("hyperparameters") or {}).items()},
        "requested_by": str(event.get("requested_by") or "a person"),
    }
    reasons = (f"manual: {event.get('reason') or 'no reason given'}",)
    return _made("manual", as_of, reasons, str(event.get("signal_id") or now.isoformat()), shell), extras


def _from_event(said: object, shell: Shell[Settings]) -> Signal:
    if isinstance(said, DriftDetected):
        return _made("drift", said.as_of, said.reasons, said.batch_id, shell)
    if isinstance(said, PerformanceFell):
        return _made("performance", said.as_of, said.reasons, f"{said.model_version}@{said.as_of.isoformat()}", shell)
    if isinstance(said, BusinessFell):
        return _made("business", said.as_of, said.reasons, said.batch_id, shell)
    if isinstance(said, BatchAccepted):
        as_of = said.last_event_at or said.at
        return _made("new data", as_of, (f"new data: batch {said.batch_id[:8]} landed",), said.batch_id, shell)
    if isinstance(said, LabelsJoined):
        # Labels land after their rows: often it is they that make a history long enough to learn from.
        return _made("new data", said.as_of, (f"new data: labels {said.labels_id[:8]} landed",), said.labels_id, shell)
    raise EventInvalid(
        "a signal must be drift, a fall of quality or value, a batch or labels. Got another event instead."
    )


def _made(
    kind: SignalKind, as_of: datetime, reasons: tuple[str, ...], signal_id: str, shell: Shell[Settings]
) -> Signal:
    name = shell.settings.loop_name
    batches = [batch.entry for batch in batches_until(shell.catalog, name, as_of)]
    history = History(
        batches=len(batches),
        rows=sum(batch.rows for batch in batches),
        labelled=sum(entry.rows or 0 for entry in labels_until(shell.catalog, name, as_of)),
    )
    streak = 1
    if kind == "drift" or kind == "performance" or kind == "business":
        kept = shell.catalog.get(keys.streak_item(name, kind)) or {}
        streak = max(1, Streak.model_validate(kept).length)
    return Signal(kind=kind, as_of=as_of, reasons=reasons, signal_id=signal_id, history=history, streak=streak)


def _decide(signal: Signal, state: TriggerState, kept: Mapping[str, Any], shell: Shell[Settings]) -> TriggerDecision:
    now, loop = shell.now(), shell.loop
    return decide(
        signal,
        state,
        loop.triggers,
        champion_exists=LivePointer(shell.catalog, loop.name).read().live.champion is not None,
        running=_running(kept, shell),
        spent_usd=float((kept.get("spent_usd") or {}).get(f"{now:%Y-%m}", 0.0)),
        now=now,
        run_cost_usd=cycle_cost(loop).usd,
    )


def _running(kept: Mapping[str, Any], shell: Shell[Settings]) -> bool:
    """Whether a run or a rollout is under way; a run that died without a word is asked after at its machine."""
    name, started = shell.settings.loop_name, kept.get("running") or {}
    lock = shell.catalog.get(keys.lock_item(name, ROLLOUT_LOCK)) or {}
    if lock.get("holder") and datetime.fromisoformat(lock["leased_until"]) > shell.now():
        return True
    if not started:
        return False
    record = shell.catalog.get(keys.run_item(name, started["run_id"])) or {}
    if record.get("outcome"):
        return False
    return shell.executions.running(execution_arn(shell.settings.learning_machine_arn, started["run_id"]))


def _payload(
    signal: Signal, decision: TriggerDecision, extras: Mapping[str, Any], signal_key: str, name: str
) -> dict[str, Any]:
    return {
        "run_id": run_id(name, signal),
        "signal": signal.kind,
        "signal_key": signal_key,
        "as_of": signal.as_of.isoformat(),
        "reasons": list(decision.reasons),
        "hyperparameters": dict(extras.get("hyperparameters", {})),
        "requested_by": extras.get("requested_by", "perennial"),
    }


def _spent(kept: Mapping[str, Any], now: datetime, usd: float) -> dict[str, float]:
    """What learning is expected to have cost by calendar month, this run included; only the latest months are kept."""
    months = {month: float(spent) for month, spent in (kept.get("spent_usd") or {}).items()}
    months[f"{now:%Y-%m}"] = round(months.get(f"{now:%Y-%m}", 0.0) + usd, 6)
    return dict(sorted(months.items())[-_MONTHS_KEPT:])


def _start(payload: Mapping[str, Any], shell: Shell[Settings]) -> dict[str, Any]:
    """Start the run by its name, record it, say it: each may be done again."""
    name, run = shell.settings.loop_name, str(payload["run_id"])
    told = {field: payload[field] for field in ("run_id", "signal", "as_of", "reasons", "hyperparameters")}
    arn = shell.executions.start(shell.settings.learning_machine_arn, run, told)
    item = keys.run_item(name, run)
    shell.catalog.update(
        item,
        {**told, "execution_arn": arn, "requested_by": payload["requested_by"]},
        only_if={"execution_arn": None},
        create=True,
    )
    shell.announce_once(
        item,
        RetrainingRequested(
            loop=name,
            loop_digest=shell.loop.digest,
            at=shell.now(),
            run_id=run,
            signal=str(payload["signal"]),
            as_of=datetime.fromisoformat(payload["as_of"]),
            reasons=tuple(payload["reasons"]),
            execution_arn=arn,
        ),
    )
    shell.metrics.add("RetrainingsRequested", 1)
    shell.logger.info({"event": "retraining requested", "run_id": run, "signal": payload["signal"]})
    return {"fired": True, "run_id": run, "execution_arn": arn, "reasons": list(payload["reasons"])}


def _decline(signal: Signal, decision: TriggerDecision, shell: Shell[Settings]) -> dict[str, Any]:
    shell.bus.announce(
        RetrainingDeclined(
            loop=shell.settings.loop_name,
            loop_digest=shell.loop.digest,
            at=shell.now(),
            signal=signal.kind,
            as_of=signal.as_of,
            reasons=decision.reasons,
        )
    )
    shell.metrics.add("RetrainingsDeclined", 1)
    return {"fired": False, "reasons": list(decision.reasons)}


handler = _shell.lambda_handler(Settings, run)
