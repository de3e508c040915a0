"""One block of JSON lines: by Arrow's parser where that can be trusted with it, else line by line by Python's."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.json as pajson
from numpy.typing import NDArray

from perennial.contract import Column, Contract
from perennial.profile import arrow_type
from perennial.profile.arrays import from_flags, from_numbers, from_texts
from perennial.validation.blocks import Block, Refused, shown
from perennial.validation.columns import completed, infer_column
from perennial.validation.lines import Records, split_records
from perennial.validation.outcome import Limits
from perennial.validation.parsing import parse_text, wanted
from perennial.validation.text_blocks import Piece

__all__ = ["JsonlBlock"]

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

_PIECE_LINES = 64
_FAILED = object()


class JsonlBlock:
    """Reads one block; `settle` is called with it when its turn has come."""

    def __init__(self, contract: Contract, limits: Limits, settle: Callable[[JsonlBlock], None]) -> None:
        self._contract, self._limits, self._settle = contract, limits, settle
        self._schema = pa.schema([(n, _json_type(c)) for n, c in contract.columns.items()])
        self.added: dict[str, Column] = {}
        self.seen: dict[str, None] = {}
        self.rows = 0

    def read(self, piece: Piece) -> Block:
        """The block of a piece of whole lines; what it shows of the schema stays in `added`, `seen` and `rows`."""
        content = bytes(piece.content)
        records, _ = split_records(content, 1, self._limits, final=piece.final, quotes=False)
        self._refuse_nested(content, records)
        good = records.good
        parts: list[Any] = []
        for rows, table in self._pieces(content, records, good):
            parts.append(self._typed(table) if table is not None else self._line_by_line(content, records, rows))
        tables = [p for p, _ in parts]
        failures = self._joined_failures(parts)
        table = pa.concat_tables(tables).combine_chunks() if tables else None
        columns = {n: _one_chunk(table.column(n)) for n in self._contract.columns} if table is not None else {}
        kept = np.array([i for i in good.tolist() if records.reasons[i] is None], np.int64)
        limit = self._limits.max_text_characters

        def texts(chosen: Ints) -> list[str]:
            return [shown(content[records.starts[r] : records.ends[r]], limit) for r in kept[chosen].tolist()]

        refused = tuple(
            Refused(i, reason, shown(content[records.starts[i] : records.ends[i]], limit))
            for i, reason in enumerate(records.reasons)
            if reason is not None and not records.blank[i]
        )
        self.rows = len(kept)
        batch = completed(columns, self._contract, len(kept))
        return Block(
            batch,
            len(records.ends),
            texts,
            refused,
            int(records.blank.sum()),
            kept,
            failures,
            partial(self._settle, self),
        )

    def _pieces(self, content: bytes, records: Records, good: Ints) -> Iterator[tuple[Ints, Any]]:
        """Rows and their table: the whole block if Arrow can read it, else pieces of it, None where it can't."""
        whole = self._arrow(content, records, good) if len(good) else None
        if whole is not None:
            yield good, whole
            return
        for i in range(0, len(good), _PIECE_LINES):
            rows = good[i : i + _PIECE_LINES]
            yield rows, self._arrow(content, records, rows)

    def _line_by_line(self, content: bytes, records: Records, rows: Ints) -> tuple[Any, dict[str, Flags]]:
        values: list[dict[str, Any]] = []
        for i in rows.tolist():
            found = self._parse_line(content[records.starts[i] : records.ends[i]])
            if isinstance(found, str):
                records.reasons[i] = found
            else:
                values.append(found)
        return self._from_python(values)

    def _arrow(self, content: bytes, records: Records, rows: Ints) -> Any:
        """A table of these lines by Arrow's parser; None where it can't be trusted with them, or refuses them."""
        start, end = int(records.starts[rows[0]]), int(records.ends[rows[-1]])
        whole = len(rows) == rows[-1] - rows[0] + 1
        text = (
            content[start:end]
            if whole
            else b"".join(content[records.starts[i] : records.ends[i]] for i in rows.tolist())
        )
        if not _one_object_a_line(content, records.starts[rows], records.ends[rows]) or not _is_utf8(text):
            return None
        try:
            table = pajson.read_json(
                pa.BufferReader(text),
                read_options=pajson.ReadOptions(use_threads=False, block_size=len(text) + 1),
                parse_options=pajson.ParseOptions(
                    explicit_schema=self._schema, unexpected_field_behavior="infer", newlines_in_values=False
                ),
            )
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeDecodeError):
            return None
        if table.num_rows != len(rows) or b"\\u0000" in text:
            return None
        for name in table.column_names:
            if name not in self._contract.columns:
                self.added.setdefault(name, infer_column(table.schema.field(name).type))
            elif name not in self.seen and table.column(name).null_count < table.num_rows:
                self.seen[name] = None
        return table

    def _typed(self, table: Any) -> tuple[Any, dict[str, Flags]]:
        columns, failures = {}, {}
        for name, column in self._contract.columns.items():
            values = _one_chunk(table.column(name))
            if column.type in ("timestamp", "category"):
                values, bad = parse_text(values, column)
                if bad is not None:
                    failures[name] = bad
            columns[name] = _plain(values)
        return _table(columns), failures

    def _from_python(self, rows: list[dict[str, Any]]) -> tuple[Any, dict[str, Flags]]:
        columns, failures = {}, {}
        for name, column in self._contract.columns.items():
            cells = [_cell(row.get(name), column) for row in rows]
            bad = np.array([c is _FAILED for c in cells], np.bool_)
            values = _array([None if c is _FAILED else c for c in cells], _json_type(column))
            if column.type in ("timestamp", "category"):
                values, wrong = parse_text(values, column)
                bad = bad if wrong is None else bad | wrong
            columns[name] = _plain(values)
            if bad.any():
                failures[name] = bad
        return _table(columns), failures

    def _joined_failures(self, parts: list[Any]) -> tuple[tuple[str, Flags, str], ...]:
        found = []
        for name, column in self._contract.columns.items():
            if any(name in failures for _, failures in parts):
                flags = [failures.get(name, np.zeros(table.num_rows, np.bool_)) for table, failures in parts]
                found.append((name, np.concatenate(flags), f"{name} must be {wanted(column.type)}"))
        return tuple(found)

    def _parse_line(self, line: bytes) -> dict[str, Any] | str:
        """One object, or the reason why it is none."""
        try:
            found = json.loads(line.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_no_twins)
        except UnicodeDecodeError:
            return "row must be UTF-8"
        except RecursionError:
            return f"row must nest at most {self._limits.max_nesting} deep"
        except json.JSONDecodeError as error:
            # Without the place, which would make a reason of its own of every row.
            return f"row must be one JSON object. Got an error instead ({error.msg.partition(':')[0]})"
        except _NoValueError as error:
            return f"row must be one JSON object. Got an error instead ({error})"
        except ValueError:
            return "row must be one JSON object. Got a number with too many digits instead"
        if not isinstance(found, dict):
            return "row must be one JSON object"
        for name, value in found.items():
            if name in self._contract.columns:
                self.seen[name] = None
            elif len(self.added) < self._limits.max_columns:
                self.added.setdefault(name, infer_column(_python_type(value)))
        return found

    def _refuse_nested(self, content: bytes, records: Records) -> None:
        """Lines that open more brackets than may nest: Arrow's parser must not see them."""
        if content.count(b"{") + content.count(b"[") <= len(records.ends) + self._limits.max_nesting:
            return
        data = np.frombuffer(content, np.uint8)
        openers = np.flatnonzero((data | 32) == 123)
        per_line = np.bincount(np.searchsorted(records.ends, openers, side="right"), minlength=len(records.ends))
        for i in np.flatnonzero(per_line > self._limits.max_nesting).tolist():
            line = content[records.starts[i] : records.ends[i]]
            if records.reasons[i] is None and _depth(line) > self._limits.max_nesting:
                records.reasons[i] = f"row must nest at most {self._limits.max_nesting} deep"


def _json_type(column: Column) -> Any:
    return pa.string() if column.type in ("timestamp", "category") else arrow_type(column)


def _table(columns: dict[str, Any]) -> Any:
    return pa.Table.from_arrays(list(columns.values()), names=list(columns))


def _array(cells: list[Any], kind: Any) -> Any:
    if pa.types.is_string(kind):
        return from_texts(cells)
    null = np.array([cell is None for cell in cells], np.bool_)
    if pa.types.is_boolean(kind):
        return from_flags(np.array([bool(cell) for cell in cells], np.bool_), null)
    dtype = np.float64 if pa.types.is_floating(kind) else np.int64
    return from_numbers(np.array([0 if cell is None else cell for cell in cells], dtype), null)


def _plain(values: Any) -> Any:
    """Categories as text: pieces of a block have dictionaries of their own."""
    return values.cast(pa.string()) if pa.types.is_dictionary(values.type) else values


def _one_chunk(values: Any) -> Any:
    return values.chunk(0) if values.num_chunks == 1 else values.combine_chunks()


def _one_object_a_line(content: bytes, starts: Ints, ends: Ints) -> bool:
    """Whether each line begins with a brace and ends with one, before its line end."""
    data = np.frombuffer(content, np.uint8)
    last = ends - 1
    for end in b"\n\r":
        last = last - (data[last] == end)
    return bool((data[starts] == ord("{")).all() and (data[last] == ord("}")).all())


def _is_utf8(text: bytes) -> bool:
    if text.isascii():
        return True
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _depth(line: bytes) -> int:
    """Deepest nesting of brackets outside strings."""
    depth = deepest = 0
    in_string = escaped = False
    for byte in line:
        if in_string:
            in_string = escaped or byte != 34
            escaped = byte == 92 and not escaped
        elif byte == 34:
            in_string = True
        elif byte in (91, 123):
            depth += 1
            deepest = max(deepest, depth)
        elif byte in (93, 125):
            depth -= 1
    return deepest


class _NoValueError(ValueError):
    """Not JSON, in our own words."""


def _no_constant(name: str) -> Any:
    raise _NoValueError(f"{name} is no JSON number")


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _NoValueError("a name comes twice")
    return found


def _python_type(value: Any) -> Any:
    if isinstance(value, bool):
        return pa.bool_()
    return pa.float64() if isinstance(value, (int, float)) else pa.string()


def _cell(value: Any, column: Column) -> Any:
    """A JSON value as the column's type takes it, None for null, or _FAILED."""
    if value is None:
        return None
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    match column.type:
        case "number" if is_number and _finite(value):
            return float(value)
        case "integer" if isinstance(value, int) and is_number and -(2**63) <= value < 2**63:
            return value
        case "boolean" if isinstance(value, bool):
            return value
        case "category" | "text" | "timestamp" if isinstance(value, str) and _encodable(value):
            return value
    return _FAILED


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _encodable(text: str) -> bool:
    """No lone surrogate, no NUL."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return "\0" not in text
