"""
The end of a learning run, whatever it was, on record.

Trigger: learning machine, last, on success and on Catch. Announces: Learning Concluded.

AWS actions
-----------
- lake bucket: s3:GetObject on the loop's file asset
- catalog table: dynamodb:GetItem, PutItem, UpdateItem
- bus: events:PutEvents
- keys of those: kms:Decrypt
"""

from __future__ import annotations

import json
from typing import Any, Literal

from functions import _shell
from functions._shell import Shell
from perennial import keys
from perennial.events import LearningConcluded

__all__ = ["Settings", "conclusion", "handler", "run"]

Outcome = Literal["promoted", "rejected", "rolled back", "denied", "failed", "declined"]


class Settings(_shell.Settings):
    """The environment of conclude_run."""


def run(event: dict[str, Any], shell: Shell[Settings]) -> dict[str, Any]:
    """Read from the machine's state how the run ended; record it; say it."""
    run_id, name = str(event["run_id"]), shell.settings.loop_name
    outcome, reasons = conclusion(event)
    item = keys.run_item(name, run_id)
    said = shell.announce_once(
        item,
        LearningConcluded(
            loop=name,
            loop_digest=shell.loop.digest,
            at=shell.now(),
            run_id=run_id,
            outcome=outcome,
            model_version=run_id if event.get("model") else None,
            reasons=reasons,
        ),
    )
    assert isinstance(said, LearningConcluded)
    shell.catalog.update(item, {"outcome": said.outcome, "concluded_at": said.at.isoformat()})
    shell.metrics.add("RunsConcluded", 1)
    shell.logger.info({"event": "run concluded", "run_id": run_id, "outcome": said.outcome})
    return {"run_id": run_id, "outcome": said.outcome, "reasons": list(said.reasons)}


def conclusion(state: dict[str, Any]) -> tuple[Outcome, tuple[str, ...]]:
    """
    How a run ended, from what its machine has collected.

    >>> conclusion({"error": {"Error": "DatasetTooSmall", "Cause": '{"errorMessage": "3 rows"}'}})
    ('declined', ('3 rows',))
    >>> conclusion({"verdict": {"verdict": "failed", "reasons": ["floor: auc 0.4"]}})
    ('rejected', ('floor: auc 0.4',))
    """
    error = state.get("error")
    if error:
        outcome: Outcome = "declined" if error.get("Error") == "DatasetTooSmall" else "failed"
        return outcome, (_cause(error),)
    verdict, approval, rollout = (state.get(part) or {} for part in ("verdict", "approval", "rollout"))
    if verdict and verdict.get("verdict") != "passed":
        return "rejected", tuple(verdict.get("reasons", ()))
    if approval and not approval.get("approved"):
        return "denied", tuple(approval.get("reasons") or (f"denied by {approval.get('by', 'nobody')}",))
    output = rollout.get("output", rollout.get("Output", rollout))
    status = (json.loads(output) if isinstance(output, str) else output).get("status")
    if status == "promoted":
        return "promoted", tuple(verdict.get("reasons", ()))
    if status == "rolled back":
        return "rolled back", ("the rollout was rolled back: see its record",)
    return "failed", (f"the rollout must end as promoted or rolled back. Got {status!r} instead",)


def _cause(error: dict[str, Any]) -> str:
    """The sentence in a state machine's error: Lambda's cause is JSON with the message inside."""
    cause = error.get("Cause") or ""
    try:
        parsed = json.loads(cause)
    except ValueError:
        parsed = None
    if isinstance(parsed, dict):
        cause = parsed.get("errorMessage") or parsed.get("FailureReason") or parsed.get("Cause") or ""
    return f"{cause or error.get('Error', 'unknown error')}"[:1000]


handler = _shell.lambda_handler(Settings, run)
