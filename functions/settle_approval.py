"""
A person's answer in the registry reaches the waiting machine, if it counts.

Trigger: EventBridge (default bus), "SageMaker Model Package State Change" of the loop's group. Announces: Approval
Granted, Approval Denied.

AWS actions
-----------
- learning machine: states:SendTaskSuccess
- model package group's packages: sagemaker:DescribeModelPackage, sagemaker:UpdateModelPackage
- lake bucket: s3:GetObject on `approved/*` and the loop's file asset; s3:ListBucket
- catalog table: dynamodb:GetItem, UpdateItem on `approvals`, `models`
- bus: events:PutEvents
- keys of those: kms:Decrypt
"""

from __future__ import annotations

import re
from typing import Any

from functions import _shell
from functions._shell import Shell
from perennial import keys
from perennial.aws.approvals import Answer, settle
from perennial.aws.registry import Package
from perennial.errors import ApprovalRefused, ArtifactChanged, EventInvalid
from perennial.governance import ApprovalRequest, grant

__all__ = ["Settings", "handler", "run"]

_SIGNED = re.compile(r"^by (?P<who>[^:\n]{1,200}):\s*(?P<why>.*)$", re.DOTALL)
_DIGEST = re.compile(r"\b[0-9a-f]{64}\b")


class Settings(_shell.Settings):
    """The environment of settle_approval."""

    model_package_group: str


def run(event: dict[str, Any], shell: Shell[Settings]) -> dict[str, Any]:
    """Look at the package itself, not at the event; let governance judge the answer; pass it to the machine."""
    detail = event.get("detail") or {}
    group = shell.settings.model_package_group
    if event.get("source") != "aws.sagemaker" or detail.get("ModelPackageGroupName") != group:
        raise EventInvalid(f"an event must be of aws.sagemaker about group {group}. Got another one instead.")
    package = shell.registry(group).describe(detail["ModelPackageArn"])
    version = package.properties.get("model_version", "")
    item = shell.catalog.get(keys.approval_item(shell.settings.loop_name, version)) or {}
    if package.approval not in ("Approved", "Rejected") or item.get("status") != "pending":
        return {"settled": False, "reason": "nobody waits for this package, or it isn't answered"}
    request = ApprovalRequest.model_validate(item)
    who, why = _signature(package)
    if package.approval == "Rejected":
        return _settle(request, item, shell, approved=False, by=who, reasons=(why or f"rejected by {who}",))
    try:
        model = shell.catalog.get(keys.model_item(shell.settings.loop_name, version)) or {}
        granted = grant(
            request,
            who,
            shell.digest_of(model["model_data_url"]),
            now=shell.now(),
            policy=shell.loop.governance,
            bundle_digest=next(iter(_DIGEST.findall(package.description)), None),
            reason=why,
        )
    except ArtifactChanged as error:
        shell.registry(group).reject(package.arn, str(error))
        return _settle(request, item, shell, approved=False, by="perennial", reasons=(str(error),))
    except ApprovalRefused as error:
        # Somebody else may still approve it in time.
        shell.registry(group).reopen(package.arn, str(error))
        shell.logger.warning({"event": "approval refused", "model_version": version, "reason": str(error)})
        return {"settled": False, "reason": str(error)}
    return _settle(request, item, shell, approved=True, by=granted.approved_by, reasons=granted.reasons)


def _signature(package: Package) -> tuple[str, str]:
    """Who answered and why: the identity that AWS recorded, else the command line's signature "by NAME: reason"."""
    signed = _SIGNED.match(package.description)
    why = signed["why"] if signed else package.description
    return package.modified_by or (signed["who"].strip() if signed else "a person in the model registry"), why.strip()


def _settle(
    request: ApprovalRequest,
    item: dict[str, Any],
    shell: Shell[Settings],
    *,
    approved: bool,
    by: str,
    reasons: tuple[str, ...],
) -> dict[str, Any]:
    answer = Answer(
        loop=shell.settings.loop_name,
        loop_digest=shell.loop.digest,
        at=shell.now(),
        model_version=request.model_version,
        artifact_digest=request.artifact_digest,
        approved=approved,
        by=by,
        reasons=reasons,
        task_token=item["task_token"],
    )
    settle(answer, catalog=shell.catalog, announce_once=shell.announce_once, executions=shell.executions)
    return {"settled": True, "approved": approved}


handler = _shell.lambda_handler(Settings, run)
