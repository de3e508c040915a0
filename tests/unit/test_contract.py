"""The data contract: what it accepts, what it completes, what it refuses."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from perennial.contract import Column, Contract, Quality, parse_duration
from perennial.expression import columns_of


def make(**changes):
    columns = {"x": {"type": "number"}, "s": {"type": "category"}, "y": {"type": "boolean"}}
    fields = {"format": "csv", "record_id": "id", "event_time": "at", "label": "y", "columns": columns}
    return Contract.model_validate(fields | changes)


def test_record_id_and_event_time_need_no_entry_of_their_own():
    contract = make()
    assert (contract.columns["id"].unique, contract.columns["at"].type) == (True, "timestamp")


def test_a_contract_survives_json():
    contract = make(quality={"max_age": "7d", "checks": {"small": "x < 3"}}, pairs=[("x", "s")])
    assert contract == Contract.model_validate_json(contract.model_dump_json())


def test_a_contract_can_not_be_changed():
    with pytest.raises(ValidationError):
        make().label = "x"


@pytest.mark.parametrize(
    ("text", "seconds"), [("7d", 604800), ("90m", 5400), ("1h30m", 5400), ("1.5h", 5400), (60, 60), ("2w", 1209600)]
)
def test_durations_read_as_people_write_them(text, seconds):
    assert seconds == parse_duration(text)


@pytest.mark.parametrize("text", ["", "7", "-1d", "1 d", "1y", "٣d", None, True, float("nan"), float("inf"), -1])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    "column",
    [
        {"type": "category", "min": 1},
        {"type": "number", "min": 2, "max": 1},
        {"type": "number", "pattern": "a"},
        {"type": "number", "min": "2020-01-01"},
        {"type": "timestamp", "min": 3},
        {"type": "text", "pattern": "("},
        {"type": "text", "pattern": r"(a)\1"},
        {"type": "text", "pattern": "(?=a)"},
        {"type": "text", "scale": 2},
        {"type": "number", "scale": 0},
        {"type": "number", "max_null_rate": 2},
        {"type": "number", "min": float("nan")},
        {"type": "float"},
        {"type": "number", "nulable": True},
    ],
)
def test_a_column_whose_settings_do_not_fit_is_refused(column):
    with pytest.raises(ValidationError):
        Column.model_validate(column)


@pytest.mark.parametrize(
    "changes",
    [
        {"label": "nothing"},
        {"segments": ["nothing"]},
        {"pairs": [("x", "nothing")]},
        {"quality": {"checks": {"c": "nothing > 1"}}},
        {"event_time": "x"},
        {"record_id": "y"},
    ],
)
def test_a_name_that_is_no_column_is_refused(changes):
    with pytest.raises(ValidationError):
        make(**changes)


def test_names_are_compared_in_nfc():
    contract = make(columns={"cafe\u0301": {"type": "number"}, "y": {"type": "boolean"}}, value="caf\u00e9")
    assert ("caf\u00e9" in contract.columns, contract.value) == (True, "caf\u00e9")


def test_a_grid_follows_from_bounds_unless_it_is_given():
    assert (
        Column(type="number", min=0, max=10).grid.center,
        Column(type="number", min=0, max=10).grid.scale,
    ) == (5, 1.25)
    assert (Column(type="number").grid.center, Column(type="number").grid.scale) == (0.0, 1.0)
    assert Column(type="number", center=7, min=0, max=10).grid.center == 7.0


def test_features_are_all_but_id_time_and_label():
    assert make().features == ("x", "s")


def test_durations_of_a_quality_have_short_names_too():
    assert Quality.model_validate({"max_age": "90m"}).max_age_seconds == 5400


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')", "x.__class__", "[x for x in y]", "lambda: 1", "x ** 9", "open('f')", "f'{x}'", "x[0]",
        "(x := 1)", "abs(x, y)", "abs(x=1)", "x if y else s", "", "x <", "x" * 3000, "starts_with(x, y)", "{1: x}",
        "x @ y", "print(x)", "abs", "1j < x", "b'a' == s", "...",
    ],
)  # fmt: skip
def test_nothing_outside_the_language_gets_into_a_check(text):
    with pytest.raises((ValueError, ValidationError)):
        make(quality={"checks": {"c": text}})


@given(st.text(max_size=60))
def test_any_text_is_an_expression_or_a_value_error(text):
    with contextlib.suppress(ValueError):
        assert isinstance(columns_of(text), tuple)
