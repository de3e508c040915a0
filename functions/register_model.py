"""
A candidate that passed the gate becomes a model package and a model version, bound to its artifact's digest.

Trigger: learning machine. Announces: Model Registered. Raises ArtifactChanged.

AWS actions
-----------
- lake bucket: s3:GetObject on `models/*`, `reports/evaluations/*` and the loop's file asset; s3:ListBucket
  (SageMaker reads the artifact with the caller's rights when it registers it)
- model package group and its packages: sagemaker:CreateModelPackage
- catalog table: dynamodb:GetItem on `runs`; dynamodb:GetItem, PutItem, UpdateItem on `models`
- bus: events:PutEvents
- keys of those: kms:Decrypt
"""

from __future__ import annotations

from typing import Any

from functions import _shell
from functions._shell import Shell
from perennial import keys
from perennial.errors import ApprovalRefused, ArtifactChanged
from perennial.events import ModelRegistered

__all__ = ["Settings", "handler", "run"]


class Settings(_shell.Settings):
    """The environment of register_model."""

    model_package_group: str
    image_uri: str


def run(event: dict[str, Any], shell: Shell[Settings]) -> dict[str, Any]:
    """Check the artifact's bytes, register them once, keep the model version; the same answer when asked again."""
    run_id, name = str(event["run_id"]), shell.settings.loop_name
    model_data_url = str(event["training"]["ModelArtifacts"]["S3ModelArtifacts"])
    verdict = (shell.catalog.get(keys.run_item(name, run_id)) or {}).get("verdict") or {}
    digest = _checked_digest(run_id, verdict, model_data_url, shell)
    item = keys.model_item(name, run_id)
    standing = shell.catalog.get(item)
    if standing is None:
        arn = _register(run_id, event["dataset"], model_data_url, digest, verdict, shell)
        shell.catalog.put_new(item, _record(event["dataset"], arn, model_data_url, digest), token=run_id)
        standing = shell.catalog.get(item) or {}
    if standing["artifact_digest"] != digest:
        raise ArtifactChanged(f"model {run_id} must be {standing['artifact_digest']}. Got {digest} instead.")
    arn = str(standing["model_package_arn"])
    shell.announce_once(
        item,
        ModelRegistered(
            loop=name,
            loop_digest=shell.loop.digest,
            at=shell.now(),
            run_id=run_id,
            model_version=run_id,
            model_package_arn=arn,
            artifact_digest=digest,
        ),
    )
    return {
        "model_version": run_id,
        "model_package_arn": arn,
        "model_data_url": model_data_url,
        "artifact_digest": digest,
    }


def _checked_digest(run_id: str, verdict: dict[str, Any], url: str, shell: Shell[Settings]) -> str:
    """
    The digest of the artifact as it is now (P25).

    Raises
    ------
    ApprovalRefused
        The gate didn't pass this run: nothing registers it.
    ArtifactChanged
        The bytes aren't those that were judged.
    """
    if verdict.get("verdict") != "passed":
        raise ApprovalRefused(f"run {run_id} must have passed the gate. Got {verdict.get('verdict')!r} instead.")
    found = shell.digest_of(url)
    if found != verdict["artifact_digest"]:
        raise ArtifactChanged(f"the artifact must be {verdict['artifact_digest']}. Got {found} instead.")
    return found


def _register(
    run_id: str, dataset: dict[str, Any], url: str, digest: str, verdict: dict[str, Any], shell: Shell[Settings]
) -> str:
    return shell.registry(shell.settings.model_package_group).register(
        run_id=run_id,
        image_uri=shell.settings.image_uri,
        model_data_url=url,
        evaluation_uri=shell.lake.uri(f"{keys.evaluation_prefix(run_id)}evaluation.json"),
        properties={
            "loop": shell.settings.loop_name,
            "loop_digest": shell.loop.digest,
            "model_version": run_id,
            "dataset_id": str(dataset["dataset_id"]),
            "artifact_digest": digest,
        },
        description="; ".join(verdict.get("reasons", ())),
    )


def _record(dataset: dict[str, Any], arn: str, url: str, digest: str) -> dict[str, Any]:
    return {
        "status": "registered",
        "verdict": "passed",
        "model_package_arn": arn,
        "model_data_url": url,
        "artifact_digest": digest,
        "dataset_id": dataset["dataset_id"],
        "version_uri": dataset["version_uri"],
        "hyperparameters": dict(dataset.get("hyperparameters", {})),
    }


handler = _shell.lambda_handler(Settings, run)
