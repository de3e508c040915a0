"""The bus as functions hear it: what is announced arrives as it was said, and nothing else is taken."""

from __future__ import annotations

from typing import Any

import pytest

from perennial.aws.bus import parse_delivered
from perennial.errors import EventInvalid
from perennial.events import BatchAccepted, LabelsJoined
from tests.builders import NOW
from tests.functions.world import load_event, on_bus


def labels_joined() -> LabelsJoined:
    return LabelsJoined(loop="demo", at=NOW, labels_id="l", key="labels/1.csv", rows=10, quarantined=0, as_of=NOW)


def test_what_a_rule_delivers_is_the_event_that_was_announced() -> None:
    said = labels_joined()

    assert said == parse_delivered(on_bus(said), LabelsJoined, loop="demo")


def changed(**detail: Any) -> dict[str, Any]:
    delivered: dict[str, Any] = load_event("bus_batch_accepted")
    delivered["detail"] |= detail
    return delivered


@pytest.mark.parametrize(
    ("delivered", "told"),
    [
        (on_bus(labels_joined()), "must be Batch Accepted of loop demo. Got Labels Joined instead"),
        (changed(loop="other"), "must be Batch Accepted of loop demo. Got Batch Accepted instead"),
        (changed(rows="many"), "Batch Accepted: "),
        (changed() | {"detail-type": "Batch Refused"}, "detail type must be one of"),
    ],
    ids=["another kind", "another loop", "a detail that does not fit", "no kind of ours"],
)
def test_a_target_takes_its_own_kind_of_event_of_its_own_loop_only(delivered: dict[str, Any], told: str) -> None:
    with pytest.raises(EventInvalid, match=told):
        parse_delivered(delivered, BatchAccepted, loop="demo")
