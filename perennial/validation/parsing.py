"""
Text to values, strictly, for columns whose fast conversion failed: bad cells become null and are flagged.

Numbers are ASCII: an optional sign, digits with at most one point, an optional exponent; finite; spaces around them are
allowed. Not numbers: nan, inf, 1e999, 0x1F, 1_000, 1,000, full-width digits. Integers have neither point nor exponent
and fit 64 bits. Times are ISO 8601 with at most six digits of fraction; without an offset they are UTC. Booleans are
true/false in lower, upper or title case, 1 and 0.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from perennial.contract import Column, ColumnType
from perennial.profile import arrow_type
from perennial.profile.arrays import from_texts, nulls_of, one_text, scalar_of

__all__ = ["FALSE_VALUES", "TRUE_VALUES", "parse_text", "wanted"]

Flags = NDArray[np.bool_]

TRUE_VALUES = ("true", "True", "TRUE", "1")
FALSE_VALUES = ("false", "False", "FALSE", "0")
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_INTEGER = r"^[+-]?[0-9]+$"
_TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}(:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?)?%s)?$"
_NAIVE, _ZONED = _TIME % "", _TIME.replace(")?$", ")$") % r"(Z|[+-][0-9]{2}(:?[0-9]{2})?)"
_FAILED_CELL = re.compile(r"Failed to parse string: '(.*)' as a scalar", re.DOTALL)
_ATTEMPTS = 4
_SPACES = " \t"


def wanted(kind: ColumnType) -> str:
    """What a cell of a column's type must be, in words."""
    return {
        "number": "a finite number",
        "integer": "a whole number of 64 bits",
        "category": "text in UTF-8",
        "text": "text in UTF-8",
        "boolean": "true or false",
        "timestamp": "an ISO 8601 time",
    }[kind]


def parse_text(values: Any, column: Column) -> tuple[Any, Flags | None]:
    """`(values of the column's type, which cells are bad)`; None where none is. `values` is text, or bytes in UTF-8."""
    if pa.types.is_binary(values.type):
        values, broken = _decode(values)
    else:
        broken = None
    parsed, bad = _PARSERS[column.type](values)
    if broken is not None:
        bad = broken if bad is None else bad | broken
    return parsed, bad


def _numbers(values: Any) -> tuple[Any, Flags | None]:
    trimmed = pc.ascii_trim(values, _SPACES)
    found = _cast_without(trimmed, pa.float64())
    if found is None:
        found = _cast_each(_only(trimmed, pc.match_substring_regex(trimmed, _NUMBER)), pa.float64(), float)
    finite = pc.is_finite(found)
    if pc.all(finite, min_count=0).as_py() is False:
        found = pc.if_else(finite, found, scalar_of(None, pa.float64()))
    return found, _lost(values, found)


def _integers(values: Any) -> tuple[Any, Flags | None]:
    trimmed = pc.ascii_trim(values, _SPACES)
    # Arrow takes 0x10 for a whole number, and +1 for none: then the form of each cell is looked at first.
    odd = pc.or_(pc.match_substring(trimmed, "x", ignore_case=True), pc.starts_with(trimmed, "+"))
    found = None if pc.any(odd, min_count=0).as_py() else _cast_without(trimmed, pa.int64())
    if found is None:
        strict = _only(trimmed, pc.match_substring_regex(trimmed, _INTEGER))
        found = _cast_each(pc.ascii_ltrim(strict, "+"), pa.int64(), _int64)
    return found, _lost(values, found)


def _times(values: Any) -> tuple[Any, Flags | None]:
    zoned = _cast_each(_only(values, pc.match_substring_regex(values, _ZONED)), arrow_type(_TIMESTAMP), _instant)
    naive = _only(values, pc.match_substring_regex(values, _NAIVE))
    local = _cast_each(naive, pa.timestamp("us"), lambda text: _instant(text).replace(tzinfo=None))
    found = pc.coalesce(zoned, local.cast(arrow_type(_TIMESTAMP)))
    return found, _lost(values, found)


def _booleans(values: Any) -> tuple[Any, Flags | None]:
    trimmed = pc.ascii_trim(values, _SPACES)
    place = pc.index_in(trimmed, value_set=from_texts(TRUE_VALUES + FALSE_VALUES))
    found = pc.less(place, scalar_of(len(TRUE_VALUES), pa.int32()))
    return found, _lost(values, found)


def _categories(values: Any) -> tuple[Any, Flags | None]:
    return values.dictionary_encode(), None


def _texts(values: Any) -> tuple[Any, Flags | None]:
    return values, None


_TIMESTAMP = Column(type="timestamp")
_PARSERS: dict[ColumnType, Callable[[Any], tuple[Any, Flags | None]]] = {
    "number": _numbers,
    "integer": _integers,
    "category": _categories,
    "boolean": _booleans,
    "timestamp": _times,
    "text": _texts,
}


def _only(values: Any, keep: Any) -> Any:
    return pc.if_else(keep, values, scalar_of(None, pa.string()))


def _lost(before: Any, after: Any) -> Flags | None:
    """Cells that held something and now hold nothing."""
    if after.null_count == before.null_count:
        return None
    return nulls_of(after) & ~nulls_of(before)


def _cast_without(values: Any, kind: Any) -> Any:
    """
    A cast that drops the cells it fails on, as long as these are the same few texts (as broken cells mostly are).

    None if they are more: a look at each cell's form costs less then.
    """
    for _ in range(_ATTEMPTS):
        try:
            return pc.cast(values, kind)
        except pa.ArrowInvalid as error:
            failed = _FAILED_CELL.search(str(error))
            wrong = pc.equal(values, one_text(failed[1])) if failed else None
            if wrong is None or not pc.any(wrong, min_count=0).as_py():
                return None
            values = pc.if_else(wrong, scalar_of(None, pa.string()), values)
    return None


def _cast_each(values: Any, kind: Any, convert: Callable[[str], Any]) -> Any:
    """A cast of the whole array; cell by cell only if some cell has the right form and still no value."""
    try:
        return pc.cast(values, kind)
    except pa.ArrowInvalid:
        found = []
        for text in values.to_pylist():
            try:
                found.append(None if text is None else convert(text))
            except (ValueError, OverflowError):
                found.append(None)
        return pa.array(found, kind)


def _int64(text: str) -> int | None:
    value = int(text)
    return value if -(2**63) <= value < 2**63 else None


def _instant(text: str) -> datetime:
    found = datetime.fromisoformat(re.sub(r"([+-]\d\d)$", r"\1:00", text) if len(text) > 10 else text)
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def _decode(values: Any) -> tuple[Any, Flags | None]:
    try:
        return values.cast(pa.string()), None
    except pa.ArrowInvalid:
        texts: list[str | None] = []
        bad = np.zeros(len(values), np.bool_)
        for i, raw in enumerate(values.to_pylist()):
            try:
                texts.append(None if raw is None else raw.decode("utf-8"))
            except UnicodeDecodeError:
                texts.append(None)
                bad[i] = True
        return from_texts(texts), bad
