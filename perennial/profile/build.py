"""Profiles from Arrow tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from perennial.contract import Column, Contract
from perennial.profile.arrays import nulls_of, numbers_of
from perennial.profile.builders import IdentityBuilder, Scratch, Seen, column_builder
from perennial.profile.columns import PAIR_CELLS
from perennial.profile.hashing import hash_column
from perennial.profile.model import Profile
from perennial.profile.reservoir import ReservoirBuilder

Ints = NDArray[np.int64]

__all__ = ["ProfileBuilder", "arrow_type", "profile_table"]

#: Octiles of a normal distribution: with a grid that fits, a pair's cells hold about equal shares.
_OCTILES = np.array([-1.1503, -0.6745, -0.3186, 0.0, 0.3186, 0.6745, 1.1503])


def arrow_type(column: Column) -> Any:
    """The Arrow type in which a column is validated and profiled."""
    return {
        "number": pa.float64(),
        "integer": pa.int64(),
        "category": pa.dictionary(pa.int32(), pa.string()),
        "boolean": pa.bool_(),
        "timestamp": pa.timestamp("us", tz="UTC"),
        "text": pa.string(),
    }[column.type]


class ProfileBuilder:
    """Adds record batches to one profile; columns that a batch lacks count nothing."""

    def __init__(self, contract: Contract) -> None:
        self._contract, self._rows = contract, 0
        scratch = Scratch()
        self._columns = {
            name: column_builder(name, column, scratch, identifies=name == contract.record_id)
            for name, column in contract.columns.items()
        }
        self._pairs = {pair: np.zeros(PAIR_CELLS * PAIR_CELLS, np.int64) for pair in contract.pairs}
        sampled = {n: contract.columns[n].is_numeric for n in contract.features if _is_sampled(contract.columns[n])}
        self._sampled = tuple(sampled)
        self._reservoir = ReservoirBuilder(sampled)

    def add(self, batch: Any, *, seen: Mapping[str, Seen] | None = None, ids: NDArray[np.uint64] | None = None) -> None:
        """
        Count the rows of an Arrow record batch whose columns have the contract's types (see `arrow_type`).

        Who has looked at the batch already may say what it has seen of columns, and `hash_column` of the record ids.
        """
        if batch.num_rows == 0:
            return
        self._rows += batch.num_rows
        present = set(batch.schema.names)
        if ids is None and self._contract.record_id in present:
            ids = hash_column(batch.column(self._contract.record_id))
        known = seen or {}
        for name, builder in self._columns.items():
            if name == self._contract.record_id and isinstance(builder, IdentityBuilder) and ids is not None:
                builder.add_hashes(ids, batch.column(name).null_count)
            elif name in present:
                values = batch.column(name)
                # A label that has not come yet is no missing value.
                values = values.drop_null() if name == self._contract.label and values.null_count else values
                builder.add(values, known.get(name))
        if self._pairs:
            self._add_pairs(batch)
        self._reservoir.add(_completed(batch, self._sampled, self._contract), ids)

    def build(self) -> Profile:
        """The profile of all that was added."""
        return Profile(
            self._rows,
            {name: builder.build() for name, builder in self._columns.items()},
            {pair: cells.reshape(PAIR_CELLS, PAIR_CELLS).copy() for pair, cells in self._pairs.items()},
            self._reservoir.build(),
        )

    def _add_pairs(self, batch: Any) -> None:
        codes: dict[str, Ints] = {}
        for pair, cells in self._pairs.items():
            if not set(pair) <= set(batch.schema.names):
                continue
            for name in pair:
                if name not in codes:
                    codes[name] = _pair_codes(batch.column(name), self._contract.columns[name])
            cells += np.bincount(codes[pair[0]] * PAIR_CELLS + codes[pair[1]], minlength=len(cells))


def profile_table(table: Any, contract: Contract) -> Profile:
    """
    The profile of an Arrow table or record batch.

    Columns are cast to the contract's types; columns that the contract doesn't know are left out. Values that are not
    finite count as null.

    >>> contract = Contract(format="csv", record_id="id", event_time="at", columns={"x": {"type": "number"}})
    >>> profile = profile_table(pa.table({"x": [1.0, 2.0, 4.5]}), contract)
    >>> profile.rows, profile.columns["x"].mean, profile.columns["x"].maximum
    (3, 2.5, 4.5)
    """
    if isinstance(table, pa.RecordBatch):
        table = pa.Table.from_batches([table])
    kept = [n for n in contract.columns if n in table.column_names]
    cast = [_cast(table.column(n), arrow_type(contract.columns[n])) for n in kept]
    builder = ProfileBuilder(contract)
    for batch in pa.table(cast, names=kept).to_batches():
        builder.add(batch)
    return builder.build()


def _cast(values: Any, kind: Any) -> Any:
    if values.type == kind:
        return values
    if pa.types.is_dictionary(kind):
        if pa.types.is_dictionary(values.type):
            return values
        return values.cast(pa.string()).dictionary_encode()
    if pa.types.is_timestamp(kind) and pa.types.is_timestamp(values.type) and values.type.tz is None:
        return values.cast(pa.timestamp("us")).cast(kind)
    return values.cast(kind, safe=not pa.types.is_floating(kind))


def _is_sampled(column: Column) -> bool:
    return column.drift is not False and column.type in ("number", "integer", "category", "boolean")


def _completed(batch: Any, names: tuple[str, ...], contract: Contract) -> Any:
    present = set(batch.schema.names)
    columns = [
        batch.column(n) if n in present else pa.nulls(batch.num_rows, arrow_type(contract.columns[n])) for n in names
    ]
    return pa.RecordBatch.from_arrays(columns, names=list(names))


def _pair_codes(values: Any, column: Column) -> Ints:
    """The cell of each row along one side of a pair: octiles of the grid, or a hash; the last cell for null."""
    null = nulls_of(values)
    if column.is_numeric:
        x = np.where(null, 0, numbers_of(values)).astype(np.float64)
        codes: Ints = np.searchsorted(_OCTILES, (x - column.grid.center) / column.grid.scale).astype(np.int64)
    else:
        codes = (hash_column(values) % np.uint64(PAIR_CELLS - 1)).astype(np.int64)
    codes[null] = PAIR_CELLS - 1
    return codes
