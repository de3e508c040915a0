"""
Landed files: looked at again, fetched as exactly the version that the event names, and recorded one by one.

An event is only a hint. What S3 says about the object version decides: gone, deleted, too large, or here it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from perennial import keys
from perennial.aws.arrivals import Arrival
from perennial.aws.catalog import Catalog
from perennial.aws.lake import Lake, ObjectGone
from perennial.contract import Contract
from perennial.errors import EventInvalid
from perennial.keys import TableKey
from perennial.validation.blocks import FileRejected
from perennial.validation.sources import file_kind

__all__ = ["Landed", "Landings", "content_identity"]


@dataclass(frozen=True, slots=True)
class Landed:
    """One landed file version that is there: what S3 says of it, and where its record is."""

    key: str
    version_id: str
    size_bytes: int
    landed_at: datetime
    item: TableKey


@dataclass(frozen=True)
class Landings:
    """The landing bucket and the records of what landed in it; `kind` is "batch" or "labels"."""

    bucket: Lake
    catalog: Catalog
    loop: str
    kind: str

    def look(self, arrival: Arrival) -> Landed | None:
        """
        The file version of an arrival; None, and on record, where it is missing or a delete marker.

        Raises
        ------
        EventInvalid
            The event names no version, and what is there now isn't what it speaks of: its own event comes.
        """
        try:
            head = self.bucket.head(arrival.key, arrival.version_id)
        except ObjectGone as gone:
            version = arrival.version_id or "null"
            item = keys.landing_item(self.loop, self.bucket.bucket, arrival.key, version)
            gone_for_good = {"key": arrival.key, "version_id": version, "bucket": self.bucket.bucket}
            self.catalog.update(item, {**gone_for_good, "kind": self.kind, "status": gone.state}, create=True)
            return None
        if arrival.version_id is None and arrival.etag and arrival.etag != head.etag:
            raise EventInvalid("an event without a version must be about the newest one. Got another one instead.")
        item = keys.landing_item(self.loop, self.bucket.bucket, arrival.key, head.version_id)
        return Landed(arrival.key, head.version_id, head.size_bytes, head.last_modified_at, item)

    def fetch(self, landed: Landed, path: Path, *, max_bytes: int) -> str:
        """Streams exactly this version into `path`; gives the SHA-256 of its bytes in hex."""
        return self.bucket.download(landed.key, path, version_id=landed.version_id, max_bytes=max_bytes)

    def record(self, landed: Landed, outcome: Mapping[str, Any]) -> None:
        """What became of the file version; written after everything that it speaks of."""
        told = {
            "bucket": self.bucket.bucket,
            "key": landed.key,
            "version_id": landed.version_id,
            "landed_at": landed.landed_at.isoformat(),
            "size_bytes": landed.size_bytes,
            "kind": self.kind,
        }
        self.catalog.update(landed.item, {**told, **outcome}, create=True)


def content_identity(key: str, digest: str, contract: Contract) -> str:
    """
    The id of a file's content, 40 hex digits of its digest.

    A file that its key alone has refused gets another one: the same bytes may come again under a better key.
    """
    try:
        file_kind(key, contract)
    except FileRejected:
        return keys.short_id("refused by key", digest)
    return digest[:40]
