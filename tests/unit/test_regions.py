"""Where a loop can be deployed, and what is said of elsewhere."""

from __future__ import annotations

import pytest

from perennial.errors import RegionUnsupported
from perennial.regions import SUPPORTED_REGIONS, UNSUPPORTED, WITHOUT_BUDGETS, require_region


@pytest.mark.parametrize("region", SUPPORTED_REGIONS)
def test_a_supported_region_is_taken(region: str):
    assert require_region(region) == region


@pytest.mark.parametrize("region", sorted(UNSUPPORTED))
def test_elsewhere_it_is_said_why_not_and_where_else(region: str):
    with pytest.raises(RegionUnsupported) as error:
        require_region(region)
    assert UNSUPPORTED[region] in str(error.value)
    assert all(one in str(error.value) for one in SUPPORTED_REGIONS)


def test_a_slip_of_the_pen_is_told_from_another_region():
    with pytest.raises(RegionUnsupported, match=r"Did you mean eu-west-1\?"):
        require_region("eu-wst-1")


def test_no_region_is_both_and_those_without_budgets_are_supported():
    assert not set(SUPPORTED_REGIONS) & set(UNSUPPORTED)
    assert set(WITHOUT_BUDGETS) < set(SUPPORTED_REGIONS)
