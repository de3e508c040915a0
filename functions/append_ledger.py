"""
Every event becomes one entry of the hash-chained ledger, once.

Trigger: SQS, fed by the bus (every event of the source `perennial`); answers partial batch responses.

AWS actions
-----------
- audit bucket: s3:PutObject on `ledger/*`; s3:GetObject on `ledger/*`; s3:ListBucket
- lake bucket: s3:GetObject on the loop's file asset
- catalog table: dynamodb:GetItem, PutItem on `ledger-receipts`; dynamodb:GetItem, UpdateItem on `ledger-head`;
  dynamodb:GetItem, Query, PutItem on `ledger`
- keys of those: kms:Decrypt, kms:GenerateDataKey
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from functions import _shell
from functions._shell import Shell
from perennial import keys
from perennial.canonical import canonical_json
from perennial.errors import EventInvalid, LedgerBroken
from perennial.events import SOURCE, Event, parse
from perennial.ledger import LedgerEntry, append
from perennial.narration import tell

__all__ = ["Settings", "handler", "run"]

# Others may append at the same time; each round one of them wins.
MAX_ROUNDS = 25


class Settings(_shell.Settings):
    """The environment of append_ledger."""

    audit_bucket: str


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    source: str
    detail_type: str = Field(alias="detail-type")
    detail: dict[str, Any]


def run(event: Any, shell: Shell[Settings]) -> dict[str, Any]:
    """Append every event of the messages that isn't there yet."""
    return _shell.each_message(event, shell, lambda body: _append(body, shell))


def _append(body: str, shell: Shell[Settings]) -> None:
    """Claim a place in the chain, then write the object; an event that comes again finishes what was begun."""
    said = _parse(body, shell.settings.loop_name)
    # The same event always says the same bytes, its own time included (see Shell.announce_once).
    entry_id = keys.short_id(said.detail_type, canonical_json(said))
    entry = _standing(entry_id, shell) or _claim(said, entry_id, shell)
    if not shell.bucket(shell.settings.audit_bucket).put_new(keys.ledger_key(entry.sequence), entry.to_json().encode()):
        raise LedgerBroken(
            f"ledger entry {entry.sequence} must be the catalog's. Got another one in the bucket instead."
        )
    head = keys.ledger_head_item(shell.settings.loop_name)
    shell.catalog.raise_to(
        head, "place", f"{entry.sequence:012d}", {"digest": entry.digest, "sequence": entry.sequence}
    )
    # The log is written under another permission than table and bucket: an anchor that the writer can't take back.
    shell.logger.info({"event": "ledger appended", "sequence": entry.sequence, "digest": entry.digest})


def _parse(body: str, loop: str) -> Event:
    try:
        message = _Message.model_validate(json.loads(body))
    except (json.JSONDecodeError, ValidationError) as error:
        raise EventInvalid("a message must be an event from EventBridge. Got something else instead.") from error
    if message.source != SOURCE:
        raise EventInvalid(f"an event must be of {SOURCE}. Got another source instead.")
    said = parse(message.detail_type, message.detail)
    if said.loop != loop:
        raise EventInvalid(f"an event must be of loop {loop}. Got another one instead.")
    return said


def _standing(entry_id: str, shell: Shell[Settings]) -> LedgerEntry | None:
    """The entry that an event already has."""
    receipt = shell.catalog.get(keys.ledger_receipt_item(shell.settings.loop_name, entry_id))
    if receipt is None:
        return None
    item = shell.catalog.get(keys.ledger_item(shell.settings.loop_name, int(receipt["sequence"])))
    if item is None:
        raise LedgerBroken(f"ledger entry {receipt['sequence']} must be in the catalog. It is gone.")
    return LedgerEntry.model_validate_json(item["entry"])


def _claim(said: Event, entry_id: str, shell: Shell[Settings]) -> LedgerEntry:
    """Entry and receipt in one transaction, so that an event never gets two places, however often it comes at once."""
    name = shell.settings.loop_name
    for _ in range(MAX_ROUNDS):
        newest = next(iter(shell.catalog.query(keys.ledger_partition(name), newest_first=True, limit=1)), None)
        previous = LedgerEntry.model_validate_json(newest[1]["entry"]) if newest else None
        entry = append(
            previous,
            loop=name,
            at=said.at,
            kind=said.detail_type,
            entry_id=entry_id,
            detail=said.model_dump(mode="json"),
        )
        item = {
            "entry": entry.to_json(),
            "digest": entry.digest,
            "at": said.at.isoformat(),
            "detail_type": said.detail_type,
            "sentence": tell(said),
        }
        written = shell.catalog.put_all_new(
            [
                (keys.ledger_item(name, entry.sequence), item),
                (keys.ledger_receipt_item(name, entry_id), {"sequence": entry.sequence}),
            ]
        )
        if written:
            return entry
        # Somebody took the place, or gave this very event one; or our own write won and its answer was lost.
        standing = _standing(entry_id, shell)
        if standing is not None:
            return standing
    raise RuntimeError(f"a place in the ledger must be free within {MAX_ROUNDS} rounds. Others were always faster.")


handler = _shell.lambda_handler(Settings, run)
