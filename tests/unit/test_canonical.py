from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.canonical import canonical_json, digest
from tests.builders import NOW

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), PLAIN, max_size=5))
def test_the_order_of_keys_changes_nothing(value):
    assert canonical_json(value) == canonical_json(dict(reversed(value.items())))


def test_the_same_instant_in_another_zone_is_the_same_text():
    elsewhere = NOW.astimezone(timezone(timedelta(hours=5)))
    assert digest({"at": NOW}) == digest({"at": elsewhere})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), datetime(2026, 1, 1)])  # noqa: DTZ001  the point
def test_what_has_no_one_meaning_is_refused(value):
    with pytest.raises(ValueError):
        canonical_json({"value": value})


def test_another_value_has_another_digest():
    assert digest({"a": 1}) != digest({"a": 2})
    assert digest({"a": "1"}) != digest({"a": 1})
