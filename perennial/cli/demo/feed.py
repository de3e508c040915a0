"""What the loop decided, as it is written into its ledger: followed, told and kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from perennial import events, keys
from perennial.cli.deployment import Deployment
from perennial.events import Event
from perennial.ledger import LedgerEntry

__all__ = ["Feed"]

_PAUSE_SECONDS = 0.25


class Feed:
    """
    Follows the ledger in a thread: every event once, in the order of the record.

    Parameters
    ----------
    tell
        Called with each event, in the feed's thread.
    """

    def __init__(self, deployment: Deployment, tell: Callable[[Event], None]) -> None:
        self._deployment, self._tell = deployment, tell
        self._after = "0"
        self._condition = threading.Condition()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self.events: list[Event] = []

    def __enter__(self) -> Feed:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(timeout=10)

    def wait_for(self, test: Callable[[Event], bool], *, lost: Callable[[], object], since: int = 0) -> Event | None:
        """The first event at or after position `since` that passes `test`; None once `lost` says that none will."""
        position = since
        while True:
            given_up = lost()
            with self._condition:
                for event in self.events[position:]:
                    position += 1
                    if test(event):
                        return event
                if given_up:
                    return None
                self._condition.wait(1.0)

    def _follow(self) -> None:
        while not self._stopping.is_set():
            for sort, item in self._newer():
                self._after = sort
                event = _event(item)
                self._tell(event)
                with self._condition:
                    self.events.append(event)
                    self._condition.notify_all()
            time.sleep(_PAUSE_SECONDS)

    def _newer(self) -> list[tuple[str, dict[str, Any]]]:
        newer = self._deployment.catalog.query(keys.ledger_partition(self._deployment.loop), first=self._after)
        return [(sort, item) for sort, item in newer if sort.isdigit() and sort > self._after]


def _event(item: dict[str, Any]) -> Event:
    entry = LedgerEntry.model_validate_json(item["entry"])
    return events.parse(entry.kind, entry.detail)
