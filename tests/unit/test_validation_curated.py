"""Curated files: the good rows, as they were, in columns that are coded where it pays."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.contract import Contract
from perennial.validation import Limits, curated_schema, validate_file

CONTRACT = Contract.model_validate({
    "format": "jsonl",
    "record_id": "id",
    "event_time": "at",
    "quality": {"max_invalid_rate": 0.99},
    "columns": {
        "x": {"type": "number", "nullable": True},
        "n": {"type": "integer"},
        "c": {"type": "category", "nullable": True, "pattern": "[a-z]*"},
        "b": {"type": "boolean"},
    },
})  # fmt: skip


def curated(table: pa.Table, block_rows: int = 1 << 16) -> io.BytesIO:
    """The curated file of a table that lands as Parquet."""
    landed, written = io.BytesIO(), io.BytesIO()
    pq.write_table(table, landed, row_group_size=7)
    contract = CONTRACT.model_copy(update={"format": "parquet"})
    outcome = validate_file(
        io.BytesIO(landed.getvalue()), contract=contract, key="a.parquet", size_bytes=landed.tell(),
        curated=written, limits=Limits(block_rows=block_rows),
    )  # fmt: skip
    assert outcome.accepted, outcome
    written.seek(0)
    return written


def table_of(x: list[float | None], c: list[str | None]) -> pa.Table:
    """Rows with these numbers and categories."""
    rows = len(x)
    return pa.table({
        "id": [f"r{i}" for i in range(rows)],
        "at": pa.array(np.arange(rows).astype("datetime64[us]"), pa.timestamp("us", "UTC")),
        "x": pa.array(x, pa.float64()),
        "n": [i % 3 for i in range(rows)],
        "c": pa.array(c, pa.string()),
        "b": [i % 2 == 0 for i in range(rows)],
    })  # fmt: skip


cells = st.tuples(
    st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)),
    st.one_of(st.none(), st.sampled_from(["", "a", "bc", "BAD", "WORSE"]), st.text("xyz", max_size=3)),
)


@settings(deadline=None)
@given(st.lists(cells, min_size=1, max_size=40), st.sampled_from([3, 5, 1000]))
def test_the_good_rows_come_back_as_they_were(rows: list[tuple[float | None, str | None]], block_rows: int) -> None:
    landed = table_of([x for x, _ in rows] + [0.0], [c for _, c in rows] + ["a"])

    found = pq.read_table(pa.py_buffer(curated(landed, block_rows).getvalue()))

    assert found.schema.equals(curated_schema(CONTRACT))
    good = [row for row in landed.select(found.schema.names).to_pylist() if row["c"] is None or not row["c"].isupper()]
    assert found.to_pylist() == good


def test_no_value_of_a_bad_row_stays_behind_in_a_dictionary() -> None:
    landed = table_of([1.0] * 40, ["a", "SECRET", "b", None] * 10)

    file = pq.ParquetFile(pa.py_buffer(curated(landed).getvalue()), read_dictionary=["c"])

    held = {value for chunk in file.read().column("c").chunks for value in chunk.dictionary.to_pylist()}
    assert held == {"a", "b"}


def test_columns_get_a_dictionary_where_their_values_repeat() -> None:
    numbers = np.random.default_rng(1).normal(size=500).tolist()
    group = pq.ParquetFile(pa.py_buffer(curated(table_of(numbers, ["a", "b"] * 250)).getvalue())).metadata.row_group(0)

    coded = {group.column(i).path_in_schema for i in range(group.num_columns) if group.column(i).has_dictionary_page}

    assert coded == {"n", "c"}
    assert {group.column(i).compression for i in range(group.num_columns)} == {"ZSTD"}


def test_a_file_without_good_rows_has_the_schema_all_the_same() -> None:
    written = io.BytesIO()
    outcome = validate_file(
        io.BytesIO(b'{"id":1}\n'), contract=CONTRACT, key="a.jsonl", size_bytes=9, curated=written
    )  # fmt: skip
    assert not outcome.accepted
    assert pq.read_schema(pa.py_buffer(written.getvalue())).equals(curated_schema(CONTRACT))
