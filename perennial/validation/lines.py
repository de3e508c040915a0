"""
Lines and records of delimited text, found without parsing fields.

A record is one line, unless a quoted field reaches over its end. Which line ends are inside quotes is decided here,
line by line, so that a stray quote costs its own row and nothing after it: an opened quote that isn't closed within
the limits, or that would swallow a line which is a whole row by itself, is refused and reading goes on with the next
line. Blocks in which Arrow finds as many rows as there are lines are not looked at this closely.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.validation.outcome import Limits

__all__ = ["RECORD", "Records", "ends_whole", "looks_plain", "split_records"]

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

_EFFORT = 16
_FIELD = rb'(?:"(?:[^"]|"")*+"|(?!"))[^,\r\n]*+'
#: A whole record, as Arrow's parser reads it: only a quote that begins a field opens one, and what follows a closed
#: one up to the next comma belongs to its field.
_LENIENT_FIELD = re.compile(rb'(?:^|,)(?:"(?:[^"]|"")*+"|"|(?!"))[^,\r\n]*+')
_WIDE = 4
RECORD = re.compile(_FIELD + rb"(?:," + _FIELD + rb")*+\r?\n?")


@dataclass(frozen=True)
class Records:
    """Spans of the records of a block, in order: `reasons[i]` is None for those that are to be parsed."""

    starts: Ints
    ends: Ints
    reasons: list[str | None]
    blank: Flags

    @property
    def good(self) -> Ints:
        """Records that are to be parsed."""
        refused = np.array([r is not None for r in self.reasons], np.bool_)
        return np.flatnonzero(~refused & ~self.blank)


def looks_plain(block: bytes | bytearray) -> bool:
    """Whether nothing forbids to parse the block as it is: no NUL, no lone carriage return."""
    if b"\0" in block:
        return False
    return b"\r" not in block or block.count(b"\r") == block.count(b"\r\n")


def ends_whole(block: bytes | bytearray, limits: Limits) -> bool:
    """
    Whether no record of a block of whole lines can go on in the next block.

    Only the last lines can tell: a record that begins further up has been given up before the block ends.
    """
    start = len(block)
    for _ in range(limits.max_record_lines + 1):
        start = block.rfind(b"\n", 0, max(start - 1, 0)) + 1
        if not start:
            break
    tail = bytes(block[start:])
    if b'"' not in tail:
        return True
    data = np.frombuffer(tail, np.uint8)
    ends = np.flatnonzero(data == 10) + 1
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1]])
    return all(RECORD.fullmatch(tail, starts[i], ends[i]) for i in _suspects(data, starts, ends).tolist())


def split_records(
    block: bytes, columns: int, limits: Limits, *, final: bool, quotes: bool = True
) -> tuple[Records, int]:
    """
    The records of a block of whole lines, and how many bytes they take.

    Fewer bytes than the block has are taken when its last record may go on in the next block (never if `final`).
    """
    data = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(data == 10) + 1
    if len(data) and (not len(ends) or ends[-1] != len(data)):
        ends = np.append(ends, len(data))
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1]]) if len(ends) else ends
    reasons: list[str | None] = [None] * len(ends)
    _refuse_lines(data, ends, b"\0", "row must not hold NUL", reasons)
    if b"\r" in block and block.count(b"\r") != block.count(b"\r\n"):
        stray = np.flatnonzero((data == 13) & (np.append(data[1:], 13 if not final else 10) != 10))
        for line in np.unique(np.searchsorted(ends, stray, side="right")).tolist():
            reasons[line] = reasons[line] or "row must not hold a lone carriage return"
    for line in np.flatnonzero(ends - starts > limits.max_line_bytes).tolist():
        reasons[line] = reasons[line] or f"row must have at most {limits.max_line_bytes} bytes"
    blank = _blank(block, data, starts, ends)
    if not quotes or b'"' not in block:
        return Records(starts, ends, reasons, blank), len(data)
    return _join_quoted(block, data, Records(starts, ends, reasons, blank), columns, limits, final)


def _refuse_lines(data: Any, ends: Ints, byte: bytes, reason: str, reasons: list[str | None]) -> None:
    places = np.flatnonzero(data == byte[0])
    for line in np.unique(np.searchsorted(ends, places, side="right")).tolist():
        reasons[line] = reason


def _blank(block: bytes, data: Any, starts: Ints, ends: Ints) -> Flags:
    """Lines of nothing but spaces, tabs and line ends."""
    blank = np.zeros(len(ends), np.bool_)
    # Its first byte tells for nearly every line that it is not blank.
    for line in np.flatnonzero(np.isin(data[starts], (10, 13, 32, 9))).tolist():
        blank[line] = not block[starts[line] : ends[line]].strip(b" \t\r\n")
    return blank


def _join_quoted(
    block: bytes, data: Any, lines: Records, columns: int, limits: Limits, final: bool
) -> tuple[Records, int]:
    suspects = _suspects(data, lines.starts, lines.ends)
    reasons, keep = lines.reasons, np.ones(len(lines.ends), np.bool_)
    ends = lines.ends.copy()
    at, effort = 0, _Effort(_EFFORT * len(block))
    for line in suspects.tolist():
        if line < at or reasons[line] is not None or RECORD.fullmatch(block, lines.starts[line], lines.ends[line]):
            continue
        last, complete = _closing_line(block, lines, line, columns, limits, effort)
        if complete:
            ends[line] = lines.ends[last]
            keep[line + 1 : last + 1] = False
            at = last + 1
        elif last + 1 >= len(ends) and not final and lines.ends[-1] - lines.starts[line] < limits.max_line_bytes:
            return _first(Records(lines.starts, ends, reasons, lines.blank), keep, line), int(lines.starts[line])
        else:
            reasons[line] = "row must close its quotes"
    return _first(Records(lines.starts, ends, reasons, lines.blank), keep, len(ends)), len(data)


def _first(records: Records, keep: Flags, lines: int) -> Records:
    chosen = np.flatnonzero(keep[:lines])
    reasons = [records.reasons[i] for i in chosen.tolist()]
    return Records(records.starts[chosen], records.ends[chosen], reasons, records.blank[chosen])


def _suspects(data: Any, starts: Ints, ends: Ints) -> Ints:
    """Lines with an odd number of quotes. Other malformed lines show when Arrow finds another number of rows."""
    quotes = (data == 34).nonzero()[0]
    return ((np.searchsorted(quotes, ends) - np.searchsorted(quotes, starts)) & 1).nonzero()[0]


@dataclass
class _Effort:
    """Bytes that may still be looked at again, so that a file full of stray quotes costs linear time."""

    left: int


def _closing_line(
    block: bytes, lines: Records, line: int, columns: int, limits: Limits, effort: _Effort
) -> tuple[int, bool]:
    """The last line of the record that begins with `line`, and whether the record is complete there."""
    start = int(lines.starts[line])
    last = min(line + limits.max_record_lines, len(lines.ends)) - 1
    for candidate in range(line + 1, last + 1):
        end = int(lines.ends[candidate])
        if end - start > limits.max_line_bytes or effort.left < 0:
            return candidate, False
        effort.left -= end - start
        inner = block[lines.starts[candidate] : end]
        if columns > 1 and inner.count(b",") >= columns - 1 and _looks_like_row(inner, columns):
            return candidate, False
        if b'"' in inner and RECORD.fullmatch(block, start, end):
            return candidate, True
    return last, False


def _looks_like_row(line: bytes, columns: int) -> bool:
    """
    Whether a line inside quotes is a row by itself, be it one with a stray quote of its own.

    In narrow files the last line of a quoted field can have as many fields as a row: there, a quote that ends a field
    is believed to close it.
    """
    if sum(1 for _ in _LENIENT_FIELD.finditer(line)) != columns:
        return False
    first = line.find(b'"')
    return columns >= _WIDE or first < 0 or first == 0 or line[first - 1 : first] == b","
