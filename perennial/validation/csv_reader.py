"""
CSV: UTF-8, comma-separated, double quotes, a header line; LF or CRLF.

Whole blocks go through Arrow's typed parser. A column in which a cell fails is read as bytes from then on and parsed
by perennial.validation.parsing; lines that are no rows are taken out first by perennial.validation.lines.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from functools import partial
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
from numpy.typing import NDArray

from perennial.contract import Column, Contract
from perennial.profile import arrow_type
from perennial.validation.blocks import Block, FileRejected, Refused, shown
from perennial.validation.columns import compare_columns, completed, infer_column, normal_names
from perennial.validation.csv_cells import BadCells, Blanked
from perennial.validation.lines import RECORD, Records, ends_whole, looks_plain, split_records
from perennial.validation.outcome import Limits, SchemaChange
from perennial.validation.parsing import FALSE_VALUES, TRUE_VALUES, parse_text, wanted
from perennial.validation.sources import ByteStream
from perennial.validation.text_blocks import Piece, TextBlocks

__all__ = ["CsvReader"]

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Failures = tuple[tuple[str, Flags, str], ...]

_FAILED_COLUMN = re.compile(r"In CSV column #(\d+):")
_NAIVE = pa.timestamp("us")


class _UnevenRowsError(Exception):
    """Some line is no row, or a row of another number of fields than the header."""


class CsvReader:
    """Reads one stream; `optional` columns may be absent without being a schema change."""

    def __init__(self, stream: ByteStream, contract: Contract, limits: Limits, optional: frozenset[str]) -> None:
        self._contract, self._limits = contract, limits
        self._text = TextBlocks(stream, limits)
        self._header = self._read_header()
        self._known = [n for n in self._header if n in contract.columns]
        self.schema_change: SchemaChange | None = compare_columns(
            contract, self._header, optional, self._infer_columns()
        )
        self._loose: set[str] = set()
        self._naive: set[str] = set(self._known)
        self._switched: set[str] = set()
        self._lock, self._attempt = Lock(), 0
        self._bad_cells = BadCells([contract.columns.get(n) for n in self._header])
        self._has_integers = any(contract.columns[n].type == "integer" for n in self._known)

    def parts(self, *, workers: int) -> Iterator[Callable[[], Block]]:
        """Every row of the file, once."""
        for piece in self._text:
            if piece.refused is not None:
                yield partial(self._nothing, piece.refused)
            elif workers == 1 or piece.final or ends_whole(piece.content, self._limits):
                yield partial(self._block, piece)
            else:
                # A record may go on in the next piece: what this one leaves must be known before that is cut.
                block = self._block(piece)
                yield partial(_itself, block)

    def _block(self, piece: Piece) -> Block:
        if looks_plain(piece.content):
            block = self._plain(piece.content)
            if block is not None:
                return block
        block, taken = self._careful(bytes(piece.content), final=piece.final)
        if taken < len(piece.content):
            self._text.give_back(piece, taken)
        return block

    def _read_header(self) -> list[str]:
        line = self._text.first_line()
        if line is None:
            raise FileRejected("empty", "a CSV file must have a header line. Got an empty file instead")
        try:
            names = next(csv.reader([line.decode("utf-8")], strict=True), [])
        except UnicodeDecodeError as error:
            raise FileRejected("encoding", "the header must be UTF-8. Got other bytes instead") from error
        except csv.Error as error:
            # The csv module's sentences quote nothing of the line.
            raise FileRejected("header", f"the header must be one CSV line. Got an error instead ({error})") from error
        return normal_names(names, self._contract, self._limits)

    def _infer_columns(self) -> Any:
        """Types of unknown columns, from the first lines; only looked at if there is an unknown column."""

        def infer(name: str) -> Column:
            head = self._text.peek(64 << 10)
            try:
                table = pacsv.read_csv(
                    pa.BufferReader(head),
                    read_options=pacsv.ReadOptions(column_names=self._header, use_threads=False),
                    parse_options=pacsv.ParseOptions(invalid_row_handler=lambda row: "skip"),
                )
                return infer_column(table.schema.field(name).type)
            except pa.ArrowInvalid:
                return Column(type="text", nullable=True)

        return infer

    def _plain(self, content: bytearray | bytes) -> Block | None:
        """The block, if each of its lines is a row of the right width."""
        try:
            columns, failures, rows, _ = self._parse(content, tolerant=False)
        except _UnevenRowsError:
            return None
        batch = completed(columns, self._contract, rows)
        return Block(batch, rows, partial(self._plain_texts, content), failures=failures)

    def _plain_texts(self, content: Any, rows: Ints) -> list[str]:
        ends = np.flatnonzero(np.frombuffer(content, np.uint8) == 10) + 1
        starts = np.concatenate([[0], ends])
        ends = np.append(ends, len(content))
        limit = self._limits.max_text_characters
        return [shown(bytes(content[starts[r] : ends[r]][: 4 * limit]), limit) for r in rows.tolist()]

    def _careful(self, content: bytes, *, final: bool) -> tuple[Block, int]:
        """The block line by line: what is no row is refused, the rest is parsed."""
        records, taken = split_records(content, len(self._header), self._limits, final=final)
        good = records.good
        columns, failures, rows, invalid = self._parse(_joined(content, records, good))
        if rows + len(invalid) != len(good):
            self._refuse_malformed(content, records, good)
            good = records.good
            columns, failures, rows, invalid = self._parse(_joined(content, records, good))
        if rows + len(invalid) != len(good):
            raise FileRejected("unreadable", "the file must be CSV. Got lines that can't be told apart instead")
        for number, fields in invalid:
            records.reasons[good[number]] = f"row must have {len(self._header)} fields. Got {fields} instead"
        good = records.good
        limit = self._limits.max_text_characters

        def texts(chosen: Ints) -> list[str]:
            return [shown(content[records.starts[r] : records.ends[r]], limit) for r in good[chosen].tolist()]

        refused = tuple(
            Refused(i, reason, shown(content[records.starts[i] : records.ends[i]], limit))
            for i, reason in enumerate(records.reasons)
            if reason is not None and not records.blank[i]
        )
        blank = int(np.count_nonzero(records.blank))
        batch = completed(columns, self._contract, rows)
        return Block(batch, len(records.ends), texts, refused, blank, good, failures), taken

    def _refuse_malformed(self, content: bytes, records: Records, good: Ints) -> None:
        for i in good.tolist():
            if not RECORD.fullmatch(content, int(records.starts[i]), int(records.ends[i])):
                records.reasons[i] = "row must quote whole fields"

    def _nothing(self, refused: Refused) -> Block:
        batch = completed({n: pa.nulls(0, arrow_type(c)) for n, c in self._contract.columns.items()}, self._contract, 0)
        return Block(batch, 1, lambda rows: [], (refused,))

    def _parse(
        self, content: Any, *, tolerant: bool = True
    ) -> tuple[dict[str, Any], Failures, int, list[tuple[int, int]]]:
        """`(columns, failures, rows, [(row, fields) of another width])`; else lines that are no rows raise."""
        if not len(content):
            empty = {n: pa.nulls(0, arrow_type(self._contract.columns[n])) for n in self._known}
            return empty, (), 0, []
        hexadecimal = self._has_integers and _may_be_hexadecimal(content)
        while True:
            attempt = self._attempt
            types = {n: self._type(n, hexadecimal=hexadecimal) for n in self._known}
            invalid: list[tuple[int, int]] = []
            # Lines are rows only where nothing is tolerated: that makes a line's number a row's.
            blanked = None if tolerant else self._bad_cells.blank(content)
            try:
                table = self._read(blanked.content if blanked else content, types, invalid if tolerant else None)
            except pa.ArrowInvalid as error:
                with self._lock:
                    # Another thread may have learned meanwhile what to do about this.
                    if attempt == self._attempt:
                        self._loosen(error, blanked)
                        self._attempt += 1
                continue
            if not tolerant and table.num_rows != _line_count(content):
                raise _UnevenRowsError
            columns, failures = self._convert(table, blanked)
            return columns, failures, table.num_rows, invalid

    def _type(self, name: str, *, hexadecimal: bool) -> Any:
        column = self._contract.columns[name]
        if name in self._loose or (hexadecimal and column.type == "integer"):
            return pa.binary()
        if column.type == "timestamp" and name in self._naive:
            return _NAIVE
        return arrow_type(column)

    def _loosen(self, error: pa.ArrowInvalid, blanked: Blanked | None) -> None:
        """
        Read the column that failed in another way: without the cell that failed, where it is known to be no value;
        times then with an offset; anything else as bytes.
        """
        found = _FAILED_COLUMN.search(str(error))
        if found is None and "columns, got" in str(error):
            raise _UnevenRowsError from error
        if found is None:
            raise FileRejected(
                "unreadable", "the file must be CSV. Got lines that can't be told apart instead"
            ) from error
        name = self._header[int(found[1])]
        if blanked and self._bad_cells.learn(str(error), int(found[1])):
            return
        if self._contract.columns[name].type == "timestamp" and name not in self._switched:
            self._switched.add(name)
            self._naive ^= {name}
        else:
            self._loose.add(name)

    def _read(self, content: Any, types: dict[str, Any], invalid: list[tuple[int, int]] | None) -> Any:
        def note(row: Any) -> str:
            if invalid is not None:
                invalid.append((row.number - 1, row.actual_columns))
            return "skip"

        return pacsv.read_csv(
            pa.BufferReader(pa.py_buffer(content)),
            read_options=pacsv.ReadOptions(column_names=self._header, use_threads=False, block_size=len(content) + 1),
            parse_options=pacsv.ParseOptions(
                invalid_row_handler=None if invalid is None else note, newlines_in_values=True
            ),
            convert_options=pacsv.ConvertOptions(
                column_types=types,
                include_columns=self._known,
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                null_values=[""],
                true_values=TRUE_VALUES,
                false_values=FALSE_VALUES,
            ),
        )

    def _convert(self, table: Any, blanked: Blanked | None) -> tuple[dict[str, Any], Failures]:
        columns: dict[str, Any] = {}
        failures: list[tuple[str, Flags, str]] = []
        for name in self._known:
            values, column = _one_chunk(table.column(name)), self._contract.columns[name]
            bad = blanked.flags(self._header.index(name), len(values)) if blanked and blanked.cells else None
            if pa.types.is_binary(values.type):
                values, wrong = parse_text(values, column)
                bad = wrong if bad is None else bad if wrong is None else bad | wrong
            elif values.type == _NAIVE:
                values = values.cast(arrow_type(column))
            if bad is not None:
                failures.append((name, bad, f"{name} must be {wanted(column.type)}"))
            columns[name] = values
        return columns, tuple(failures)


def _itself(block: Block) -> Block:
    return block


def _one_chunk(values: Any) -> Any:
    return values.chunk(0) if values.num_chunks == 1 else values.combine_chunks()


def _line_count(content: bytes | bytearray) -> int:
    return int(content.count(b"\n")) + (1 if len(content) and content[-1] != 10 else 0)


def _joined(content: bytes, records: Records, good: Ints) -> bytes:
    """The bytes of some records: whole stretches are copied at once."""
    if len(good) == len(records.ends):
        return content[: int(records.ends[-1])] if len(good) else b""
    if not len(good):
        return b""
    breaks = np.flatnonzero(np.diff(good) != 1) + 1
    firsts, lasts = good[np.append(0, breaks)], good[np.append(breaks - 1, len(good) - 1)]
    pieces = [
        content[records.starts[a] : records.ends[b]] for a, b in zip(firsts.tolist(), lasts.tolist(), strict=True)
    ]
    return b"".join(pieces)


def _may_be_hexadecimal(content: Any) -> bool:
    """Whether 0x or 0X is anywhere: Arrow would read such integers."""
    if b"x" not in content and b"X" not in content:
        return False
    data = np.frombuffer(content, np.uint8)
    marks = np.flatnonzero((data[1:] | 32) == 120)
    return bool((data[marks] == 48).any())
