"""The loop's event bus: what happened, said to whoever listens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from perennial.errors import EventInvalid
from perennial.events import SOURCE, Event, parse

__all__ = ["Bus", "parse_delivered"]


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


def parse_delivered[E: Event](delivered: Mapping[str, Any], kind: type[E], *, loop: str) -> E:
    """
    The event that a rule of the loop's bus delivered to its target.

    Parameters
    ----------
    delivered
        EventBridge's envelope.
    kind, loop
        The only kind of event, and the only loop, that the target listens for.

    Raises
    ------
    EventInvalid
        Another kind, another loop, or a detail that doesn't fit: somebody else calls the target.
    """
    said = parse(delivered["detail-type"], delivered["detail"])
    if not isinstance(said, kind) or said.loop != loop:
        raise EventInvalid(f"an event must be {kind.detail_type} of loop {loop}. Got {said.detail_type} instead.")
    return said
