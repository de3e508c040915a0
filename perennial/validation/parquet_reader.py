"""
Parquet: read batch by batch, only the contract's columns.

The footer is not believed: rows are counted as they come, text stays dictionary-encoded so that one long value in many
rows is held once, and every page's own header is looked at before its page is decompressed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from perennial.contract import Column, Contract
from perennial.profile import arrow_type
from perennial.profile.arrays import from_numbers, numbers_of, present_numbers
from perennial.validation.blocks import Block, FileRejected, shown
from perennial.validation.columns import compare_columns, completed, infer_column, normal_names
from perennial.validation.outcome import Limits, SchemaChange
from perennial.validation.parquet_pages import check_pages

__all__ = ["ParquetReader"]

Ints = NDArray[np.int64]

_BATCH_CELLS = 4 << 20
_FEW_WORKERS = 2


class ParquetReader:
    """Reads one seekable source; `optional` columns may be absent without being a schema change."""

    def __init__(self, source: Any, contract: Contract, limits: Limits, optional: frozenset[str]) -> None:
        self._contract, self._limits = contract, limits
        try:
            # Without read-ahead no thread of Arrow's holds buffers of a Python file when an error ends the reading.
            file = pq.ParquetFile(source, pre_buffer=False)
            schema, metadata = file.schema_arrow, file.metadata
        except (pa.ArrowException, OSError, ValueError) as error:
            raise FileRejected(
                "unreadable", f"the file must be Parquet. Got an error instead ({type(error).__name__})"
            ) from error
        if metadata.num_rows * max(len(schema.names), 1) > limits.max_cells:
            cells = metadata.num_rows * len(schema.names)
            raise FileRejected("bomb", f"a file must have at most {limits.max_cells} cells. Got {cells} instead")
        names = normal_names(schema.names, contract, limits)
        self.schema_change: SchemaChange | None = compare_columns(
            contract, names, optional, lambda name: infer_column(schema.field(names.index(name)).type)
        )
        self._original = {n: o for n, o in zip(names, schema.names, strict=True) if n in contract.columns}
        for name, original in self._original.items():
            _check_type(name, contract.columns[name], schema.field(original).type)
        check_pages(source, metadata, limits)
        texts = [o for n, o in self._original.items() if contract.columns[n].type in ("category", "text")]
        self._is_path = isinstance(source, (str, Path))
        self._file = pq.ParquetFile(source, read_dictionary=texts, pre_buffer=False)
        self._batch_rows = min(limits.block_rows, max(1024, _BATCH_CELLS // max(len(self._original), 1)))

    def parts(self, *, workers: int) -> Iterator[Callable[[], Block]]:
        """Every row of the file, once."""
        columns = list(self._original.values())
        # Arrow's threads read columns side by side: that costs memory, and two workers are kept busy without. Not from
        # a Python file, whose last buffer they may drop too late.
        threads = workers > _FEW_WORKERS and self._is_path
        batches = self._file.iter_batches(self._batch_rows, columns=columns, use_threads=threads)
        cells = 0
        while True:
            try:
                batch = next(batches, None)
            except (pa.ArrowException, OSError, ValueError) as error:
                raise FileRejected(
                    "unreadable", f"the file must be Parquet. Got an error instead ({type(error).__name__})"
                ) from error
            if batch is None:
                return
            cells += batch.num_rows * max(len(columns), 1)
            if cells > self._limits.max_cells:
                raise FileRejected("bomb", f"a file must have at most {self._limits.max_cells} cells. Got more instead")
            yield partial(self._block, batch)

    def _block(self, batch: Any) -> Block:
        columns, failures = {}, []
        for name, original in self._original.items():
            values, column = batch.column(original), self._contract.columns[name]
            _check_indices(name, values)
            try:
                columns[name] = _converted(values, column)
            except (pa.ArrowException, ValueError):
                columns[name], bad = _converted_loosely(values, column)
                failures.append((name, bad, f"{name} must be {column.type}"))
        done = completed(columns, self._contract, batch.num_rows)
        return Block(done, batch.num_rows, partial(self._texts, batch), failures=tuple(failures))

    def _texts(self, batch: Any, rows: Ints) -> list[str]:
        taken = batch.take(from_numbers(rows))
        names, cells = taken.schema.names, [_plain_cells(column) for column in taken.columns]
        limit = self._limits.max_text_characters
        return [shown(dict(zip(names, row, strict=True)), limit) for row in zip(*cells, strict=True)]


def _plain_cells(values: Any) -> list[Any]:
    """Python values; times that no datetime can hold as the number that is stored."""
    try:
        return list(values.to_pylist())
    except (OverflowError, ValueError):
        return list(values.cast(pa.int64()).to_pylist())


def _check_type(name: str, column: Column, kind: Any) -> None:
    """Types are the producer's word for a whole column: another kind is a change of schema, not of a row."""
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    number = pa.types.is_floating(value) or pa.types.is_integer(value) or pa.types.is_decimal(value)
    text = pa.types.is_string(value) or pa.types.is_large_string(value)
    fits = {
        "number": number,
        "integer": pa.types.is_integer(value),
        "boolean": pa.types.is_boolean(value),
        "timestamp": pa.types.is_timestamp(value) or pa.types.is_date(value),
        "category": text,
        "text": text,
    }[column.type]
    if not fits and not pa.types.is_null(value):
        raise FileRejected("schema", f"{name} must be {column.type}. Got {_kind(kind)} instead")


def _kind(kind: Any) -> str:
    """An Arrow type's own word, without what a producer may write into it: names of fields, of time zones."""
    if pa.types.is_dictionary(kind):
        return f"dictionary of {_kind(kind.value_type)}"
    return str(kind).partition("<")[0].partition("[")[0]


def _check_indices(name: str, values: Any) -> None:
    """A damaged page can hold places beyond its dictionary, which Arrow would look up without a question."""
    if not pa.types.is_dictionary(values.type) or not len(values):
        return
    known, indices = len(values.dictionary), numbers_of(values.indices)
    unsigned = f"u{indices.itemsize}"  # so that what is below 0 is beyond the end too
    # What is behind a null means nothing: such rows are left out where they would matter.
    if indices.view(unsigned).max() >= known and (present_numbers(values.indices).view(unsigned) >= known).any():
        raise FileRejected("unreadable", f"the file must be Parquet. Got values of {name} beyond their dictionary")


def _converted(values: Any, column: Column) -> Any:
    kind = arrow_type(column)
    if values.type == kind:
        return values
    if column.type in ("category", "text"):
        if pa.types.is_dictionary(values.type):
            return values if column.type == "category" else values.cast(pa.string())
        return values.cast(pa.string()).dictionary_encode() if column.type == "category" else values.cast(pa.string())
    if column.type == "timestamp":
        zone = values.type.tz if pa.types.is_timestamp(values.type) else None
        return values.cast(pa.timestamp("us", zone), safe=False).cast(kind)
    return values.cast(kind, safe=column.type != "number")


def _converted_loosely(values: Any, column: Column) -> tuple[Any, NDArray[np.bool_]]:
    """Value by value: what doesn't fit (a whole number beyond 64 bits, a time beyond the range) is flagged."""
    kind = arrow_type(column)
    found, bad = [], np.zeros(len(values), np.bool_)
    for i in range(len(values)):
        try:
            cast = pc.cast(values[i], kind)
            cast.as_py()
            found.append(cast)
        except (pa.ArrowException, ValueError, OverflowError):
            found.append(None)
            bad[i] = True
    return pa.array([None if f is None else f.as_py() for f in found], kind), bad
