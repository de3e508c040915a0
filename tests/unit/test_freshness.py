"""When silence is an outage."""

from __future__ import annotations

from datetime import timedelta

import pytest

from perennial.freshness import judge
from tests.builders import NOW


@pytest.mark.parametrize(("age_hours", "outage"), [(0, False), (1, False), (1.01, True), (48, True)])
def test_data_older_than_expected_is_an_outage(age_hours: float, outage: bool) -> None:
    found = judge(NOW - timedelta(hours=age_hours), expected_every_seconds=3600, now=NOW)

    assert (outage, age_hours * 3600) == (found.outage, pytest.approx(found.age_seconds))


def test_before_the_first_batch_nothing_is_missed() -> None:
    assert not judge(None, expected_every_seconds=1, now=NOW).outage


def test_where_nothing_is_expected_nothing_is_missed() -> None:
    assert not judge(NOW - timedelta(days=900), expected_every_seconds=None, now=NOW).outage
