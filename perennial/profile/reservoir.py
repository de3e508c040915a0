"""
A sample of rows that is a function of the rows alone: the `SAMPLE_ROWS` rows whose hash is lowest.

The first hash is that of the record's id, or of the whole row where it has no id; ties are broken by the whole row.
So the sample is uniform over records, needs no seed, and merges exactly: the lowest of a union are among the lowest of
each part. Only rows that may enter the sample are hashed whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from perennial.profile.arrays import from_numbers, nulls_of, numbers_of
from perennial.profile.categories import shortened
from perennial.profile.hashing import hash_column, mix

__all__ = ["SAMPLE_ROWS", "Reservoir", "ReservoirBuilder"]

Hashes = NDArray[np.uint64]

SAMPLE_ROWS = 256
_WAITING_ROWS = 1024
#: A dictionary of this size can be copied row by row for some hundred rows.
_SHORT_BYTES = 1 << 17


@dataclass(frozen=True, eq=False)
class Reservoir:
    """
    Sampled rows in the order of `ranks` (two hashes a row): `columns[name]` holds float64 for numbers (rounded to
    float32; nan where null) and a list of text (None where null) for categories and booleans.
    """

    ranks: NDArray[np.uint64]
    columns: dict[str, NDArray[np.float64] | list[str | None]]

    @property
    def rows(self) -> int:
        """Rows in the sample."""
        return len(self.ranks)

    def merge(self, other: Reservoir) -> Reservoir:
        """The sample of both sets of rows."""
        ranks = np.concatenate([self.ranks, other.ranks])
        order = np.lexsort((ranks[:, 1], ranks[:, 0]))[:SAMPLE_ROWS]
        columns: dict[str, NDArray[np.float64] | list[str | None]] = {}
        for name, own in self.columns.items():
            theirs = other.columns[name]
            if isinstance(own, list):
                both = own + list(theirs)
                columns[name] = [both[i] for i in order.tolist()]
            else:
                columns[name] = np.concatenate([own, np.asarray(theirs, np.float64)])[order]
        return Reservoir(ranks[order], columns)


class ReservoirBuilder:
    """Adds blocks of rows to one sample of the columns `kept` (name to whether it is numeric)."""

    def __init__(self, kept: dict[str, bool]) -> None:
        self._kept = kept
        self._sample = Reservoir(
            np.empty((0, 2), np.uint64), {n: np.empty(0) if numeric else [] for n, numeric in kept.items()}
        )
        # Rows that may enter wait here until they are many enough to be worth a look.
        self._waiting: list[tuple[Hashes, list[Any]]] = []

    def add(self, table: Any, ids: Hashes | None) -> None:
        """Consider the rows of a record batch with hashes of their ids (0 where there is none)."""
        first = _combined(table.columns, table.num_rows) if ids is None else ids
        if ids is not None and not first.all():
            nameless = np.flatnonzero(first == 0)
            first = first.copy()
            first[nameless] = _combined(table.take(from_numbers(nameless)).columns, len(nameless))
        full = self._sample.rows == SAMPLE_ROWS
        rows = np.flatnonzero(first <= self._sample.ranks[-1, 0]) if full else np.arange(len(first))
        if len(rows) > 2 * SAMPLE_ROWS:
            cut = np.partition(first[rows], SAMPLE_ROWS)[SAMPLE_ROWS]
            rows = rows[first[rows] <= cut]
        if len(rows):
            taken = table.take(from_numbers(rows))
            self._waiting.append((first[rows], [_plain_text(column) for column in taken.columns]))
        if not full or sum(len(f) for f, _ in self._waiting) > _WAITING_ROWS:
            self._settle()

    def build(self) -> Reservoir:
        """The sample of all that was added."""
        self._settle()
        return self._sample

    def _settle(self) -> None:
        if not self._waiting:
            return
        first = np.concatenate([f for f, _ in self._waiting])
        columns = [pa.concat_arrays(parts) for parts in zip(*(c for _, c in self._waiting), strict=True)]
        self._waiting = []
        second = _combined(columns, len(first))
        order = np.lexsort((second, first))[:SAMPLE_ROWS]
        ranks = np.stack([first[order], second[order]], axis=1)
        chosen = from_numbers(order)
        kept = {
            name: _plain(values.take(chosen), numeric)
            for (name, numeric), values in zip(self._kept.items(), columns, strict=True)
        }
        self._sample = self._sample.merge(Reservoir(ranks, kept))


def _combined(columns: list[Any], rows: int) -> NDArray[np.uint64]:
    combined = np.zeros(rows, np.uint64)
    for column in columns:
        combined ^= hash_column(column)
        combined = mix(combined, out=combined)
    return combined


def _plain_text(values: Any) -> Any:
    """Categories as text; where one may be long, short before they are copied: it may be in every row."""
    if not pa.types.is_dictionary(values.type):
        return values
    if values.dictionary.nbytes <= _SHORT_BYTES and values.type.value_type == pa.string():
        return values.dictionary_decode()
    used, place = np.unique(numbers_of(values.indices)[~nulls_of(values.indices)], return_inverse=True)
    index = np.full(len(values), len(used))
    index[~nulls_of(values.indices)] = place
    texts = shortened(values.dictionary.take(from_numbers(used))).cast(pa.string())
    return pa.concat_arrays([texts, pa.nulls(1, pa.string())]).take(from_numbers(index))


def _plain(values: Any, numeric: bool) -> NDArray[np.float64] | list[str | None]:
    if numeric:
        numbers = np.where(nulls_of(values), np.nan, numbers_of(values))
        with np.errstate(over="ignore"):
            return numbers.astype(np.float32).astype(np.float64)
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.string())
    return list(shortened(values).to_pylist())
