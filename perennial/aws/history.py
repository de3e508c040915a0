"""What has landed so far, read from the catalog in the order of its events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from perennial import keys
from perennial.aws.catalog import Catalog
from perennial.dataset import BatchEntry, LabelsEntry
from perennial.keys import sortable

__all__ = ["PastBatch", "batches_until", "labels_until", "newest_event_at", "newest_evidence_at", "window_ending_at"]

# Larger than any batch id: bounds a range of sort keys that ends with a moment.
_END = "~"


@dataclass(frozen=True, slots=True)
class PastBatch:
    """One accepted batch: what a dataset and what a drift window need of it."""

    entry: BatchEntry
    profile_key: str


def batches_until(catalog: Catalog, loop: str, as_of: datetime | None = None) -> Iterator[PastBatch]:
    """Accepted batches whose newest event is not after `as_of`, oldest first."""
    last = None if as_of is None else f"{sortable(as_of)}#{_END}"
    for _, item in catalog.query(keys.timeline_partition(loop), last=last):
        yield _batch(item)


def window_ending_at(
    catalog: Catalog, loop: str, last_event_at: datetime, batch_id: str, count: int
) -> list[PastBatch]:
    """The batch and those just before it in time, `count` at most, oldest first: the same cost after any history."""
    last = keys.timeline_item(loop, last_event_at, batch_id)["sk"]
    found = catalog.query(keys.timeline_partition(loop), last=last, newest_first=True, limit=count)
    return [_batch(item) for _, item in found][::-1]


def labels_until(catalog: Catalog, loop: str, as_of: datetime | None = None) -> Iterator[LabelsEntry]:
    """Accepted label files, without those that speak of a time after `as_of`."""
    for _, item in catalog.query(keys.labels_partition(loop)):
        if item.get("status") == "accepted":
            entry = LabelsEntry.model_validate(item)
            if as_of is None or entry.as_of is None or entry.as_of <= as_of:
                yield entry


def newest_event_at(catalog: Catalog, loop: str) -> datetime | None:
    """The newest event of any accepted batch."""
    newest = catalog.query(keys.timeline_partition(loop), newest_first=True, limit=1)
    return next((_batch(item).entry.last_event_at for _, item in newest), None)


def newest_evidence_at(catalog: Catalog, loop: str) -> datetime | None:
    """The data's present: the newest event of a batch, or the newest time that a label file speaks of."""
    moments = [newest_event_at(catalog, loop), *(entry.as_of for entry in labels_until(catalog, loop))]
    return max((moment for moment in moments if moment is not None), default=None)


def _batch(item: dict[str, Any]) -> PastBatch:
    return PastBatch(BatchEntry.model_validate(item), item["profile_key"])
