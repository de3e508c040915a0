"""Rows read from a user's file, as the endpoint takes them."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from perennial.errors import DataUnreadable

__all__ = ["existing", "read_rows"]


def _csv_rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            yield {name: (value if value != "" else None) for name, value in row.items() if name is not None}


def _jsonl_rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise DataUnreadable(f"{path} line {number} must be a JSON object. Got {error} instead.") from error
            if not isinstance(row, dict):
                raise DataUnreadable(f"{path} line {number} must be a JSON object. Got {type(row).__name__} instead.")
            yield row


def _parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(path).iter_batches(batch_size=1024):
        for row in batch.to_pylist():
            yield {name: (value.isoformat() if hasattr(value, "isoformat") else value) for name, value in row.items()}


_READERS = {".csv": _csv_rows, ".jsonl": _jsonl_rows, ".parquet": _parquet_rows}


def existing(path: Path) -> Path:
    """
    The path of a file that is there.

    Raises
    ------
    DataUnreadable
        It isn't.
    """
    if not path.is_file():
        raise DataUnreadable(f"the file must exist. Got {path} instead.")
    return path


def read_rows(path: Path, limit: int | None = None) -> list[dict[str, Any]]:
    """
    Rows of a .csv, .jsonl or .parquet file, at most `limit`.

    Raises
    ------
    DataUnreadable
        The file doesn't exist, has another suffix, or doesn't parse.
    """
    reader = _READERS.get(existing(path).suffix)
    if reader is None:
        raise DataUnreadable(f"the file's suffix must be one of {', '.join(_READERS)}. Got {path.name!r} instead.")
    return list(islice(reader(path), limit))
