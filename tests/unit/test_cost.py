import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.cost import INSTANCE_HOUR_USD, PRICES_AS_OF, Usage, batch_cost, cycle_cost, idle_cost
from tests.builders import make_loop


def _item(estimate, name):
    return next(item.usd for item in estimate.items if item.name == name)


def test_an_idle_loop_costs_mostly_its_endpoint():
    idle = idle_cost(make_loop())
    assert math.isclose(730 * 0.115, _item(idle, "endpoint"))
    assert _item(idle, "endpoint") > 0.8 * idle.usd
    assert math.isclose(idle.usd, math.fsum(item.usd for item in idle.items))


def test_a_previous_model_that_is_kept_warm_doubles_the_endpoint():
    kept = idle_cost(make_loop(rollout={"keep_previous": True}))
    assert math.isclose(2 * _item(idle_cost(make_loop()), "endpoint"), _item(kept, "endpoint"))


def test_a_cycle_costs_cents_and_a_batch_far_less():
    loop = make_loop()
    assert 0.02 < cycle_cost(loop).usd < 1
    assert batch_cost(loop).usd < cycle_cost(loop).usd / 100


@given(st.integers(1, 50), st.floats(60, 10_000))
def test_more_instances_longer_bakes_and_longer_training_never_cost_less(count, seconds):
    small, big = make_loop(), make_loop(rollout={"instance_count": count, "bake": int(seconds) + 600})
    assert cycle_cost(big).usd >= cycle_cost(small).usd
    assert idle_cost(big).usd >= idle_cost(small).usd
    assert cycle_cost(small, Usage(train_seconds=300 + seconds)).usd > cycle_cost(small).usd


def test_spot_training_costs_less():
    spot, plain = cycle_cost(make_loop(training={"spot": True})), cycle_cost(make_loop())
    assert _item(spot, "training") < _item(plain, "training")


def test_an_instance_without_a_known_price_is_told_instead_of_guessed():
    idle = idle_cost(make_loop(rollout={"instance_type": "ml.p5.48xlarge"}))
    assert idle.unknown == ("endpoint: no price is known here for ml.p5.48xlarge",)
    assert "endpoint" not in {item.name for item in idle.items}


@pytest.mark.parametrize("price", INSTANCE_HOUR_USD.values())
def test_prices_are_plausible_and_dated(price):
    assert 0.01 < price < 10
    assert PRICES_AS_OF.endswith("us-east-1")
