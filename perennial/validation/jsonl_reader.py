"""
JSON Lines: one object a line, UTF-8.

Blocks of flat objects go through Arrow's parser. Where that fails, smaller pieces are tried, and the lines of pieces
that fail are parsed one by one by Python's parser, strictly: no NaN or Infinity, no name twice, values of the
contract's types (a number is no text, a text is no number). Nesting is limited before any parser sees it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from perennial.contract import Column, Contract
from perennial.validation.blocks import Block
from perennial.validation.columns import compare_columns, completed, normal_names
from perennial.validation.jsonl_block import JsonlBlock
from perennial.validation.outcome import Limits, SchemaChange
from perennial.validation.sources import ByteStream
from perennial.validation.text_blocks import TextBlocks

__all__ = ["JsonlReader"]


class JsonlReader:
    """Reads one stream; `optional` columns may be absent without being a schema change."""

    def __init__(self, stream: ByteStream, contract: Contract, limits: Limits, optional: frozenset[str]) -> None:
        self._contract, self._limits, self._optional = contract, limits, optional
        self._text = TextBlocks(stream, limits)
        self._added: dict[str, Column] = {}
        self._seen: dict[str, None] = {}
        self._rows = 0
        self.schema_change: SchemaChange | None = None

    def parts(self, *, workers: int) -> Iterator[Callable[[], Block]]:
        """Every row of the file, once; the first block that changes the schema may reject the file when it settles."""
        for piece in self._text:
            if piece.refused is not None:
                yield partial(Block, completed({}, self._contract, 0), 1, lambda rows: [], (piece.refused,))
                continue
            yield partial(JsonlBlock(self._contract, self._limits, self._settle).read, piece)

    def _settle(self, block: JsonlBlock) -> None:
        """Compare the names of all blocks so far with the contract's."""
        for name, column in block.added.items():
            if len(self._added) < self._limits.max_columns:
                self._added.setdefault(name, column)
        self._seen |= block.seen
        self._rows += block.rows
        if self.schema_change is None and (self._added or self._rows):
            names = normal_names([*self._added, *self._seen], self._contract, self._limits)
            missing_ok = self._optional | frozenset(n for n, c in self._contract.columns.items() if c.accepts_null)
            self.schema_change = compare_columns(
                self._contract,
                names,
                missing_ok,
                lambda name: self._added.get(name, Column(type="text", nullable=True)),
            )
