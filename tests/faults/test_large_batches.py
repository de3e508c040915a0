"""One fault at every call of what orders, makes and records a large batch: the same stands as without it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest

from functions import record_batch, validate_batch
from perennial import keys
from perennial.aws.large_batches import LargeOrder, make_large_batch
from tests.faults.seam import Fault, Scenario, sweep
from tests.faults.test_single_faults import FAULTS
from tests.functions.builders import make_csv
from tests.functions.test_large_batches import land_large, started
from tests.functions.world import LANDING, World


def order(world: World, event: dict[str, Any]) -> None:
    world.run(validate_batch, event, max_object_bytes=10)


def ordered(world: World) -> dict[str, Any]:
    land_large(world, make_csv(rows=20, bad_rows=1))
    [given] = started(world).values()
    return given


def make(world: World, given: dict[str, Any]) -> None:
    asked = LargeOrder.model_validate_json(world.lake.get(given["order_key"]))
    with tempfile.TemporaryDirectory() as scratch:
        make_large_batch(asked, world.clients, scratch=Path(scratch), workers=1)


def made(world: World) -> dict[str, Any]:
    given = ordered(world)
    make(world, given)
    return given


SCENARIOS = {
    "order": Scenario(lambda world: world.land(make_csv(rows=20), "batches/large.csv"), order),
    "make": Scenario(ordered, make),
    "record": Scenario(made, lambda world, given: world.run(record_batch, given)),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_whatever_happens_at_one_call_a_second_try_leaves_what_stands_without_it(name: str, fault: Fault) -> None:
    assert sweep(SCENARIOS[name], fault) == []


def test_the_sweep_finds_an_attempt_that_is_on_record_before_it_was_started() -> None:
    """The mutant of property 16: the next delivery would start another attempt."""

    def too_early(world: World, event: dict[str, Any]) -> None:
        [version] = world.clients.s3.list_object_versions(Bucket=LANDING)["Versions"]
        item = keys.landing_item("demo", LANDING, version["Key"], version["VersionId"])
        if world.catalog.get(item) is None:
            world.catalog.update(item, {"attempt": 1, "status": "processing"}, create=True)
            # Only who dies in between leaves it behind.
            world.clients.dynamodb.delete_item(
                TableName="demo-catalog", Key={name: {"S": value} for name, value in item.items()}
            )
        order(world, event)

    assert sweep(Scenario(SCENARIOS["order"].prepare, too_early), "killed after")
