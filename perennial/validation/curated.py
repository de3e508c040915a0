"""
Curated files: the good rows of a batch as Parquet (zstd), written while the batch is validated.

What a file costs to land is mostly what it costs to write it. Categories go to the writer as they are held, coded by a
dictionary; other columns get one only where their values repeat, since looking a value up costs more than writing it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from perennial.contract import Contract
from perennial.profile import arrow_type
from perennial.profile.arrays import from_numbers, nulls_of, numbers_of, present_numbers

__all__ = ["curated_rows", "curated_schema"]

_GROUP_ROWS = 1 << 17
_SAMPLE_ROWS = 1 << 13
_MOST_DISTINCT = 0.5


def curated_schema(contract: Contract) -> Any:
    """The Arrow schema of curated files: the contract's columns in its order, categories as plain text."""
    fields = []
    for name, column in contract.columns.items():
        kind = pa.string() if column.type == "category" else arrow_type(column)
        fields.append(pa.field(name, kind))
    return pa.schema(fields)


@contextmanager
def curated_rows(target: Any, contract: Contract) -> Iterator[Callable[[Any], None]]:
    """
    A function that takes record batches with the contract's types; None as `target` writes nothing.

    Rows are written in groups of about 128,000. What is written follows from the rows and how they come in batches
    alone.
    """
    if target is None:
        yield lambda batch: None
        return
    writer = _Writer(target, contract)
    try:
        yield writer.take
        writer.flush()
    finally:
        writer.close()


class _Writer:
    def __init__(self, target: Any, contract: Contract) -> None:
        self._target = target
        self._schema = pa.schema([pa.field(n, arrow_type(column)) for n, column in contract.columns.items()])
        self._held: list[Any] = []
        self._writer: Any = None

    def take(self, batch: Any) -> None:
        if batch.num_rows:
            columns = [_typed(batch.column(field.name), field.type) for field in self._schema]
            self._held.append(pa.RecordBatch.from_arrays(columns, schema=self._schema))
        if sum(b.num_rows for b in self._held) >= _GROUP_ROWS:
            self.flush()

    def flush(self) -> None:
        if self._held:
            table = pa.Table.from_batches(self._held, self._schema).unify_dictionaries()
            self._held.clear()
            columns = [_compact(column) for column in table.columns]
            self._open(table).write_table(pa.Table.from_arrays(columns, schema=self._schema))

    def close(self) -> None:
        self._open(None).close()

    def _open(self, first: Any) -> Any:
        """The writer, made when the first rows show which columns repeat their values; None: there are no rows."""
        if self._writer is None:
            repeating = [name for name in self._schema.names if first is not None and _repeats(first.column(name))]
            # Without Arrow's own schema in the file every reader sees categories as the text that they are.
            self._writer = pq.ParquetWriter(
                self._target, self._schema, compression="zstd", use_dictionary=repeating, store_schema=False
            )
        return self._writer


def _typed(values: Any, kind: Any) -> Any:
    """Values as they are held until they are written: categories that came as plain text are coded."""
    if values.type == kind:
        return values
    if pa.types.is_dictionary(kind) and not pa.types.is_dictionary(values.type):
        return values.cast(kind.value_type).dictionary_encode()
    return values.cast(kind)


def _repeats(column: Any) -> bool:
    """Whether a dictionary pays, by the first rows."""
    if pa.types.is_dictionary(column.type):
        return True
    if pa.types.is_boolean(column.type):
        return False
    sample = column.slice(0, _SAMPLE_ROWS)
    return bool(pc.count_distinct(sample).as_py() <= _MOST_DISTINCT * len(sample))


def _compact(column: Any) -> Any:
    """A column whose dictionary, one for all of its chunks, holds what occurs and no more: no value of a bad row."""
    if not pa.types.is_dictionary(column.type) or not column.num_chunks:
        return column
    known = len(column.chunk(0).dictionary)
    counts = np.zeros(known, np.int64)
    for chunk in column.chunks:
        counts += np.bincount(present_numbers(chunk.indices), minlength=known)
    used = np.flatnonzero(counts)
    if len(used) == known:
        return column
    place = np.zeros(known, np.int32)
    place[used] = np.arange(len(used))
    words = column.chunk(0).dictionary.take(from_numbers(used))
    return pa.chunked_array([_recoded(chunk.indices, place, words) for chunk in column.chunks], column.type)


def _recoded(indices: Any, place: np.ndarray[Any, Any], words: Any) -> Any:
    null = nulls_of(indices)
    return pa.DictionaryArray.from_arrays(from_numbers(place[np.where(null, 0, numbers_of(indices))], null), words)
