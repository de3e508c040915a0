"""
The gate: the candidate's evaluation against the champion's, as a verdict with reasons.

Trigger: learning machine. Announces: Candidate Judged. Metrics: GateDifference, GatePassed.

AWS actions
-----------
- lake bucket: s3:GetObject on `reports/evaluations/*` and the loop's file asset; s3:ListBucket
- catalog table: dynamodb:GetItem, UpdateItem on `runs`
- bus: events:PutEvents
- keys of those: kms:Decrypt
"""

from __future__ import annotations

from typing import Any

from functions import _shell
from functions._shell import Shell
from perennial import keys
from perennial.errors import ArtifactChanged
from perennial.evaluation import Evaluation
from perennial.events import CandidateJudged
from perennial.gate import Verdict, judge

__all__ = ["Settings", "handler", "run"]


class Settings(_shell.Settings):
    """The environment of judge_candidate."""


def run(event: dict[str, Any], shell: Shell[Settings]) -> dict[str, Any]:
    """Read the evaluation, ask the gate, keep its verdict with the run."""
    run_id = str(event["run_id"])
    evaluation = Evaluation.model_validate_json(shell.lake.get(f"{keys.evaluation_prefix(run_id)}evaluation.json"))
    if evaluation.run_id != run_id:
        raise ArtifactChanged(f"the evaluation must be of run {run_id}. Got {evaluation.run_id} instead.")
    verdict = judge(evaluation, shell.loop.gate)
    item = keys.run_item(shell.settings.loop_name, run_id)
    shell.catalog.update(item, {"verdict": _record(verdict)}, create=True)
    shell.announce_once(
        item,
        CandidateJudged(
            loop=shell.settings.loop_name,
            loop_digest=shell.loop.digest,
            at=shell.now(),
            run_id=run_id,
            dataset_id=event["dataset"]["dataset_id"],
            verdict=verdict.verdict,
            metric=verdict.metric,
            candidate=verdict.candidate,
            champion=verdict.champion,
            reasons=verdict.reasons,
        ),
    )
    shell.metrics.add("GatePassed", float(verdict.verdict == "passed"))
    if evaluation.paired is not None and evaluation.paired.difference is not None:
        shell.metrics.add("GateDifference", evaluation.paired.difference, "None")
    shell.logger.info({"event": "candidate judged", "run_id": run_id, "verdict": verdict.verdict})
    return {
        "verdict": verdict.verdict,
        "reasons": list(verdict.reasons),
        "artifact_digest": verdict.artifact_digest,
    }


def _record(verdict: Verdict) -> dict[str, Any]:
    """What later functions build the verdict from again; the checks are in the evaluation for who wants them."""
    return {
        "verdict": verdict.verdict,
        "reasons": list(verdict.reasons),
        "metric": verdict.metric,
        "candidate": verdict.candidate,
        "champion": verdict.champion,
        "artifact_digest": verdict.artifact_digest,
        "checks": [{"name": c.name, "outcome": c.outcome, "reason": c.reason} for c in verdict.checks],
    }


handler = _shell.lambda_handler(Settings, run)
