"""
A candidate that passed the gate is copied to where models are served from, and registered by its digest.

Trigger: learning machine. Announces: Model Registered. Raises ArtifactChanged.

AWS actions
-----------
- lake bucket: s3:GetObject, s3:GetObjectVersion on `models/*`; s3:GetObject on `approved/*`, `reports/evaluations/*`
  and the loop's file asset; s3:PutObject on `approved/*`; s3:ListBucket, s3:ListBucketVersions
  (SageMaker reads the artifact with the caller's rights when it registers it)
- model package group and its packages: sagemaker:CreateModelPackage
- catalog table: dynamodb:GetItem on `runs`; dynamodb:GetItem, PutItem, UpdateItem on `models`
- bus: events:PutEvents
- keys of those: kms:Decrypt, kms:GenerateDataKey
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from functions import _shell
from functions._shell import Shell
from perennial import keys
from perennial.artifact import archive_digest
from perennial.errors import ApprovalRefused, ArtifactChanged
from perennial.events import ModelRegistered

__all__ = ["Settings", "handler", "run"]


# What S3 copies in one request.
MOST_BYTES: Final = 5 * 1024**3


class Settings(_shell.Settings):
    """The environment of register_model."""

    model_package_group: str
    image_uri: str


def run(event: dict[str, Any], shell: Shell[Settings]) -> dict[str, Any]:
    """Check and copy the artifact, register it once, keep the model version; the same answer when asked again."""
    run_id, name = str(event["run_id"]), shell.settings.loop_name
    trained = str(event["training"]["ModelArtifacts"]["S3ModelArtifacts"])
    verdict = (shell.catalog.get(keys.run_item(name, run_id)) or {}).get("verdict") or {}
    model = _approved(run_id, verdict, trained, shell)
    item = keys.model_item(name, run_id)
    standing = shell.catalog.get(item)
    if standing is None:
        arn = _register(run_id, event["dataset"], model, verdict, shell)
        shell.catalog.put_new(item, _record(event["dataset"], arn, model), token=run_id)
        standing = shell.catalog.get(item) or {}
    if standing["artifact_digest"] != model.artifact_digest:
        raise ArtifactChanged(
            f"model {run_id} must be {standing['artifact_digest']}. Got {model.artifact_digest} instead."
        )
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
            artifact_digest=model.artifact_digest,
        ),
    )
    return {
        "model_version": run_id,
        "model_package_arn": arn,
        "model_data_url": model.url,
        "artifact_digest": model.artifact_digest,
    }


@dataclass(frozen=True, slots=True)
class _Model:
    """The archive that was judged, where no job may write; digests of the archive and of what is in it."""

    url: str
    artifact_digest: str
    model_digest: str


def _approved(run_id: str, verdict: dict[str, Any], url: str, shell: Shell[Settings]) -> _Model:
    """
    The copy of the very bytes that were judged (P25): this version of the object, looked at before and after.

    Raises
    ------
    ApprovalRefused
        The gate didn't pass this run: nothing registers it.
    ArtifactChanged
        The bytes aren't those that were judged.
    """
    if verdict.get("verdict") != "passed":
        raise ApprovalRefused(f"run {run_id} must have passed the gate. Got {verdict.get('verdict')!r} instead.")
    lake, judged = shell.lake, str(verdict["artifact_digest"])
    key, target = url.removeprefix(lake.uri("")), keys.approved_key(judged)
    head = lake.head(key)
    if head.size_bytes > MOST_BYTES:
        raise ArtifactChanged(f"a model archive must hold at most {MOST_BYTES} bytes. Got {head.size_bytes} instead.")
    _require(judged, lake.digest(key, head.version_id))
    if not lake.holds(target):
        lake.copy_new(key, head.version_id, target)
    _require(judged, lake.digest(target))
    return _Model(lake.uri(target), judged, archive_digest(lake.body(target)))


def _require(judged: str, found: str) -> None:
    if found != judged:
        raise ArtifactChanged(f"the artifact must be {judged}. Got {found} instead.")


def _register(
    run_id: str, dataset: dict[str, Any], model: _Model, verdict: dict[str, Any], shell: Shell[Settings]
) -> str:
    return shell.registry(shell.settings.model_package_group).register(
        run_id=run_id,
        image_uri=shell.settings.image_uri,
        model_data_url=model.url,
        evaluation_uri=shell.lake.uri(f"{keys.evaluation_prefix(run_id)}evaluation.json"),
        properties={
            "loop": shell.settings.loop_name,
            "loop_digest": shell.loop.digest,
            "model_version": run_id,
            "dataset_id": str(dataset["dataset_id"]),
            "artifact_digest": model.artifact_digest,
            "model_digest": model.model_digest,
        },
        description="; ".join(verdict.get("reasons", ())),
    )


def _record(dataset: dict[str, Any], arn: str, model: _Model) -> dict[str, Any]:
    return {
        "status": "registered",
        "verdict": "passed",
        "model_package_arn": arn,
        "model_data_url": model.url,
        "artifact_digest": model.artifact_digest,
        "model_digest": model.model_digest,
        "source_bundle_uri": str(dataset.get("source_bundle_uri", "")),
        "dataset_id": dataset["dataset_id"],
        "version_uri": dataset["version_uri"],
        "hyperparameters": dict(dataset.get("hyperparameters", {})),
    }


handler = _shell.lambda_handler(Settings, run)
