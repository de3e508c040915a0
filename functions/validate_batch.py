"""
A landed file becomes a batch: accepted rows in curated/, refused rows in quarantine/, a profile, a catalog entry.

Trigger: SQS, fed by the landing bucket's "Object Created" rule on prefix `batches/`; answers partial batch
responses.
Announces: Batch Accepted, Batch Rejected. Metrics: RowsLanded, RowsAccepted, RowsQuarantined, BatchesRejected.

AWS actions
-----------
- landing bucket `batches/*`: s3:GetObject, s3:GetObjectVersion; on the bucket: s3:ListBucket, s3:ListBucketVersions
  (so that a missing object
  is 404 and not 403)
- lake bucket: s3:PutObject on `curated/batches/*`, `quarantine/*`, `profiles/batches/*`; s3:GetObject on the loop's
  file asset
- catalog table: dynamodb:GetItem, PutItem, UpdateItem, Query
- bus: events:PutEvents
- keys of those: kms:Decrypt, kms:GenerateDataKey
- queue: sqs:ReceiveMessage, DeleteMessage, GetQueueAttributes (the event source's own)
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
from perennial.aws.landing import Landed, Landings, content_identity
from perennial.events import BatchAccepted, BatchRejected
from perennial.validation import Outcome, validate_file

__all__ = ["Settings", "handler", "run"]


class Settings(_shell.Settings):
    """The environment of validate_batch."""

    landing_bucket: str
    # Larger files go by another way than one function's disk; infra sizes the function's disk to fit this.
    max_object_bytes: int = 4 * 1024**3
    # The only account whose events count; "" where it isn't known.
    account_id: str = ""


def run(event: Any, shell: Shell[Settings]) -> dict[str, Any]:
    """Turn every file version that a message names into a batch."""
    return _shell.each_message(event, shell, lambda body: _take(body, shell))


def _take(body: str, shell: Shell[Settings]) -> None:
    """Outputs, then the batch, then the landing, then the word: a crash anywhere is made good by the next delivery."""
    settings = shell.settings
    arrival = parse_arrival(
        body, bucket=settings.landing_bucket, prefix=keys.BATCHES_PREFIX, account=settings.account_id
    )
    landings = Landings(shell.bucket(settings.landing_bucket), shell.catalog, settings.loop_name, "batch")
    landed = landings.look(arrival)
    if landed is None:
        shell.logger.warning({"event": "landed file is gone"})
        return
    standing = shell.catalog.get(landed.item) or {}
    if standing.get("announced"):
        shell.logger.info({"event": "landed file is known", "batch_id": standing["batch_id"]})
        return
    batch_id, batch = _batch(landed, landings, shell)
    landings.record(landed, {"batch_id": batch_id, "status": batch["status"]})
    _announce(landed, batch_id, batch, shell)
    landings.record(landed, {"batch_id": batch_id, "status": batch["status"], "announced": True})
    shell.logger.info({"event": "batch validated", "batch_id": batch_id, "status": batch["status"]})


def _batch(landed: Landed, landings: Landings, shell: Shell[Settings]) -> tuple[str, Item]:
    """The batch that a file version is: known already, or made now."""
    limit, name = shell.settings.max_object_bytes, shell.settings.loop_name
    if landed.size_bytes > limit:
        batch_id = keys.short_id("too large", landed.key, landed.version_id)
        reason = f"a file must hold at most {limit} bytes. Got {landed.size_bytes} instead"
        batch = {
            "status": "rejected",
            "rows": 0,
            "quarantined": 0,
            "blank": 0,
            "reasons": [reason],
            "reason_counts": {},
        }
        return _save(batch_id, batch, shell)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "landed"
        digest = landings.fetch(landed, path, max_bytes=limit)
        batch_id = content_identity(landed.key, digest, shell.loop.contract)
        known = shell.catalog.get(keys.batch_item(name, batch_id))
        if known is not None:
            return batch_id, known
        return _save(batch_id, _validated(landed, path, batch_id, shell), shell)


def _validated(landed: Landed, path: Path, batch_id: str, shell: Shell[Settings]) -> Item:
    """Validate, write every output, give what the catalog shall say; nothing in it depends on when or how it came."""
    curated, refused = path.with_name("curated"), path.with_name("refused")
    outcome = validate_file(
        path,
        contract=shell.loop.contract,
        key=landed.key,
        size_bytes=landed.size_bytes,
        curated=curated,
        quarantine=refused,
        now=landed.landed_at,
        digest=False,
    )
    if outcome.accepted and outcome.profile is not None:
        shell.lake.put_file(keys.curated_key(batch_id), curated)
        shell.lake.put(keys.profile_key(batch_id), outcome.profile.to_bytes())
    else:
        shell.lake.put_file(keys.quarantined_original_key(batch_id), path)
    if outcome.rows_quarantined:
        shell.lake.put_file(keys.quarantine_key(batch_id), refused)
    return _described(batch_id, outcome)


def _described(batch_id: str, outcome: Outcome) -> Item:
    batch: Item = {
        "batch_id": batch_id,
        "status": "accepted" if outcome.accepted else "rejected",
        "rows": outcome.rows_accepted,
        "quarantined": outcome.rows_quarantined,
        "blank": outcome.rows_blank,
        "reasons": [violation.message for violation in outcome.reasons],
        "reason_counts": dict(outcome.reason_counts),
    }
    if outcome.schema_change:
        batch["schema_change"] = str(outcome.schema_change)
    if outcome.accepted:
        batch["curated_key"], batch["profile_key"] = keys.curated_key(batch_id), keys.profile_key(batch_id)
        for name, moment in (("first_event_at", outcome.first_event_at), ("last_event_at", outcome.last_event_at)):
            batch[name] = moment.isoformat() if moment else None
    if outcome.rows_quarantined:
        batch["quarantine_key"] = keys.quarantine_key(batch_id)
    return batch


def _save(batch_id: str, batch: Item, shell: Shell[Settings]) -> tuple[str, Item]:
    """The batch and its place in time. Both follow from the content: whoever writes them writes the same."""
    name = shell.settings.loop_name
    if batch["status"] == "accepted" and batch["last_event_at"] is not None:
        last = _moment(batch["last_event_at"])
        place = {key: batch[key] for key in ("batch_id", "rows", "curated_key", "profile_key")}
        times = {key: batch[key] for key in ("first_event_at", "last_event_at")}
        shell.catalog.put(keys.timeline_item(name, last, batch_id), {**place, **times})
    shell.catalog.put(keys.batch_item(name, batch_id), batch)
    shell.metrics.add("RowsLanded", batch["rows"] + batch["quarantined"] + batch["blank"])
    shell.metrics.add("RowsAccepted", batch["rows"])
    shell.metrics.add("RowsQuarantined", batch["quarantined"])
    shell.metrics.add("BatchesRejected", float(batch["status"] == "rejected"))
    return batch_id, batch


def _announce(landed: Landed, batch_id: str, batch: Item, shell: Shell[Settings]) -> None:
    name = shell.settings.loop_name
    said: dict[str, Any] = {
        "loop": name,
        "loop_digest": shell.loop.digest,
        "at": landed.landed_at,
        "batch_id": batch_id,
    }
    if batch["status"] == "rejected":
        rows = batch["quarantined"] + batch["blank"]
        rejected = BatchRejected(**said, key=landed.key, rows=rows, reasons=tuple(batch["reasons"]))
        shell.announce_once(landed.item, rejected)
        return
    arrived = keys.sortable(landed.landed_at)
    shell.catalog.raise_to(keys.evidence_item(name, "arrival"), "landed_at", arrived, {"batch_id": batch_id})
    shell.announce_once(
        landed.item,
        BatchAccepted(
            **said,
            key=landed.key,
            rows=batch["rows"],
            quarantined=batch["quarantined"],
            first_event_at=_moment(batch["first_event_at"]) if batch["first_event_at"] else None,
            last_event_at=_moment(batch["last_event_at"]) if batch["last_event_at"] else None,
            profile_key=batch["profile_key"],
        ),
    )


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


handler = _shell.lambda_handler(Settings, run)
