"""`perennial audit verify`: the ledger in the audit bucket, read back and checked against its head."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from perennial import keys
from perennial.cli.deployment import Deployment
from perennial.errors import LedgerBroken
from perennial.ledger import Head, LedgerEntry, verify

__all__ = ["Audited", "parse_anchor", "verify_ledger"]

_PREFIX: Final = "ledger/"
# S3 answers each small object in tens of milliseconds; a ledger has thousands.
_READERS: Final = 16


@dataclass(frozen=True, slots=True)
class Audited:
    """
    What a verification found.

    Attributes
    ----------
    entries
        How many entries there are.
    head
        The last entry's sequence number and digest; None for an empty ledger.
    anchors
        What the chain was checked against beside itself: "catalog", "given".
    broken
        Where and how the chain breaks; None for one that verifies.
    """

    entries: int
    head: Head | None
    anchors: tuple[str, ...]
    broken: str | None = None

    @property
    def good(self) -> bool:
        """The chain verifies."""
        return self.broken is None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        head = {"sequence": self.head.sequence, "digest": self.head.digest} if self.head else None
        return {
            "verified": self.good,
            "entries": self.entries,
            "head": head,
            "anchors": list(self.anchors),
            "broken": self.broken,
        }


def parse_anchor(text: str) -> Head:
    """
    A head as somebody noted it down: SEQUENCE:DIGEST.

    Raises
    ------
    LedgerBroken
        It isn't one.

    >>> parse_anchor("41:" + 64 * "a").sequence
    41
    """
    sequence, _, digest = text.partition(":")
    if not sequence.isdecimal() or len(digest) != 64:
        raise LedgerBroken(f"an anchor must be SEQUENCE:DIGEST, the digest 64 hex digits. Got {text!r} instead.")
    return Head(int(sequence), digest)


def verify_ledger(deployment: Deployment, anchor: Head | None = None) -> Audited:
    """
    Read every entry of the audit bucket and follow the chain, to the catalog's head and through `anchor`.

    An entry that was written over or deleted is found even where its newest version fits: Object Lock keeps the first.
    """
    item = deployment.catalog.get(keys.ledger_head_item(deployment.loop)) or {}
    kept = Head(int(item["sequence"]), str(item["digest"])) if item else None
    heads = {name: head for name, head in (("catalog", kept), ("given", anchor)) if head is not None}
    versions: list[tuple[str, str]] = []
    try:
        versions += _versions(deployment)
        entries = list(_read(deployment, versions))
        head = verify(entries)
        for known in heads.values():
            verify(entries, known)
        if entries and entries[0].loop != deployment.loop:
            raise LedgerBroken(f"the ledger must be of loop {deployment.loop}. Got {entries[0].loop} instead.")
    except LedgerBroken as broken:
        return Audited(len(versions), None, tuple(heads), str(broken))
    return Audited(len(entries), head, tuple(heads))


def _versions(deployment: Deployment) -> Iterator[tuple[str, str]]:
    """Key and version of each entry, in order; each must have exactly one."""
    bucket = deployment["AuditBucket"]
    previous = None
    for page in deployment.s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=_PREFIX):
        for marker in page.get("DeleteMarkers", []):
            raise LedgerBroken(f"{marker['Key']} must stay. Got deleted at {marker['LastModified']} instead.")
        for version in page.get("Versions", []):
            if version["Key"] == previous:
                raise LedgerBroken(f"{previous} must be written once. Got several versions of it instead.")
            previous = version["Key"]
            yield version["Key"], version["VersionId"]


def _read(deployment: Deployment, versions: list[tuple[str, str]]) -> Iterator[LedgerEntry]:
    bucket, s3 = deployment["AuditBucket"], deployment.s3

    def read(version: tuple[str, str]) -> bytes:
        body: bytes = s3.get_object(Bucket=bucket, Key=version[0], VersionId=version[1])["Body"].read()
        return body

    with ThreadPoolExecutor(_READERS) as readers:
        for (key, _), body in zip(versions, readers.map(read, versions), strict=True):
            try:
                entry = LedgerEntry.model_validate_json(body)
            except ValidationError as error:
                raise LedgerBroken(f"{key} must be a ledger entry. Got something else instead.") from error
            if key != keys.ledger_key(entry.sequence):
                raise LedgerBroken(
                    f"entry {entry.sequence} must be {keys.ledger_key(entry.sequence)}. Got {key} instead."
                )
            yield entry
