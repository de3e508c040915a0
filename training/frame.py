"""
Rows as the estimator sees them: one column type for each type of the contract, in training and in serving alike.

| contract | frame |
|---|---|
| number | float64, null is NaN |
| integer | int64; float64 with NaN if the column accepts null |
| boolean | bool; float64 with NaN if the column accepts null |
| category, text | object holding str, null is None |
| timestamp | datetime64[us, UTC] |
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from perennial.contract import Column, Contract

__all__ = ["RowInvalid", "cell", "conform", "frame_of_rows", "to_json_value"]

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}


class RowInvalid(ValueError):
    """A request's row that breaks the contract's types; says which row and column."""


def cell(value: Any, column: Column, *, is_text: bool = False) -> Any:
    """
    One value as the contract's type, or None for null.

    Parameters
    ----------
    is_text
        The value is a CSV cell: numbers and booleans are spelled, and an empty cell is null.

    Raises
    ------
    ValueError
        It is of another type, or null where the contract wants a value; says what it must be.

    >>> cell("0.25", Column(type="number"), is_text=True), cell(3, Column(type="category"))
    (0.25, '3')
    >>> cell("0.25", Column(type="number"))
    Traceback (most recent call last):
    ...
    ValueError: must be a finite number. Got '0.25' instead.
    """
    if value is None or (is_text and value == ""):
        if not column.accepts_null:
            raise ValueError(f"must be {_WANTED[column.type]}. Got nothing instead.")
        return None
    parsed = _PARSERS[column.type](value, is_text)
    if parsed is None:
        raise ValueError(f"must be {_WANTED[column.type]}. Got {str(value)[:80]!r} instead.")
    return parsed


def _number(value: Any, is_text: bool) -> float | None:
    if is_text:
        number = float(value) if _NUMBER.fullmatch(value) else math.nan
    else:
        number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    return number if math.isfinite(number) else None


def _integer(value: Any, is_text: bool) -> int | None:
    if is_text:
        whole = int(value) if _INTEGER.fullmatch(value) else None
    elif isinstance(value, float):
        whole = int(value) if value.is_integer() else None
    else:
        whole = value if isinstance(value, int) and not isinstance(value, bool) else None
    return whole if whole is not None and -(2**63) <= whole < 2**63 else None


def _boolean(value: Any, is_text: bool) -> bool | None:
    if is_text:
        return _BOOLEANS.get(value.strip().lower())
    return value if isinstance(value, bool) else None


def _word(value: Any, is_text: bool) -> str | None:
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _timestamp(value: Any, is_text: bool) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


_PARSERS = {
    "number": _number,
    "integer": _integer,
    "boolean": _boolean,
    "category": _word,
    "text": _word,
    "timestamp": _timestamp,
}
_WANTED = {
    "number": "a finite number",
    "integer": "a whole number",
    "boolean": "true or false",
    "category": "text",
    "text": "text",
    "timestamp": "an ISO 8601 time",
}


def frame_of_rows(rows: Sequence[Mapping[str, Any]], contract: Contract, *, is_text: bool = False) -> pd.DataFrame:
    """
    Rows of a request as a frame of the contract's features.

    Every feature must be there, null only where the contract accepts it; whatever else a row carries is left out.

    Raises
    ------
    RowInvalid
        A row lacks a feature or holds a value of another type. All that is wrong with the first bad row is said.
    """
    columns: dict[str, list[Any]] = {name: [] for name in contract.features}
    for number, row in enumerate(rows):
        mistakes = []
        for name, values in columns.items():
            try:
                if name not in row:
                    raise ValueError(f"must be {_WANTED[contract.columns[name].type]}. It is missing.")
                values.append(cell(row[name], contract.columns[name], is_text=is_text))
            except ValueError as error:
                mistakes.append(f"{name} {error}")
        if mistakes:
            raise RowInvalid(f"row {number}: " + " ".join(mistakes))
    return conform(pd.DataFrame(columns, columns=list(columns)), contract, contract.features)


def conform(frame: pd.DataFrame, contract: Contract, names: Iterable[str]) -> pd.DataFrame:
    """The columns `names` of `frame`, in that order, each in the type of this module's table; a fresh index."""
    converted = {name: _series(frame[name], contract.columns[name]) for name in names}
    return pd.DataFrame(converted, columns=list(converted)).reset_index(drop=True)


def _series(values: pd.Series, column: Column) -> pd.Series:
    if column.type == "number":
        return values.astype("float64")
    if column.type == "integer":
        return values.astype("float64" if column.accepts_null else "int64")
    if column.type == "boolean":
        return values.astype("float64" if column.accepts_null else "bool")
    if column.type == "timestamp":
        return pd.to_datetime(values, utc=True).astype("datetime64[us, UTC]")
    words = values.astype(object)
    return words.where(words.isna(), words.astype(str)).where(words.notna(), None)


def to_json_value(value: Any) -> Any:
    """A cell of a frame as JSON has it: the inverse of `cell`, so that stored rows can be sent to an endpoint."""
    if value is None or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, pd.Timestamp):
        return value.isoformat().replace("+00:00", "Z")
    return value.item() if hasattr(value, "item") else value
