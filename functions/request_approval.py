"""
Approves inside the policy's bounds, or asks a person and keeps the machine waiting.

Trigger: learning machine, lambda:invoke.waitForTaskToken. Announces: Approval Requested, Approval Granted.

AWS actions
-----------
- learning machine: states:SendTaskSuccess, states:SendTaskFailure
- model package group's packages: sagemaker:DescribeModelPackage, sagemaker:UpdateModelPackage
- lake bucket: s3:GetObject on `approved/*`, `reports/evaluations/*` and the loop's file asset; s3:ListBucket
- topic: sns:Publish
- catalog table: dynamodb:GetItem on `runs`; dynamodb:GetItem, UpdateItem on `approvals`, `models`; dynamodb:GetItem,
  PutItem, UpdateItem, DeleteItem on `messages` (Powertools' claim of a message, taken back when it wasn't sent)
- bus: events:PutEvents
- keys of those: kms:Decrypt, kms:GenerateDataKey
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from functions import _shell
from functions._shell import Shell
from perennial import keys
from perennial.aws.approvals import Answer, settle
from perennial.canonical import digest as digest_of
from perennial.errors import ArtifactChanged
from perennial.evaluation import Evaluation
from perennial.events import ApprovalRequested
from perennial.gate import Verdict
from perennial.governance import ApprovalRequest, ApprovalRoute, route

__all__ = ["REQUESTER", "Settings", "handler", "run"]

REQUESTER = "perennial"


class Settings(_shell.Settings):
    """The environment of request_approval."""

    model_package_group: str
    topic_arn: str


def run(event: dict[str, Any], shell: Shell[Settings]) -> dict[str, Any]:
    """Ask the policy who decides; answer the machine at once, or keep its token for the person who will."""
    model, name = event["model"], shell.settings.loop_name
    version, digest = str(model["model_version"]), str(model["artifact_digest"])
    found = shell.digest_of(model["model_data_url"])
    if found != digest:
        raise ArtifactChanged(f"the artifact must be {digest}. Got {found} instead.")
    run_record = shell.catalog.get(keys.run_item(name, version)) or {}
    verdict = _verdict(run_record.get("verdict") or {})
    evidence = shell.lake.get(f"{keys.evaluation_prefix(version)}evaluation.json")
    way = route(verdict, Evaluation.model_validate_json(evidence), shell.loop.governance)
    request = ApprovalRequest(
        model_version=version,
        artifact_digest=digest,
        requested_by=str(run_record.get("requested_by") or REQUESTER),
        requested_at=shell.now(),
        expires_at=shell.now() + timedelta(seconds=shell.loop.governance.timeout_seconds),
        bundle_digest=digest_of({"artifact": digest, "evaluation": evidence.decode(), "verdict": verdict.verdict}),
        status="granted" if way.by == "policy" else "pending",
    )
    item = keys.approval_item(name, version)
    standing = shell.catalog.get(item) or {}
    if standing.get("status") not in ("granted", "denied"):
        # A retried task has another token: the newest one is waited on.
        kept = {**request.model_dump(mode="json"), "task_token": event["task_token"]}
        shell.catalog.update(item, {**kept, "model_package_arn": model["model_package_arn"]}, create=True)
    if way.by == "policy":
        return _approve(event, way, shell)
    return _ask(request, way, shell)


def _verdict(kept: dict[str, Any]) -> Verdict:
    return Verdict(
        verdict=kept.get("verdict", "failed"),
        reasons=tuple(kept.get("reasons", ())),
        metric=kept.get("metric", ""),
        candidate=kept.get("candidate"),
        champion=kept.get("champion"),
        artifact_digest=kept.get("artifact_digest", ""),
    )


def _approve(event: dict[str, Any], way: ApprovalRoute, shell: Shell[Settings]) -> dict[str, Any]:
    """The registry first: it must say so before anything goes on."""
    model = event["model"]
    shell.registry(shell.settings.model_package_group).approve(model["model_package_arn"], "; ".join(way.reasons))
    answer = Answer(
        loop=shell.settings.loop_name,
        loop_digest=shell.loop.digest,
        at=shell.now(),
        model_version=str(model["model_version"]),
        artifact_digest=str(model["artifact_digest"]),
        approved=True,
        by="policy",
        reasons=way.reasons,
        task_token=event["task_token"],
    )
    settle(answer, catalog=shell.catalog, announce_once=shell.announce_once, executions=shell.executions)
    return {"asked": "policy"}


def _ask(request: ApprovalRequest, way: ApprovalRoute, shell: Shell[Settings]) -> dict[str, Any]:
    name = shell.settings.loop_name
    shell.announce_once(
        keys.approval_item(name, request.model_version),
        ApprovalRequested(
            loop=name,
            loop_digest=shell.loop.digest,
            at=shell.now(),
            model_version=request.model_version,
            artifact_digest=request.artifact_digest,
            reasons=way.reasons,
        ),
    )
    stage = shell.settings.stage
    lines = [
        f"Model {request.model_version} of loop {name}, stage {stage}, waits for a person until "
        f"{request.expires_at.isoformat()}.",
        *way.reasons,
        f"Artifact: {request.artifact_digest}",
        f"Evidence bundle: {request.bundle_digest}",
        f"perennial approve {name} {request.model_version} --stage {stage}, or perennial reject, or the registry.",
    ]
    shell.tell_people(
        shell.settings.topic_arn,
        about={
            "question": "approval",
            "model_version": request.model_version,
            "artifact_digest": request.artifact_digest,
        },
        subject=f"Approve a model of {shell.settings.deployment_name}?",
        message="\n".join(lines),
    )
    return {"asked": "person"}


handler = _shell.lambda_handler(Settings, run)
