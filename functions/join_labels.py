"""
A landed label file becomes labels in curated/labels/.

Trigger: SQS, fed by the landing bucket's "Object Created" rule on prefix `labels/`; answers partial batch
responses.
Announces: Labels Joined, Labels Rejected. Metrics: LabelsLanded, LabelsQuarantined.

AWS actions
-----------
- landing bucket `labels/*`: s3:GetObject, s3:GetObjectVersion; on the bucket: s3:ListBucket, s3:ListBucketVersions
- lake bucket: s3:PutObject on `curated/labels/*`, `quarantine/*`; s3:GetObject on the loop's file asset
- catalog table: dynamodb:Query on `timeline`; dynamodb:GetItem, PutItem on `labels`; dynamodb:GetItem, UpdateItem on
  `landings`
- bus: events:PutEvents
- keys of those: kms:Decrypt, kms:GenerateDataKey
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from functions import _shell
from functions._shell import Shell
from perennial import keys
from perennial.aws.batches import told_of
from perennial.aws.catalog import Item
from perennial.aws.history import newest_event_at
from perennial.aws.landing import Landed, Landings
from perennial.aws.reception import Reception
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
    return _shell.each_message(event, shell, lambda body: _reception(shell).take(body))


def _reception(shell: Shell[Settings]) -> Reception:
    settings = shell.settings
    return Reception(
        landings=Landings(shell.bucket(settings.landing_bucket), shell.catalog, settings.loop_name, "labels"),
        kind=_Labels(shell),
        contract=shell.loop.contract,
        logger=shell.logger,
        prefix=keys.LABELS_PREFIX,
        account=settings.account_id,
        direct_bytes=settings.max_object_bytes,
        most_bytes=settings.max_object_bytes,
    )


@dataclass(frozen=True)
class _Labels:
    """Label files as the reception takes them."""

    shell: Shell[Settings]
    id_name: ClassVar[str] = "labels_id"

    def known(self, labels_id: str) -> Item | None:
        """The labels' item, if there is one."""
        return self.shell.catalog.get(keys.labels_item(self.shell.settings.loop_name, labels_id))

    def make(self, landed: Landed, path: Path, labels_id: str) -> Item:
        """Validate, write every output, give what the catalog shall say of it."""
        lake, curated, refused = self.shell.lake, path.with_name("curated"), path.with_name("refused")
        outcome = validate_labels(
            path,
            contract=self.shell.loop.contract,
            key=landed.key,
            size_bytes=landed.size_bytes,
            curated=curated,
            quarantine=refused,
            digest=False,
        )
        if outcome.accepted:
            lake.put_file(keys.curated_labels_key(labels_id), curated)
        else:
            lake.put_file(keys.quarantined_original_key(labels_id), path)
        if outcome.rows_quarantined:
            lake.put_file(keys.quarantine_key(labels_id), refused)
        return _described(labels_id, outcome)

    def refuse(self, labels_id: str, reason: str) -> Item:
        """Rejected labels of no rows."""
        return {"labels_id": labels_id, "status": "rejected", "rows": 0, "quarantined": 0, "reasons": [reason]}

    def save(self, labels_id: str, labels: Item) -> None:
        """The labels' item."""
        self.shell.catalog.put(keys.labels_item(self.shell.settings.loop_name, labels_id), labels)
        self.shell.metrics.add("LabelsLanded", labels["rows"] + labels["quarantined"])
        self.shell.metrics.add("LabelsQuarantined", labels["quarantined"])

    def announce(self, landed: Landed, labels_id: str, labels: Item) -> None:
        """Labels Joined or Labels Rejected."""
        said: dict[str, Any] = {
            "loop": self.shell.settings.loop_name,
            "loop_digest": self.shell.loop.digest,
            "at": landed.landed_at,
            "labels_id": labels_id,
            "key": landed.key,
        }
        if labels["status"] == "rejected":
            rejected = LabelsRejected(**said, rows=labels["quarantined"], reasons=tuple(labels["reasons"]))
            self.shell.announce_once(landed.item, rejected)
            return
        joined = LabelsJoined(
            **said,
            rows=labels["rows"],
            quarantined=labels["quarantined"],
            as_of=_as_of(landed, labels, self.shell),
        )
        self.shell.announce_once(landed.item, joined)


def _described(labels_id: str, outcome: Outcome) -> Item:
    labels: Item = {"labels_id": labels_id, **told_of(outcome)}
    if outcome.accepted:
        labels["curated_key"] = keys.curated_labels_key(labels_id)
    if outcome.accepted and outcome.last_event_at is not None:
        # The newest time at which a label of the file was made.
        labels["as_of"] = outcome.last_event_at.isoformat()
    return labels


def _as_of(landed: Landed, labels: Item, shell: Shell[Settings]) -> datetime:
    """When these labels were made: as the file says, else the newest event that was known when they came."""
    if labels.get("as_of"):
        return datetime.fromisoformat(labels["as_of"])
    return newest_event_at(shell.catalog, shell.settings.loop_name) or landed.landed_at


handler = _shell.lambda_handler(Settings, run)
