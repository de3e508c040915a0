"""
A sample of rows that is a function of the rows alone: the `SAMPLE_ROWS` rows whose hash is lowest.

A row's hash depends on its content only, so the sample is uniform over distinct rows, needs no seed, and merges
exactly: the lowest of a union are among the lowest of each part. Up to three columns are hashed for every row; only
rows that may enter the sample are hashed whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from perennial.profile.hashing import hash_column, mix, quick_mix

__all__ = ["SAMPLE_ROWS", "Reservoir", "ReservoirBuilder"]

SAMPLE_ROWS = 256
_ODD = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93), np.uint64(0xA0761D6478BD642F))


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

    def __init__(self, kept: dict[str, bool], ranked_by: tuple[str, ...]) -> None:
        self._kept, self._ranked_by = kept, ranked_by
        self._sample = Reservoir(
            np.empty((0, 2), np.uint64), {n: np.empty(0) if numeric else [] for n, numeric in kept.items()}
        )

    def add(self, table: Any) -> None:
        """Consider the rows of an Arrow record batch."""
        first = _rank([table.column(name) for name in self._ranked_by], table.num_rows)
        full = self._sample.rows == SAMPLE_ROWS
        bound = self._sample.ranks[-1, 0] if full else np.uint64(2**64 - 1)
        rows = np.flatnonzero(first <= bound)
        if len(rows) > 4 * SAMPLE_ROWS:
            cut = np.partition(first[rows], SAMPLE_ROWS)[SAMPLE_ROWS]
            rows = rows[first[rows] <= cut]
        if not len(rows):
            return
        taken = table.take(pa.array(rows))
        second = _combined(taken.columns, len(rows))
        ranks = np.stack([first[rows], second], axis=1)
        order = np.lexsort((second, ranks[:, 0]))[:SAMPLE_ROWS]
        taken = taken.take(pa.array(order))
        columns = {n: _plain(taken.column(n), numeric) for n, numeric in self._kept.items()}
        self._sample = self._sample.merge(Reservoir(ranks[order], columns))

    def build(self) -> Reservoir:
        """The sample of all that was added."""
        return self._sample


def _rank(columns: list[Any], rows: int) -> NDArray[np.uint64]:
    """A cheap hash of a few columns: the raw bits of numbers and times, weighted by odd constants."""
    combined = np.zeros(rows, np.uint64)
    for weight, column in zip(_ODD, columns, strict=False):
        if pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_timestamp(column.type):
            bits = column.view(pa.uint64())
            combined += (bits.fill_null(0) if bits.null_count else bits).to_numpy() * weight
        else:
            combined += hash_column(column) * weight
    return quick_mix(combined, out=combined)


def _combined(columns: list[Any], rows: int) -> NDArray[np.uint64]:
    combined = np.zeros(rows, np.uint64)
    for column in columns:
        combined ^= hash_column(column)
        combined = mix(combined, out=combined)
    return combined


def _plain(values: Any, numeric: bool) -> NDArray[np.float64] | list[str | None]:
    if numeric:
        numbers = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        with np.errstate(over="ignore"):
            return np.asarray(numbers.astype(np.float32).astype(np.float64))
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.string())
    return list(values.to_pylist())
