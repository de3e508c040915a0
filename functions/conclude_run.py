"""
The end of a learning run, whatever it was, on record.

Trigger: learning machine, last, on success and on Catch. Announces: Learning Concluded.

AWS actions
-----------
- lake bucket: s3:GetObject on the loop's file asset
- catalog table: dynamodb:GetItem on `rollouts`; dynamodb:GetItem, UpdateItem on `runs`
- bus: events:PutEvents
- keys of those: kms:Decrypt
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from functions import _shell
from functions._shell import Shell
from perennial import failures, keys
from perennial.events import LearningConcluded

__all__ = ["Settings", "conclusion", "handler", "run"]

Outcome = Literal["promoted", "rejected", "rolled back", "denied", "failed", "declined"]


class Settings(_shell.Settings):
    """The environment of conclude_run."""


def run(event: dict[str, Any], shell: Shell[Settings]) -> dict[str, Any]:
    """Read from the machine's state how the run ended; record it; say it."""
    run_id, name = str(event["run_id"]), shell.settings.loop_name
    outcome, reasons = conclusion(event)
    if outcome == "rolled back":
        rollout = shell.catalog.get(keys.rollout_item(name, run_id)) or {}
        reasons = tuple((rollout.get("said_model_rolled_back") or {}).get("reasons") or reasons)
    item = keys.run_item(name, run_id)
    said = shell.announce_once(
        item,
        LearningConcluded(
            loop=name,
            loop_digest=shell.loop.digest,
            at=shell.now(),
            run_id=run_id,
            outcome=outcome,
            model_version=run_id if (event.get("state") or {}).get("model") else None,
            reasons=reasons,
        ),
    )
    assert isinstance(said, LearningConcluded)
    shell.catalog.update(item, {"outcome": said.outcome, "concluded_at": said.at.isoformat()})
    shell.metrics.add("RunsConcluded", 1)
    shell.logger.info({"event": "run concluded", "run_id": run_id, "outcome": said.outcome})
    return {"run_id": run_id, "outcome": said.outcome, "reasons": list(said.reasons)}


def conclusion(event: Mapping[str, Any]) -> tuple[Outcome, tuple[str, ...]]:
    """
    How a run ended and why, from what its machine has collected.

    Parameters
    ----------
    event
        `outcome` as the machine's own path says it, `error` where one was caught, and `state`: all that was collected.

    >>> conclusion({"outcome": "declined", "state": {"error": {"Cause": '{"errorMessage": "3 rows"}'}}})
    ('declined', ('3 rows',))
    >>> conclusion({"outcome": "rejected", "state": {"verdict": {"reasons": ["floor: auc 0.4"]}}})
    ('rejected', ('floor: auc 0.4',))
    """
    outcome: Outcome = event["outcome"]
    state = event.get("state") or {}
    verdict, approval = state.get("verdict") or {}, state.get("approval") or {}
    error = event.get("error") or state.get("error")
    if outcome in ("promoted", "rejected"):
        return outcome, tuple(verdict.get("reasons", ()))
    if outcome == "denied":
        unanswered = (f"governance: nobody answered in time ({(error or {}).get('Error', 'no answer')})",)
        return outcome, tuple(approval.get("reasons") or unanswered)
    if outcome == "rolled back":
        return outcome, ("the rollout was rolled back",)
    return outcome, (failures.sentence(error or {}),)


handler = _shell.lambda_handler(Settings, run)
