"""
A landed label file becomes labels in curated/labels/.

Trigger: SQS, fed by the landing bucket's "Object Created" rule on prefix `labels/`; answers partial batch
responses.
Announces: Labels Joined, Labels Rejected. Metrics: LabelsLanded, LabelsQuarantined.

AWS actions
-----------
- landing bucket `labels/*`: s3:GetObject, s3:GetObjectVersion; on the bucket: s3:ListBucket, s3:ListBucketVersions
- lake bucket: s3:PutObject on `curated/labels/*`, `quarantine/*`; s3:GetObject on the loop's file asset
- catalog table: dynamodb:GetItem, PutItem, UpdateItem, Query
- bus: events:PutEvents
- keys of those: kms:Decrypt, kms:GenerateDataKey
"""

from __future__ import annotations

import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

from functions import _shell
from functions._shell import Shell
from perennial import keys
from perennial.aws.arrivals import parse_arrival
from perennial.aws.catalog import Item
from perennial.aws.history import newest_event_at
from perennial.aws.landing import Landed, Landings, content_identity
from perennial.events import LabelsJoined, LabelsRejected
from perennial.validation import Outcome, validate_labels

__all__ = ["Settings", "handler", "run"]


class Settings(_shell.Settings):
    """The environment of join_labels."""

    landing_bucket: str
    max_object_bytes: int = 1024**3
    # The only account whose events count; "" where it isn't known.
    account_id: str = ""


def run(event: Any, shell: Shell[Settings]) -> dict[str, Any]:
    """Turn every label file version that a message names into curated labels."""
    return _shell.each_message(event, shell, lambda body: _take(body, shell))


def _take(body: str, shell: Shell[Settings]) -> None:
    """Outputs, then the labels' record, then the landing, then the word: as for batches."""
    settings = shell.settings
    arrival = parse_arrival(
        body, bucket=settings.landing_bucket, prefix=keys.LABELS_PREFIX, account=settings.account_id
    )
    landings = Landings(shell.bucket(settings.landing_bucket), shell.catalog, settings.loop_name, "labels")
    landed = landings.look(arrival)
    if landed is None:
        shell.logger.warning({"event": "landed file is gone"})
        return
    standing = shell.catalog.get(landed.item) or {}
    if standing.get("announced"):
        shell.logger.info({"event": "landed file is known", "labels_id": standing["labels_id"]})
        return
    labels_id, labels = _labels(landed, landings, shell)
    landings.record(landed, {"labels_id": labels_id, "status": labels["status"]})
    _announce(landed, labels_id, labels, shell)
    landings.record(landed, {"labels_id": labels_id, "status": labels["status"], "announced": True})
    shell.logger.info({"event": "labels validated", "labels_id": labels_id, "status": labels["status"]})


def _labels(landed: Landed, landings: Landings, shell: Shell[Settings]) -> tuple[str, Item]:
    """The labels that a file version is: known already, or made now."""
    limit, name = shell.settings.max_object_bytes, shell.settings.loop_name
    if landed.size_bytes > limit:
        labels_id = keys.short_id("too large", landed.key, landed.version_id)
        reason = f"a file must hold at most {limit} bytes. Got {landed.size_bytes} instead"
        refused = {"labels_id": labels_id, "status": "rejected", "rows": 0, "quarantined": 0, "reasons": [reason]}
        return _save(labels_id, refused, shell)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "landed"
        digest = landings.fetch(landed, path, max_bytes=limit)
        labels_id = content_identity(landed.key, digest, shell.loop.contract)
        known = shell.catalog.get(keys.labels_item(name, labels_id))
        if known is not None:
            return labels_id, known
        return _save(labels_id, _validated(landed, path, labels_id, shell), shell)


def _validated(landed: Landed, path: Path, labels_id: str, shell: Shell[Settings]) -> Item:
    """Validate, write every output, give what the catalog shall say of it."""
    curated, refused = path.with_name("curated"), path.with_name("refused")
    outcome = validate_labels(
        path,
        contract=shell.loop.contract,
        key=landed.key,
        size_bytes=landed.size_bytes,
        curated=curated,
        quarantine=refused,
        digest=False,
    )
    if outcome.accepted:
        shell.lake.put_file(keys.curated_labels_key(labels_id), curated)
    else:
        shell.lake.put_file(keys.quarantined_original_key(labels_id), path)
    if outcome.rows_quarantined:
        shell.lake.put_file(keys.quarantine_key(labels_id), refused)
    return _described(labels_id, outcome)


def _described(labels_id: str, outcome: Outcome) -> Item:
    labels: Item = {
        "labels_id": labels_id,
        "status": "accepted" if outcome.accepted else "rejected",
        "rows": outcome.rows_accepted,
        "quarantined": outcome.rows_quarantined,
        "blank": outcome.rows_blank,
        "reasons": [violation.message for violation in outcome.reasons],
        "reason_counts": dict(outcome.reason_counts),
    }
    if outcome.accepted:
        labels["curated_key"] = keys.curated_labels_key(labels_id)
    if outcome.accepted and outcome.last_event_at is not None:
        # The newest time at which a label of the file was made.
        labels["as_of"] = outcome.last_event_at.isoformat()
    return labels


def _save(labels_id: str, labels: Item, shell: Shell[Settings]) -> tuple[str, Item]:
    shell.catalog.put(keys.labels_item(shell.settings.loop_name, labels_id), labels)
    shell.metrics.add("LabelsLanded", labels["rows"] + labels["quarantined"])
    shell.metrics.add("LabelsQuarantined", labels["quarantined"])
    return labels_id, labels


def _announce(landed: Landed, labels_id: str, labels: Item, shell: Shell[Settings]) -> None:
    name = shell.settings.loop_name
    said: dict[str, Any] = {
        "loop": name,
        "loop_digest": shell.loop.digest,
        "at": landed.landed_at,
        "labels_id": labels_id,
    }
    if labels["status"] == "rejected":
        rejected = LabelsRejected(**said, key=landed.key, rows=labels["quarantined"], reasons=tuple(labels["reasons"]))
        shell.announce_once(landed.item, rejected)
        return
    shell.announce_once(
        landed.item,
        LabelsJoined(
            **said,
            key=landed.key,
            rows=labels["rows"],
            quarantined=labels["quarantined"],
            as_of=_as_of(landed, labels, shell),
        ),
    )


def _as_of(landed: Landed, labels: Item, shell: Shell[Settings]) -> datetime:
    """When these labels were made: as the file says, else the newest event that was known when they came."""
    if labels.get("as_of"):
        return datetime.fromisoformat(labels["as_of"])
    return newest_event_at(shell.catalog, shell.settings.loop_name) or landed.landed_at


handler = _shell.lambda_handler(Settings, run)
