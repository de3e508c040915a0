"""check_business: the value per record of new batches against that of those the champion learnt from."""

from __future__ import annotations

import pytest

from functions import check_business, decide_retraining
from perennial import keys
from perennial.errors import EventInvalid
from perennial.events import BusinessFell, RetrainingRequested
from perennial.trigger import Streak
from tests.builders import make_contract, make_loop
from tests.functions.test_data import crown, drift_event, freeze, land_batches
from tests.functions.world import World, on_bus

USUAL = 5.0


@pytest.fixture
def earning(world: World) -> World:
    """A champion trained on 12 days in which a record was worth 5."""
    triggers = {"business": {"min_rows": 100, "max_drop_share": 0.1}, "cooldown": "1d"}
    world.deploy(make_loop(contract=make_contract(value="x"), triggers=triggers))
    land_batches(world, range(1, 13), mean=USUAL)
    freeze(world, as_of=14)
    crown(world)
    world.announced()
    return world


def test_a_fall_of_the_value_is_announced_once_with_both_values_and_starts_a_run(earning: World) -> None:
    event = drift_event(land_batches(earning, range(20, 22), labels=False, mean=3.0))

    first, second = earning.run(check_business, event), earning.run(check_business, event)

    assert first == second
    one, again = earning.announced()
    assert isinstance(one, BusinessFell)
    assert one == again
    assert one.value == pytest.approx(3.0, abs=0.4)
    assert one.expected == pytest.approx(USUAL, abs=0.2)
    assert Streak.model_validate(earning.catalog.get(keys.streak_item("demo", "business"))).length == 1
    assert earning.run(decide_retraining, on_bus(one))["fired"]
    [requested] = earning.announced()
    assert isinstance(requested, RetrainingRequested)
    assert requested.signal == "business"


def test_a_usual_value_is_on_record_as_held(earning: World) -> None:
    event = drift_event(land_batches(earning, range(20, 22), labels=False, mean=USUAL))

    assert earning.run(check_business, event)["outcome"] == "held"
    assert earning.announced() == []
    [window] = Streak.model_validate(earning.catalog.get(keys.streak_item("demo", "business"))).windows
    assert not window.positive


def test_a_window_grows_back_until_it_has_the_policys_rows_but_not_into_what_was_learnt(earning: World) -> None:
    """One batch of 60 rows of the 100 that the policy wants; the champion's own 12 days don't fill it up."""
    lonely = earning.run(check_business, drift_event(land_batches(earning, range(20, 21), labels=False, mean=3.0)))
    joined = earning.run(check_business, drift_event(land_batches(earning, range(21, 22), labels=False, mean=3.0)))

    assert (lonely["outcome"], joined["outcome"]) == ("inconclusive", "fell")


def test_without_the_trigger_or_a_champion_nothing_is_expected(world: World) -> None:
    event = drift_event(land_batches(world, range(1, 2), labels=False))
    assert "no business trigger" in world.run(check_business, event)["reason"]

    world.deploy(make_loop(contract=make_contract(value="x"), triggers={"business": {}}))
    assert "no champion" in world.run(check_business, event)["reason"]


def test_another_loops_batch_is_refused(earning: World) -> None:
    event = drift_event(land_batches(earning, range(20, 21), labels=False))
    event["detail"]["loop"] = "other"

    with pytest.raises(EventInvalid):
        earning.run(check_business, event)
