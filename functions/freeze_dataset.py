"""
An immutable dataset version: which batches and labels train, hold out and anchor one learning run, and its
reference.

Trigger: learning machine. Announces: Dataset Frozen. Raises DatasetTooSmall.

AWS actions
-----------
- lake bucket: s3:GetObject on `curated/*`, `profiles/*`, `datasets/*` and the loop's file asset; s3:PutObject on
  `datasets/*`, `profiles/references/*`; s3:ListBucket
- catalog table: dynamodb:GetItem on `live`, `models`; dynamodb:Query on `labels`, `timeline`; dynamodb:GetItem,
  PutItem on `datasets`; dynamodb:GetItem, UpdateItem on `runs`
- bus: events:PutEvents
- keys of those: kms:Decrypt, kms:GenerateDataKey
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from functions import _shell
from functions._shell import Shell
from perennial import keys
from perennial.aws.history import PastBatch, batches_until, labels_until
from perennial.aws.labelled import labelled_rows
from perennial.aws.live import LivePointer
from perennial.dataset import DatasetVersion, channel_manifest, freeze, require_labelled
from perennial.drift import DriftPolicy, calibrate, choose_reference, policy_for
from perennial.drift.places import season_of
from perennial.events import DatasetFrozen
from perennial.profile import Profile, merge
from perennial.rollout import SlotState

__all__ = ["Settings", "handler", "run"]

NONE = "none"
# The toolkit takes a path as well as an S3 URI; a job without a network has its source as the channel `code`.
SOURCE = "/opt/ml/input/data/code/sourcedir.tar.gz"


class Settings(_shell.Settings):
    """The environment of freeze_dataset."""

    # s3://bucket/key of sourcedir.tar.gz: what training, evaluation and serving run.
    source_bundle_uri: str


def run(event: dict[str, Any], shell: Shell[Settings]) -> dict[str, Any]:
    """Write the version's files and its reference, then record it with the run; a retry gives what is recorded."""
    run_id, name = str(event["run_id"]), shell.settings.loop_name
    item = keys.run_item(name, run_id)
    standing = shell.catalog.get(item) or {}
    if "dataset" not in standing:
        past = list(batches_until(shell.catalog, name, datetime.fromisoformat(event["as_of"])))
        version, champion = _freeze(event, past, shell)
        _require_labels(version, shell)
        _write(version, shell)
        _write_reference(version, past, shell)
        answer = _answer(version, champion, event.get("hyperparameters") or {}, shell)
        shell.catalog.put(keys.dataset_item(name, version.dataset_id), _record(version))
        told = {"dataset": answer, "frozen": _record(version)}
        shell.catalog.update(item, told, only_if={"dataset": None}, create=True)
        standing = shell.catalog.get(item) or {}
    frozen = standing["frozen"]
    shell.announce_once(
        item,
        DatasetFrozen(
            loop=name,
            loop_digest=shell.loop.digest,
            at=shell.now(),
            run_id=run_id,
            dataset_id=frozen["dataset_id"],
            batches=frozen["batches"],
            rows=frozen["rows"],
            labelled=frozen["labelled"],
            label_cutoff_at=datetime.fromisoformat(frozen["label_cutoff_at"]),
        ),
    )
    answer = dict(standing["dataset"])
    shell.logger.info({"event": "dataset frozen", "run_id": run_id, "dataset_id": answer["dataset_id"]})
    return answer


def _freeze(
    event: dict[str, Any], past: Sequence[PastBatch], shell: Shell[Settings]
) -> tuple[DatasetVersion, SlotState | None]:
    loop, name = shell.loop, shell.settings.loop_name
    champion = LivePointer(shell.catalog, name).read().live.champion
    version = freeze(
        [batch.entry for batch in past],
        labels_until(shell.catalog, name, datetime.fromisoformat(event["as_of"])),
        loop.training,
        loop.labels,
        loop=name,
        run_id=str(event["run_id"]),
        as_of=datetime.fromisoformat(event["as_of"]),
        champion_version=champion.model_version if champion else NONE,
        champion_batches=_learnt(champion, shell),
        loop_digest=loop.digest,
    )
    return version, champion


def _require_labels(version: DatasetVersion, shell: Shell[Settings]) -> None:
    """Jobs cost money: without labels for these very rows they would only find out that there are none."""
    loop = shell.loop
    wanted = loop.training.min_rows
    labelled = labelled_rows(shell.lake, version, loop.contract, loop.labels, wanted=wanted)
    require_labelled(version, labelled, loop.training)


def _learnt(champion: SlotState | None, shell: Shell[Settings]) -> frozenset[str]:
    """Ids of the batches that the champion was trained on, from its own dataset version."""
    if champion is None:
        return frozenset()
    model = shell.catalog.get(keys.model_item(shell.settings.loop_name, champion.model_version)) or {}
    uri = model.get("version_uri")
    if not uri:
        return frozenset()
    version = DatasetVersion.model_validate_json(shell.lake.get(f"{_key_of(uri)}version.json"))
    return frozenset(batch.batch_id for batch in version.train)


def _prefix(version: DatasetVersion) -> str:
    """Where this run's version.json is: two runs may freeze one dataset, but each has its own champion and time."""
    return f"{keys.dataset_prefix(version.dataset_id)}runs/{version.run_id}/"


def _manifest_key(version: DatasetVersion) -> str:
    return f"{keys.dataset_prefix(version.dataset_id)}manifest.json"


def _write(version: DatasetVersion, shell: Shell[Settings]) -> None:
    """Files whose content follows from their keys; canonical, so that writing them again writes the same."""
    shell.lake.put_json(f"{_prefix(version)}version.json", version.model_dump(mode="json"))
    shell.lake.put(f"{_prefix(version)}loop.json", shell.loop.to_json().encode(), content_type="application/json")
    shell.lake.put_json(_manifest_key(version), channel_manifest(version, shell.settings.lake_bucket))
    shell.lake.put(
        f"{keys.dataset_prefix(version.dataset_id)}no-champion.txt",
        b"This loop has no champion yet.\n",
        content_type="text/plain",
    )


def _write_reference(version: DatasetVersion, past: Sequence[PastBatch], shell: Shell[Settings]) -> None:
    """The reference that drift will be checked against if this run's model becomes the champion."""
    trained = {batch.batch_id for batch in version.train}
    used = [batch for batch in past if batch.entry.batch_id in trained]
    profiles = [Profile.from_bytes(shell.lake.get(batch.profile_key)) for batch in used]
    begins = [batch.entry.first_event_at for batch in used]
    policy = policy_for(shell.loop.contract, shell.loop.triggers.drift or DriftPolicy.model_validate({}))
    calibration = calibrate(profiles, policy=policy, times=begins)
    reference = {
        "model_version": version.run_id,
        "until": max(batch.last_event_at for batch in version.batches).isoformat(),
        "batch_ids": [batch.entry.batch_id for batch in used],
        "profile": _text(merge(profiles)),
        "seasons": _seasonal(profiles, begins, policy),
        "calibration": json.loads(calibration.to_json()),
        "sentence": calibration.reason,
    }
    shell.lake.put_json(keys.reference_key(version.run_id), reference)


def _seasonal(profiles: Sequence[Profile], begins: Sequence[datetime], policy: DriftPolicy) -> dict[str, Any]:
    """For each season with enough batches of its own: their profile, to compare a window of that season with."""
    labels = [season_of(at, policy.season) for at in begins]
    found = {}
    for label in sorted(set(labels)) if policy.season != "none" else []:
        profile, sentence = choose_reference(profiles, labels, label, policy=policy)
        found[label] = {"profile": _text(profile), "sentence": sentence}
    return found


def _text(profile: Profile) -> str:
    return base64.b64encode(profile.to_bytes()).decode()


def _key_of(uri: str) -> str:
    return uri.removeprefix("s3://").partition("/")[2]


def _record(version: DatasetVersion) -> dict[str, Any]:
    return {
        "dataset_id": version.dataset_id,
        "batches": len(version.batches),
        "rows": version.rows,
        "labelled": sum(entry.rows or 0 for entry in version.labels),
        "label_cutoff_at": version.label_cutoff_at.isoformat(),
        "manifest_key": _manifest_key(version),
    }


def _answer(
    version: DatasetVersion, champion: SlotState | None, overrides: dict[str, Any], shell: Shell[Settings]
) -> dict[str, Any]:
    """What the learning machine hands to SageMaker, ready for use: every value is text."""
    lake, name, run_id = shell.lake, shell.settings.loop_name, version.run_id
    none = lake.uri(f"{keys.dataset_prefix(version.dataset_id)}no-champion.txt")
    return {
        "dataset_id": version.dataset_id,
        "run_id": run_id,
        "training_job_name": keys.resource_name(name, shell.settings.stage, run_id),
        "evaluation_job_name": keys.resource_name(name, shell.settings.stage, run_id, "e"),
        "manifest_uri": lake.uri(_manifest_key(version)),
        "version_uri": lake.uri(_prefix(version)),
        "model_output_uri": lake.uri(keys.models_prefix(run_id)),
        "evaluation_uri": lake.uri(keys.evaluation_prefix(run_id)),
        "champion_model_uri": (champion.model_data_url if champion else None) or none,
        "champion_version": version.champion_version,
        "source_bundle_uri": shell.settings.source_bundle_uri,
        "hyperparameters": {
            **{str(key): str(value) for key, value in overrides.items()},
            "sagemaker_program": "train.py",
            "sagemaker_submit_directory": SOURCE,
            "sagemaker_region": shell.clients.region,
            "sagemaker_container_log_level": "20",
        },
    }


handler = _shell.lambda_handler(Settings, run)
