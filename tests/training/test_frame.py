"""A row is the same to the estimator whether it comes from Parquet, JSON or CSV, and a wrong cell is refused."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.contract import Column, Contract
from training.frame import RowInvalid, cell, conform, frame_of_rows, to_json_value

CONTRACT = Contract(
    format="csv",
    record_id="id",
    event_time="at",
    label="y",
    columns={
        "number": {"type": "number", "nullable": True},
        "whole": {"type": "integer"},
        "maybe": {"type": "integer", "nullable": True},
        "flag": {"type": "boolean"},
        "word": {"type": "category", "nullable": True},
        "moment": {"type": "timestamp"},
        "y": {"type": "boolean"},
    },
)

ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "number": st.none() | st.floats(allow_nan=False, allow_infinity=False),
            "whole": st.integers(-(2**62), 2**62),
            "maybe": st.none() | st.integers(-(2**50), 2**50),
            "flag": st.booleans(),
            "word": st.none() | st.text(max_size=5),
            "moment": st.integers(0, 2**32).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
        }
    ),
    min_size=1,
    max_size=5,
)


@settings(deadline=None, max_examples=60)
@given(ROWS)
def test_rows_of_a_table_sent_as_json_are_the_same_rows(rows: list[dict]) -> None:
    table = conform(pd.DataFrame(rows, columns=list(CONTRACT.features)), CONTRACT, CONTRACT.features)
    sent = [{name: to_json_value(value) for name, value in row.items()} for row in table.to_dict("records")]
    served = frame_of_rows(json.loads(json.dumps(sent)), CONTRACT)
    pd.testing.assert_frame_equal(table, served)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("number", "nan"), ("number", "inf"), ("number", "1e999"), ("number", "1_000"), ("number", "１２"),
        ("number", " 1"), ("number", "0x10"), ("integer", "1.5"), ("integer", "9" * 19), ("integer", "²"),
        ("boolean", "yes"), ("timestamp", "yesterday"), ("number", ""),
    ],
)  # fmt: skip
def test_csv_cells_are_read_strictly(kind: str, text: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        cell(text, Column(type=kind), is_text=True)


@pytest.mark.parametrize("value", ["1", True, math.nan, math.inf, None, [1], {"a": 1}])
def test_json_values_are_not_coerced_into_numbers(value: object) -> None:
    with pytest.raises(ValueError, match="must be a finite number"):
        cell(value, Column(type="number"))


def test_everything_wrong_with_a_row_is_said_at_once_and_extra_keys_are_left_out() -> None:
    good = {"number": None, "whole": 1, "maybe": None, "flag": True, "word": "a", "moment": "2026-01-01", "extra": 5}
    assert list(frame_of_rows([good], CONTRACT)) == list(CONTRACT.features)
    bad = {key: value for key, value in {**good, "flag": "x"}.items() if key != "whole"}
    with pytest.raises(RowInvalid) as refused:
        frame_of_rows([good, bad], CONTRACT)
    assert str(refused.value) == (
        "row 1: whole must be a whole number. It is missing. flag must be true or false. Got 'x' instead."
    )
