"""However deliveries interleave, die and repeat: each record id is accepted once, in the batch that the log says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto import mock_aws

from functions import validate_batch
from perennial import keys
from perennial.aws.id_log import IdLog
from tests.faults.interleaving import interleave
from tests.faults.seam import Fault, Scenario, sweep
from tests.faults.test_single_faults import FAULTS
from tests.functions.test_uniqueness import deploy, make_rows
from tests.functions.test_validate_batch import batch_id_of
from tests.functions.world import World, make_world

FILES = st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=5, unique=True), min_size=2, max_size=3)


def accepted_ids(world: World) -> dict[str, list[str]]:
    """Record ids of every accepted batch, by batch."""
    batches = {sk: item for (pk, sk), item in world.items().items() if pk == "demo#batches"}
    objects = world.objects()
    return {
        sk: pq.read_table(pa.BufferReader(objects[item["curated_key"]]), pre_buffer=False, use_threads=False)[
            "id"
        ].to_pylist()
        for sk, item in batches.items()
        if item["status"] == "accepted"
    }


def by_the_log(world: World, files: Sequence[Sequence[int]], bodies: Sequence[bytes]) -> dict[str, list[str]]:
    """What sets and a loop make of the same files in the order of the log."""
    given = {batch_id_of(body): [f"r{number}" for number in ids] for ids, body in zip(files, bodies, strict=True)}
    order = [item["batch_id"] for (pk, _), item in sorted(world.items().items()) if pk == "demo#id-log"]
    expected: dict[str, list[str]] = {}
    for batch_id in order:
        taken = {one for ids in expected.values() for one in ids}
        expected[batch_id] = [one for one in given[batch_id] if one not in taken]
    assert sorted(order) == sorted(given)
    return expected


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    files=FILES,
    order=st.lists(st.integers(0, 5), max_size=80),
    kills=st.lists(st.integers(0, 60), max_size=3),
)
def test_each_id_is_accepted_once_whatever_the_interleaving(
    files: list[list[int]], order: list[int], kills: list[int]
) -> None:
    with mock_aws():
        world = make_world()
        deploy(world, within="30d", max_invalid_rate=0.0)
        # The time of day is of the file's number, so that no two files are the same.
        bodies = [make_rows(ids, on=1 + number) for number, ids in enumerate(files)]
        events = [world.land(body, f"batches/{number}.csv") for number, body in enumerate(bodies)]
        interleave(world, [partial(world.run, validate_batch, event) for event in events * 2], order, kills)
        for event in reversed(events):
            assert world.run(validate_batch, event) == {"batchItemFailures": []}

        found = accepted_ids(world)

        assert by_the_log(world, files, bodies) == found
        assert set(Counter(one for ids in found.values() for one in ids).values()) == {1}


def test_the_interleavings_find_a_log_whose_positions_are_taken_without_a_condition() -> None:
    """The mutant: a batch looks first and takes its position afterwards, so that two may not see each other."""

    def blind(log: IdLog, *_: Any) -> list[Any]:
        return []

    with mock_aws(), pytest.MonkeyPatch.context() as patched:
        patched.setattr(IdLog, "_near", blind)
        with pytest.raises(AssertionError):
            test_each_id_is_accepted_once_whatever_the_interleaving.hypothesis.inner_test([[1, 2], [2, 3]], [], [])


def with_an_earlier_batch(world: World) -> dict[str, Any]:
    deploy(world)
    world.run(validate_batch, world.land(make_rows([1, 2, 3]), "batches/earlier.csv"))
    # S3's clock is the real one, in seconds: whether both landed in one must make no difference.
    world.catalog.put(keys.arrival_item("demo"), {"landed_at": "2000-01-01T00:00:00.000000Z"})
    return world.land(make_rows([3, 4, 5], on=2), "batches/later.csv")


SCENARIO = Scenario(with_an_earlier_batch, lambda world, event: world.run(validate_batch, event))


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_happens_at_one_call_redelivery_leaves_what_stands_without_it(fault: Fault) -> None:
    assert sweep(SCENARIO, fault) == []


def test_the_position_and_what_a_batch_was_held_against_are_pinned() -> None:
    """A batch that comes again after others came finds itself as it was."""
    with mock_aws():
        world = make_world()
        event = with_an_earlier_batch(world)
        world.run(validate_batch, event)
        batch = keys.batch_item("demo", batch_id_of(make_rows([3, 4, 5], on=2)))
        stood = world.catalog.get(batch)
        world.run(validate_batch, world.land(make_rows([5, 6], on=3), "batches/third.csv"))
        # As if it had died before it was on record.
        for item in (batch, *({"pk": pk, "sk": sk} for pk, sk in world.items() if pk == "demo#landings")):
            world.clients.dynamodb.delete_item(TableName="demo-catalog", Key={k: {"S": v} for k, v in item.items()})
        world.run(validate_batch, event)

        assert stood == world.catalog.get(batch)
