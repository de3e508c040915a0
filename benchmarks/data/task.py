"""
One measured task in a process of its own: `python -m benchmarks.data.task NAME FOLDER`.

Prints one JSON line: CPU and wall seconds without imports, peak resident memory, and a result to compare.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["TASKS", "main"]


def read_parquet(path: Path) -> Any:
    """pyarrow, streamed, text kept dictionary-encoded."""
    return sum(b.num_rows for b in _batches(path, 1 << 17))


def read_csv_arrow(path: Path) -> Any:
    """pyarrow's CSV parser, streamed."""
    import pyarrow.csv as pacsv

    options = pacsv.ReadOptions(use_threads=False, block_size=8 << 20)
    return sum(b.num_rows for b in pacsv.open_csv(path, read_options=options))


def read_csv_duckdb(path: Path) -> Any:
    """duckdb's CSV parser; every value is touched."""
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET threads = 1")
    columns = connection.execute(f"DESCRIBE SELECT * FROM '{path}'").fetchall()
    touched = ", ".join(f'max("{name}")' for name, *_ in columns)
    return connection.execute(f"SELECT count(*), {touched} FROM '{path}'").fetchone()[0]


def read_jsonl_arrow(path: Path) -> Any:
    """pyarrow's JSON parser, streamed."""
    import pyarrow.json as pajson

    options = pajson.ReadOptions(use_threads=False, block_size=8 << 20)
    return sum(b.num_rows for b in pajson.open_json(path, read_options=options))


def profile(path: Path) -> Any:
    """The profile alone, of a Parquet file."""
    from perennial.profile import ProfileBuilder

    builder = ProfileBuilder(_contract(path))
    for batch in _batches(path, 1 << 16):
        builder.add(batch)
    return len(builder.build().to_bytes())


def validate(path: Path, *, workers: int = 1, **options: Any) -> Any:
    """Validate and profile; the good rows are written nowhere."""
    from perennial.validation import validate_file

    outcome = validate_file(
        path,
        contract=_contract(path),
        key=path.name,
        size_bytes=path.stat().st_size,
        workers=workers,
        **{"digest": False} | options,
    )
    return {"accepted": outcome.rows_accepted, "quarantined": outcome.rows_quarantined}


def validate_on_all_cores(path: Path) -> Any:
    """The same with as many workers as there are cores."""
    return validate(path, workers=len(os.sched_getaffinity(0)))


def land(path: Path) -> Any:
    """All that a landed file costs: digest, curated Parquet (zstd) and quarantine included."""
    curated, quarantine = (path.with_name(f"out-{os.getpid()}.{kind}") for kind in ("parquet", "jsonl"))
    try:
        return validate(path, digest=True, curated=curated, quarantine=quarantine)
    finally:
        curated.unlink(missing_ok=True)
        quarantine.unlink(missing_ok=True)


def _batches(path: Path, rows: int) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = [f.name for f in pq.read_schema(path) if pa.types.is_string(f.type)]
    return pq.ParquetFile(path, read_dictionary=texts, pre_buffer=False).iter_batches(rows, use_threads=False)


def _contract(path: Path) -> Any:
    from benchmarks.data.generate import contract_of
    from perennial.contract import Contract

    return Contract.model_validate(contract_of(path.parent, path.suffix[1:]))


PARQUET, CSV, DIRTY, JSONL = "current.parquet", "current.csv", "dirty.csv", "current.jsonl"
#: What each task does, and to which file; those of Perennial are held against a read.
TASKS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "read_parquet": (read_parquet, PARQUET),
    "profile_parquet": (profile, PARQUET),
    "validate_parquet": (validate, PARQUET),
    "land_parquet": (land, PARQUET),
    "validate_parquet_all_cores": (validate_on_all_cores, PARQUET),
    "read_csv_arrow": (read_csv_arrow, CSV),
    "read_csv_duckdb": (read_csv_duckdb, CSV),
    "validate_csv": (validate, CSV),
    "validate_dirty_csv": (validate, DIRTY),
    "land_csv": (land, CSV),
    "validate_csv_all_cores": (validate_on_all_cores, CSV),
    "read_jsonl_arrow": (read_jsonl_arrow, JSONL),
    "validate_jsonl": (validate, JSONL),
}


def main(name: str, folder: Path) -> None:
    """Import and read the file once, then measure."""
    import pyarrow.csv
    import pyarrow.parquet  # noqa: F401

    import perennial.validation

    if "duckdb" in name:
        import duckdb  # noqa: F401
    from benchmarks.data.generate import warm

    del perennial
    task, file = TASKS[name]
    warm(folder / file)
    before, started = _cpu_seconds(), time.perf_counter()
    result = task(folder / file)
    wall = time.perf_counter() - started
    print(json.dumps({
        "cpu_s": round(_cpu_seconds() - before, 4), "wall_s": round(wall, 4),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1), "result": result,
    }))  # fmt: skip


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
