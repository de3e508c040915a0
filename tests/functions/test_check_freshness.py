"""check_freshness: one alert for each silence."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from functions import check_freshness, validate_batch
from perennial import keys
from perennial.events import DataOutage
from tests.builders import make_contract, make_loop
from tests.functions.builders import make_csv
from tests.functions.world import World, load_event


@pytest.fixture
def hourly(world: World) -> World:
    """A loop that expects a batch every hour; the last one came at the world's present."""
    world.deploy(make_loop(contract=make_contract(quality={"expected_every": "1h"})))
    arrive(world, world.now)
    return world


def arrive(world: World, at: datetime) -> None:
    world.catalog.raise_to(keys.arrival_item("demo"), "landed_at", keys.sortable(at), {"batch_id": "b"})


def test_a_landed_batch_is_an_arrival(world: World) -> None:
    world.run(validate_batch, world.land(make_csv()))

    assert "landed_at" in (world.catalog.get(keys.arrival_item("demo")) or {})


def test_fresh_data_is_no_outage(hourly: World) -> None:
    hourly.now += timedelta(minutes=50)

    answer = hourly.run(check_freshness, load_event("scheduler_freshness"))

    assert (answer["outage"], answer["age_seconds"]) == (False, 3000.0)


def test_a_silence_is_announced_once_and_counted(hourly: World) -> None:
    for _ in range(4):
        hourly.now += timedelta(hours=2)
        hourly.run(check_freshness, {})

    [event] = hourly.announced()
    assert isinstance(event, DataOutage)
    assert event.expected_every_seconds == 3600
    [item] = [item for (pk, _), item in hourly.items().items() if pk == "demo#evidence-outage"]
    assert item["checks"] == 4


def test_a_second_silence_is_another_alert(hourly: World) -> None:
    hourly.now += timedelta(hours=2)
    hourly.run(check_freshness, {})
    arrive(hourly, hourly.now)
    hourly.now += timedelta(hours=2)
    hourly.run(check_freshness, {})

    assert len(hourly.announced()) == 2


def test_before_the_first_batch_nothing_is_missed(world: World) -> None:
    world.deploy(make_loop(contract=make_contract(quality={"expected_every": "1h"})))

    assert not world.run(check_freshness, {})["outage"]


def test_a_late_event_of_an_older_batch_does_not_make_data_older(hourly: World) -> None:
    arrive(hourly, hourly.now - timedelta(days=1))
    hourly.now += timedelta(minutes=10)

    assert hourly.run(check_freshness, {})["age_seconds"] == 600.0
