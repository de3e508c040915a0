"""
The measured files: a reference and a current batch of 20 columns, as Parquet and as CSV.

Up to a million rows, the current batch as JSON lines too.

A record id, an event time, eleven numbers (skewed, bounded, heavy-tailed, two-humped, whole, rounded, with nulls), six
categories of 3 to 5,000 values, one boolean. Four columns of the current batch drift.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

__all__ = ["DRIFTED", "contract_of", "generate", "warm"]

DRIFTED = ("income", "delay", "score", "region")
_CHUNK = 250_000
_WARM_BYTES = 4 << 20
#: Python writes JSON: beyond this it takes minutes.
_MOST_JSON_ROWS = 1_000_000
_CATEGORIES = {"channel": 3, "plan": 10, "region": 50, "city": 200, "product": 1000, "campaign": 5000}
_START = 1_767_225_600_000_000


def generate(folder: Path, rows: int) -> None:
    """Write reference and current files of `rows` rows into `folder`, unless they are there, and their contract."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in ((11, "reference"), (12, "current")):
        if not (folder / f"{name}.parquet").exists():
            _write(folder / name, seed, rows, drifted=name == "current")
    # Written anew each time: the contract's own format may have changed since the files were made.
    (folder / "contract.json").write_text(json.dumps(_contract(folder / "reference.parquet"), indent=1))
    lines = folder / "current.jsonl"
    if rows <= _MOST_JSON_ROWS and not lines.exists():
        _write_lines(folder / "current.parquet", lines)
    dirty = folder / "dirty.csv"
    if not dirty.exists():
        _spoil(folder / "current.csv", dirty, share=0.001)


def contract_of(folder: Path, kind: str) -> dict[str, Any]:
    """The data contract of the files, for one format."""
    return {**json.loads((folder / "contract.json").read_text()), "format": kind}


def warm(*files: str | Path) -> None:
    """Read files once, so that no measured job pays for a disk that another job has not paid for."""
    block = bytearray(_WARM_BYTES)
    for file in files:
        with Path(file).open("rb", buffering=0) as source:
            while source.readinto(block):
                pass


def _write(stem: Path, seed: int, rows: int, *, drifted: bool) -> None:
    rng = np.random.default_rng(seed)
    parquet = csv = None
    for first in range(0, rows, _CHUNK):
        table = pa.table(_columns(rng, first, min(_CHUNK, rows - first), seed, drifted=drifted))
        parquet = parquet or pq.ParquetWriter(stem.with_suffix(".parquet.part"), table.schema, compression="snappy")
        csv = csv or pacsv.CSVWriter(str(stem.with_suffix(".csv")), table.schema)
        parquet.write_table(table)
        csv.write_table(table)
    if parquet is not None and csv is not None:
        parquet.close()
        csv.close()
    stem.with_suffix(".parquet.part").rename(stem.with_suffix(".parquet"))


def _columns(rng: np.random.Generator, first: int, n: int, seed: int, *, drifted: bool) -> dict[str, Any]:
    moved = 1.0 if drifted else 0.0
    humps = np.where(rng.random(n) < 0.35, rng.normal(-2, 0.8, n), rng.normal(3, 1.5, n))
    columns: dict[str, Any] = {
        "record_id": pa.array(np.arange(first, first + n) + seed * 10**10),
        "event_at": pa.array((_START + np.cumsum(rng.integers(0, 4_000_000, n))).astype("datetime64[us]")),
        "income": rng.lognormal(0.04 * moved, 0.7, n),
        "delay": rng.gamma(2 + 0.25 * moved, 1.5, n),
        "score": pa.array(rng.normal(0.15 * moved, 1, n), mask=rng.random(n) < 0.05 + 0.02 * moved),
        "noise": rng.normal(0, 1, n),
        "wait": rng.exponential(4, n),
        "share": rng.uniform(0, 1, n),
        "return": rng.standard_t(3, n) * 8,
        "humps": humps,
        "amount": pa.array(rng.lognormal(1, 1, n), mask=rng.random(n) < 0.2),
        "visits": pa.array(rng.poisson(15, n)),
        "rating": np.round(rng.beta(3, 4, n), 2),
    }
    for name, size in _CATEGORIES.items():
        weights = 1.0 / np.arange(1, size + 1) ** 1.1
        if drifted and name == "region":
            weights *= 1 + 0.15 * np.where(np.arange(size) % 2, 1, -1)
        index = np.searchsorted(np.cumsum(weights / weights.sum())[:-1], rng.random(n)).astype(np.int32)
        mask = rng.random(n) < 0.03 if name == "city" else None
        columns[name] = pa.array([f"{name}-{i:04d}" for i in range(size)]).take(pa.array(index, mask=mask))
    columns["active"] = pa.array(rng.random(n) < 0.3)
    return columns


def _contract(reference: Path) -> dict[str, Any]:
    """Ranges and categories as a user would write them after a look at the reference."""
    from perennial.contract import Contract
    from perennial.profile import fit_grids

    table = pq.read_table(reference)
    columns: dict[str, Any] = {"record_id": {"type": "integer", "unique": True, "drift": False}}
    for field in table.schema:
        if field.name in ("record_id", "event_at"):
            continue
        nullable = table.column(field.name).null_count > 0
        if pa.types.is_floating(field.type) or pa.types.is_integer(field.type):
            kind = "number" if pa.types.is_floating(field.type) else "integer"
            columns[field.name] = {"type": kind, "nullable": nullable, "min": -100_000, "max": 100_000}
        elif pa.types.is_boolean(field.type):
            columns[field.name] = {"type": "boolean"}
        else:
            allowed = [f"{field.name}-{i:04d}" for i in range(_CATEGORIES[field.name])]
            columns[field.name] = {"type": "category", "nullable": nullable, "allowed": allowed}
    contract = Contract.model_validate(
        {"format": "parquet", "record_id": "record_id", "event_time": "event_at", "columns": columns}
    )
    return fit_grids(table.slice(0, 100_000), contract).model_dump(
        mode="json", exclude_none=True, exclude_defaults=True
    )


def _write_lines(parquet: Path, lines: Path) -> None:
    """The rows of a Parquet file as JSON lines."""
    with lines.open("w") as target:
        for batch in pq.ParquetFile(parquet).iter_batches(10_000):
            for row in batch.to_pylist():
                target.write(json.dumps(row, default=lambda at: at.isoformat()) + "\n")


def _spoil(clean: Path, dirty: Path, *, share: float) -> None:
    """A copy of a CSV file in which every so many rows hold a cell that is no number."""
    every = max(int(1 / share), 1)
    with clean.open("rb") as source, dirty.open("wb") as target:
        for number, line in enumerate(source):
            if number and number % every == 0:
                fields = line.split(b",")
                fields[2 + number // every % 11] = b"broken"
                line = b",".join(fields)
            target.write(line)


if __name__ == "__main__":
    generate(Path(sys.argv[1]), int(sys.argv[2]))
