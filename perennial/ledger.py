"""
The record of every decision: entries chained by hashes, so that an edit, a gap or a fork shows.

A chain alone can't show that its end was cut off: `Head` is kept where the writer can't write, and verified with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict

from perennial.canonical import canonical_json
from perennial.canonical import digest as digest_of
from perennial.errors import LedgerBroken

__all__ = ["GENESIS", "Head", "LedgerEntry", "append", "verify"]

GENESIS: Final = "0" * 64


class LedgerEntry(BaseModel):
    """One decision. `digest` covers everything else, `previous` included."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sequence: int
    loop: str
    at: AwareDatetime
    kind: str
    entry_id: str
    detail: dict[str, Any]
    previous: str
    digest: str

    def to_json(self) -> str:
        """The canonical text that is stored."""
        return canonical_json(self)


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a chain as somebody else remembers it."""

    sequence: int
    digest: str


def append(
    previous: LedgerEntry | None, *, loop: str, at: datetime, kind: str, entry_id: str, detail: dict[str, Any]
) -> LedgerEntry:
    """
    The entry that follows `previous` (None: the first of the chain).

    `entry_id` is the event's own id, so that an event that comes twice can be found before it is written twice.
    """
    body = {
        "sequence": previous.sequence + 1 if previous is not None else 0,
        "loop": loop,
        "at": at,
        "kind": kind,
        "entry_id": entry_id,
        "detail": detail,
        "previous": previous.digest if previous is not None else GENESIS,
    }
    return LedgerEntry.model_validate({**body, "digest": digest_of(body)})


def verify(entries: Iterable[LedgerEntry], head: Head | None = None) -> Head | None:
    """
    The head of the chain, when it verifies from its first entry on.

    Parameters
    ----------
    head
        The head as anchored elsewhere: the chain must reach it and agree with it (it may have grown since).

    Raises
    ------
    LedgerBroken
        An entry was changed, left out, moved or doubled, or the end was cut off; says at which sequence number.
    """
    previous: LedgerEntry | None = None
    anchored = head is None
    for position, entry in enumerate(entries):
        if entry.sequence != position:
            raise LedgerBroken(f"ledger entry {position} must follow. Got {entry.sequence} instead: a gap or a copy.")
        if entry.previous != (previous.digest if previous is not None else GENESIS):
            raise LedgerBroken(f"ledger entry {position} doesn't follow the one before it: a fork or an edit.")
        if previous is not None and entry.loop != previous.loop:
            raise LedgerBroken(f"ledger entry {position} must be of loop {previous.loop}. Got {entry.loop} instead.")
        if digest_of(entry.model_dump(exclude={"digest"})) != entry.digest:
            raise LedgerBroken(f"ledger entry {position} was changed after it was written.")
        if head is not None and entry.sequence == head.sequence:
            if entry.digest != head.digest:
                raise LedgerBroken(f"ledger entry {position} is not the one that was anchored: a rewritten chain.")
            anchored = True
        previous = entry
    if not anchored and head is not None:
        length = previous.sequence + 1 if previous is not None else 0
        raise LedgerBroken(f"the ledger must reach entry {head.sequence}. Got {length} entries: its end was cut off.")
    return Head(previous.sequence, previous.digest) if previous is not None else None
