"""
The one way in which a landed file becomes what it is: looked at, made, recorded, announced, closed.

Outputs come first, then the content's record, then the landing's, then the word, then the mark that it was said: a
crash anywhere is made good by the next delivery, and nothing is called done before what it speaks of is there.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from perennial import keys
from perennial.aws.arrivals import parse_arrival
from perennial.aws.catalog import Item
from perennial.aws.landing import Landed, Landings, content_identity
from perennial.contract import Contract

__all__ = ["Elsewhere", "Kind", "Reception"]

#: Takes a file that is too large for here, with its landing's record and the message that told of it.
Elsewhere = Callable[[Landed, Item, str], None]


class Kind(Protocol):
    """What differs between batches and label files; `make` writes outputs, `save` and `announce` make them known."""

    @property
    def id_name(self) -> str:
        """What the content's id is called in its own record and in the landing's."""

    def known(self, content_id: str) -> Item | None:
        """The content's record, if it has one."""

    def make(self, landed: Landed, path: Path, content_id: str) -> Item:
        """Reads the file, writes every output; gives what the record shall say."""

    def refuse(self, content_id: str, reason: str) -> Item:
        """The record of a file that was never read."""

    def save(self, content_id: str, item: Item) -> None:
        """Writes the record; it follows from the content, so whoever writes it writes the same."""

    def announce(self, landed: Landed, content_id: str, item: Item) -> None:
        """Tells what became of the landed file, once."""


@dataclass(frozen=True)
class Reception:
    """
    Takes landed files of one kind.

    Parameters
    ----------
    prefix, account
        Where events may speak of, and the only account that they may come from ("": not known).
    direct_bytes, most_bytes
        What is larger than the first goes to `elsewhere`, what is larger than the second is refused.
    """

    landings: Landings
    kind: Kind
    contract: Contract
    logger: Any
    prefix: str = ""
    account: str = ""
    direct_bytes: int = 0
    most_bytes: int = 0
    elsewhere: Elsewhere | None = None

    def take(self, body: str) -> None:
        """
        Everything that a message about a landed file asks for, however often it comes.

        Raises
        ------
        EventInvalid
            The message is about another place, or no event at all.
        """
        arrival = parse_arrival(body, bucket=self.landings.bucket.bucket, prefix=self.prefix, account=self.account)
        landed = self.landings.look(arrival)
        if landed is None:
            self.logger.warning({"event": "landed file is gone"})
            return
        standing = self.landings.catalog.get(landed.item) or {}
        if standing.get("announced"):
            self.logger.info({"event": "landed file is known", self.kind.id_name: standing[self.kind.id_name]})
            return
        if self.elsewhere is not None and self.direct_bytes < landed.size_bytes <= self.most_bytes:
            self.elsewhere(landed, standing, body)
            return
        content_id, item = self._content(landed)
        self.settle(landed, content_id, item)

    def settle(self, landed: Landed, content_id: str, item: Item) -> None:
        """The landing's record, the word, and the mark that it was said; for content that is on record."""
        told = {self.kind.id_name: content_id, "status": item["status"]}
        self.landings.record(landed, told)
        self.kind.announce(landed, content_id, item)
        self.landings.record(landed, {**told, "announced": True})
        self.logger.info({"event": f"{self.landings.kind} validated", **told})

    def _content(self, landed: Landed) -> tuple[str, Item]:
        """What a file version holds: known already, or made now."""
        limit = self.most_bytes
        if landed.size_bytes > limit:
            content_id = keys.short_id("too large", landed.key, landed.version_id)
            reason = f"a file must hold at most {limit} bytes. Got {landed.size_bytes} instead"
            item = self.kind.refuse(content_id, reason)
        else:
            with tempfile.TemporaryDirectory() as scratch:
                path = Path(scratch) / "landed"
                digest = self.landings.fetch(landed, path, max_bytes=limit)
                content_id = content_identity(landed.key, digest, self.contract)
                known = self.kind.known(content_id)
                if known is not None:
                    return content_id, known
                item = self.kind.make(landed, path, content_id)
        self.kind.save(content_id, item)
        return content_id, item
