"""The loop's event bus: what happened, said to whoever listens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from perennial.events import SOURCE, Event

__all__ = ["Bus"]


@dataclass(frozen=True)
class Bus:
    """One EventBridge bus. Announcing twice is harmless: every listener is idempotent by content."""

    events: Any
    name: str

    def announce(self, event: Event) -> None:
        """
        Puts one event; raises where EventBridge didn't take it.

        PutEvents answers 200 with failed entries inside, so the count is looked at.
        """
        answer = self.events.put_events(
            Entries=[
                {
                    "EventBusName": self.name,
                    "Source": SOURCE,
                    "DetailType": event.detail_type,
                    "Detail": event.model_dump_json(),
                    "Time": event.at,
                }
            ]
        )
        if answer.get("FailedEntryCount"):
            codes = ", ".join(sorted({str(entry.get("ErrorCode")) for entry in answer["Entries"]}))
            raise RuntimeError(f"{event.detail_type} must reach the bus. Got {codes} instead.")
