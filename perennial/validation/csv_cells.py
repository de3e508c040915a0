"""
Cells that are no values, taken out of a CSV block before Arrow's typed parser sees them.

Broken cells mostly hold the same few texts ("n/a", "broken"). Once such a text is known, each cell that is exactly it,
in a column of the type for which it failed, is blanked in a copy of the block and flagged; the whole block then takes
the parser's fast path. Where that can't be done with certainty, columns are read as bytes (see CsvReader).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.contract import Column, ColumnType
from perennial.profile.arrays import from_texts
from perennial.validation.parsing import parse_text

__all__ = ["BadCells", "Blanked"]

_FAILED_CELL = re.compile(r": invalid value '([^'\",\n\r]+)'$")
_QUOTED = re.compile(rb'"[^"]*"')
_MOST_TEXTS = 4
#: Beyond this many broken cells in a block, whole columns at once cost less than cell by cell.
_MOST_CELLS = 2000
_EDGES = b",\n\r"


@dataclass(frozen=True)
class Blanked:
    """A block whose broken cells are empty now, and where they were: `(line, column)`, counted from 0."""

    content: Any
    cells: list[tuple[int, int]] = field(default_factory=list)

    def flags(self, column: int, rows: int) -> NDArray[np.bool_] | None:
        """Which rows of a column were blanked; None if none."""
        lines = [line for line, place in self.cells if place == column]
        if not lines:
            return None
        flags = np.zeros(rows, np.bool_)
        flags[lines] = True
        return flags


class BadCells:
    """The texts that are known to be no values, and the column types that they are none of."""

    def __init__(self, columns: list[Column | None]) -> None:
        self._columns = columns
        self._texts: dict[bytes, set[ColumnType]] = {}

    def learn(self, message: str, place: int) -> bool:
        """Take a parser's message on a column; False if nothing new can be learned from it."""
        found, column = _FAILED_CELL.search(message), self._columns[place]
        if found is None or column is None or column.type in ("category", "text"):
            return False
        text = found[1].encode()
        if column.type in self._texts.get(text, ()) or len(self._texts) >= _MOST_TEXTS:
            return False
        # Arrow refuses some values that are good: they must not be blanked.
        if parse_text(from_texts([found[1]]), column)[1] is None:
            return False
        self._texts.setdefault(text, set()).add(column.type)
        return True

    def blank(self, content: Any) -> Blanked | None:
        """The block without known bad cells; None where they are too many, or a line's quotes leave doubt."""
        places = sorted(p for text, types in self._texts.items() for p in self._cells(content, text, types))
        if not places:
            return Blanked(content)
        if len(places) > _MOST_CELLS or any(column < 0 for _, _, column in places):
            return None
        pieces: list[Any] = []
        cells: list[tuple[int, int]] = []
        last = line = 0
        with memoryview(content) as view:
            for start, end, column in places:
                line += content.count(b"\n", last, start)
                cells.append((line, column))
                pieces.append(view[last:start])
                last = end
            return Blanked(b"".join([*pieces, view[last:]]), cells)

    def _cells(self, content: Any, text: bytes, types: set[ColumnType]) -> Iterator[tuple[int, int, int]]:
        """`(start, end, column)` of cells of these types that are exactly the text; column -1 where it is unsure."""
        at, found = content.find(text), 0
        while at >= 0 and found <= _MOST_CELLS:
            end = at + len(text)
            if (at == 0 or content[at - 1] in _EDGES) and (end == len(content) or content[end] in _EDGES):
                before = bytes(content[content.rfind(b"\n", 0, at) + 1 : at])
                if b'"' in before:
                    before = _QUOTED.sub(b"", before)
                place = -1 if b'"' in before else before.count(b",")
                column = self._columns[place] if 0 <= place < len(self._columns) else None
                if place < 0 or (column is not None and column.type in types):
                    found += 1
                    yield at, end, place
            at = content.find(text, end)
