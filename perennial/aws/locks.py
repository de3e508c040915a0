"""
One holder at a time, by a catalog item with a lease and a fencing token that only grows.

A lock alone can't stop a holder that was paused and wakes up late; its token can: whatever the holder writes says
the token, and a write with an older one is refused (M. Kleppmann, "How to do distributed locking", 2016).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from perennial.aws.catalog import Catalog
from perennial.errors import Fenced, LockHeld
from perennial.keys import TableKey

__all__ = ["ROLLOUT_LOCK", "Lock"]

# At most one rollout of a loop at a time.
ROLLOUT_LOCK: Final = "rollout"


@dataclass(frozen=True)
class Lock:
    """A named lock of a loop. The item stays when it is released, so that its token never starts again."""

    catalog: Catalog
    key: TableKey

    def acquire(self, holder: str, *, now: datetime, lease_seconds: int) -> int:
        """
        The fencing token of `holder`; its own again when it asks again.

        Raises
        ------
        LockHeld
            Somebody else holds the lock and its lease hasn't run out; says who and since when.
        """
        for _ in range(5):
            item, version = self.catalog.get_versioned(self.key)
            if item.get("holder") == holder:
                return int(item["fencing_token"])
            if item.get("holder") and datetime.fromisoformat(item["leased_until"]) > now:
                raise LockHeld(
                    f"the lock must be free. Got held by {item['holder']} since {item['acquired_at']} instead."
                )
            token = int(item.get("fencing_token", 0)) + 1
            taken = {
                "holder": holder,
                "fencing_token": token,
                "acquired_at": now.isoformat(),
                "leased_until": (now + timedelta(seconds=lease_seconds)).isoformat(),
            }
            if self.catalog.put_version(self.key, taken, expected=version, token=f"{holder}#{token}"):
                return token
        raise LockHeld("the lock must be free. Got taken by others five times in a row instead.")

    def check(self, holder: str, fencing_token: int) -> None:
        """Raises Fenced unless `holder` still holds the lock with this token."""
        item = self.catalog.get(self.key) or {}
        if item.get("holder") != holder or item.get("fencing_token") != fencing_token:
            raise Fenced(
                f"the lock must be held by {holder} with token {fencing_token}. "
                f"Got {item.get('holder') or 'nobody'} with token {item.get('fencing_token', 0)} instead."
            )

    def release(self, holder: str) -> None:
        """Frees the lock if `holder` has it; anything else is left as it is."""
        item, version = self.catalog.get_versioned(self.key)
        if item.get("holder") != holder:
            return
        released = {"holder": "", "fencing_token": item["fencing_token"], "released_by": holder}
        self.catalog.put_version(self.key, released, expected=version, token=f"{holder}#released")
