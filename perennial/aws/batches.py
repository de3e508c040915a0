"""
Batches: made of a landed file, put on record, announced. A function makes them, or a job does and a function records.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from perennial import keys
from perennial.aws.catalog import Catalog, Item
from perennial.aws.id_log import IdLog
from perennial.aws.lake import Lake
from perennial.aws.landing import Landed
from perennial.aws.metrics import Metrics
from perennial.contract import Contract
from perennial.events import BatchAccepted, BatchRejected, Event
from perennial.keys import TableKey
from perennial.validation import Limits, Outcome, validate_file

__all__ = ["BatchMaker", "BatchRecords", "Batches", "told_of"]


@dataclass(frozen=True)
class BatchMaker:
    """
    Turns a file into a batch's outputs in the lake: wherever it runs, equal files give equal outputs.

    Parameters
    ----------
    id_log
        Where the contract's `unique_within` is kept; it alone makes a batch depend on those before it.
    """

    lake: Lake
    contract: Contract
    id_log: IdLog
    workers: int = 1
    limits: Limits = field(default_factory=Limits)

    def make(self, landed: Landed, path: Path, batch_id: str) -> Item:
        """Validate, write every output, give what the catalog shall say; nothing in it depends on when it came."""
        curated, refused = path.with_name("curated"), path.with_name("refused")
        outcome = self._validate(landed, path, self.contract, now=landed.landed_at)
        if outcome.accepted and outcome.rows_accepted and self.contract.quality.unique_within_seconds is not None:
            outcome = self._among_others(landed, path, batch_id, outcome)
        if outcome.accepted and outcome.profile is not None:
            self.lake.put_file(keys.curated_key(batch_id), curated)
            self.lake.put(keys.profile_key(batch_id), outcome.profile.to_bytes())
        else:
            self.lake.put_file(keys.quarantined_original_key(batch_id), path)
        if outcome.rows_quarantined:
            self.lake.put_file(keys.quarantine_key(batch_id), refused)
        return _described(batch_id, outcome)

    def _validate(self, landed: Landed, path: Path, contract: Contract, **options: Any) -> Outcome:
        return validate_file(
            path,
            contract=contract,
            key=landed.key,
            size_bytes=landed.size_bytes,
            curated=path.with_name("curated"),
            quarantine=path.with_name("refused"),
            limits=self.limits,
            digest=False,
            workers=self.workers,
            **options,
        )

    def _among_others(self, landed: Landed, path: Path, batch_id: str, alone: Outcome) -> Outcome:
        """The outcome beside the batches before it; a second pass only where it has some of their ids."""
        ids, quality = alone.record_ids, self.contract.quality
        entry = self.id_log.enter(
            batch_id,
            ids,
            path.with_name("ids"),
            first_event_at=alone.first_event_at,
            last_event_at=alone.last_event_at,
            within_seconds=quality.unique_within_seconds,
        )
        repeated = self.id_log.repeated(entry, ids)
        if not len(repeated):
            return alone
        # The file was judged by its first pass. That some of its rows came before is no fault of the others.
        judged = self.contract.model_copy(update={"quality": quality.model_copy(update={"max_invalid_rate": 1.0})})
        outcome = self._validate(landed, path, judged, recent_ids=repeated)
        expected = alone.rows_accepted - len(repeated)
        if not outcome.accepted or outcome.rows_accepted != expected:
            raise RuntimeError(f"a batch must keep its {expected} new rows. Got {outcome.rows_accepted} instead.")
        return outcome


@dataclass(frozen=True)
class BatchRecords:
    """The catalog's batches, and the word about them."""

    catalog: Catalog
    loop: str
    loop_digest: str
    metrics: Metrics
    announce_once: Callable[[TableKey, Event], Event]

    def known(self, batch_id: str) -> Item | None:
        """The batch's item, if there is one."""
        return self.catalog.get(keys.batch_item(self.loop, batch_id))

    def save(self, batch_id: str, batch: Item) -> None:
        """The batch and its place in time. Both follow from the content: whoever writes them writes the same."""
        if batch["status"] == "accepted" and batch["last_event_at"] is not None:
            last = datetime.fromisoformat(batch["last_event_at"])
            place = {key: batch[key] for key in ("batch_id", "rows", "curated_key", "profile_key")}
            times = {key: batch[key] for key in ("first_event_at", "last_event_at")}
            self.catalog.put(keys.timeline_item(self.loop, last, batch_id), {**place, **times})
        self.catalog.put(keys.batch_item(self.loop, batch_id), batch)
        self.metrics.add("RowsLanded", batch["rows"] + batch["quarantined"] + batch["blank"])
        self.metrics.add("RowsAccepted", batch["rows"])
        self.metrics.add("RowsQuarantined", batch["quarantined"])
        self.metrics.add("BatchesRejected", float(batch["status"] == "rejected"))

    def announce(self, landed: Landed, batch_id: str, batch: Item) -> None:
        """Batch Accepted or Batch Rejected; an accepted one also moves up when data came last."""
        said: dict[str, Any] = {
            "loop": self.loop,
            "loop_digest": self.loop_digest,
            "at": landed.landed_at,
            "batch_id": batch_id,
            "key": landed.key,
        }
        if batch["status"] == "rejected":
            rows = batch["quarantined"] + batch["blank"]
            self.announce_once(landed.item, BatchRejected(**said, rows=rows, reasons=tuple(batch["reasons"])))
            return
        arrived = keys.sortable(landed.landed_at)
        self.catalog.raise_to(keys.arrival_item(self.loop), "landed_at", arrived, {"batch_id": batch_id})
        accepted = BatchAccepted(
            **said,
            rows=batch["rows"],
            quarantined=batch["quarantined"],
            first_event_at=_moment(batch["first_event_at"]),
            last_event_at=_moment(batch["last_event_at"]),
            profile_key=batch["profile_key"],
        )
        self.announce_once(landed.item, accepted)


@dataclass(frozen=True)
class Batches:
    """Batches as the reception takes them; without a maker they are made elsewhere."""

    records: BatchRecords
    maker: BatchMaker | None = None
    id_name: ClassVar[str] = "batch_id"

    def known(self, batch_id: str) -> Item | None:
        """As of `BatchRecords`."""
        return self.records.known(batch_id)

    def make(self, landed: Landed, path: Path, batch_id: str) -> Item:
        """As of `BatchMaker`."""
        if self.maker is None:
            raise RuntimeError("batches must have a maker to be made here. Got none.")
        return self.maker.make(landed, path, batch_id)

    def refuse(self, batch_id: str, reason: str) -> Item:
        """A rejected batch of no rows."""
        return {
            "batch_id": batch_id,
            "status": "rejected",
            "rows": 0,
            "quarantined": 0,
            "blank": 0,
            "reasons": [reason],
            "reason_counts": {},
        }

    def save(self, batch_id: str, batch: Item) -> None:
        """As of `BatchRecords`."""
        self.records.save(batch_id, batch)

    def announce(self, landed: Landed, batch_id: str, batch: Item) -> None:
        """As of `BatchRecords`."""
        self.records.announce(landed, batch_id, batch)


def told_of(outcome: Outcome) -> Item:
    """What the record of a landed file says of its validation, whatever kind of file it is."""
    return {
        "status": "accepted" if outcome.accepted else "rejected",
        "rows": outcome.rows_accepted,
        "quarantined": outcome.rows_quarantined,
        "blank": outcome.rows_blank,
        "reasons": [violation.message for violation in outcome.reasons],
        "reason_counts": dict(outcome.reason_counts),
    }


def _described(batch_id: str, outcome: Outcome) -> Item:
    batch: Item = {"batch_id": batch_id, **told_of(outcome)}
    if outcome.schema_change:
        batch["schema_change"] = str(outcome.schema_change)
    if outcome.accepted:
        batch["curated_key"], batch["profile_key"] = keys.curated_key(batch_id), keys.profile_key(batch_id)
        for name, moment in (("first_event_at", outcome.first_event_at), ("last_event_at", outcome.last_event_at)):
            batch[name] = moment.isoformat() if moment else None
    if outcome.rows_quarantined:
        batch["quarantine_key"] = keys.quarantine_key(batch_id)
    return batch


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
