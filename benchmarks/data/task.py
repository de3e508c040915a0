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


def read_parquet(folder: Path) -> Any:
    """pyarrow, streamed, text kept dictionary-encoded."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / "current.parquet"
    texts = [f.name for f in pq.read_schema(path) if pa.types.is_string(f.type)]
    return sum(
        b.num_rows
        for b in pq.ParquetFile(path, read_dictionary=texts, pre_buffer=False).iter_batches(1 << 17, use_threads=False)
    )


def read_csv_arrow(folder: Path) -> Any:
    """pyarrow's CSV parser, streamed."""
    import pyarrow.csv as pacsv

    options = pacsv.ReadOptions(use_threads=False, block_size=8 << 20)
    return sum(b.num_rows for b in pacsv.open_csv(folder / "current.csv", read_options=options))


def read_csv_duckdb(folder: Path) -> Any:
    """duckdb's CSV parser; every value is touched."""
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET threads = 1")
    columns = connection.execute(f"DESCRIBE SELECT * FROM '{folder / 'current.csv'}'").fetchall()
    touched = ", ".join(f'max("{name}")' for name, *_ in columns)
    return connection.execute(f"SELECT count(*), {touched} FROM '{folder / 'current.csv'}'").fetchone()[0]


def profile_parquet(folder: Path) -> Any:
    """The profile alone."""
    return _read_and_profile(folder)


def _read_and_profile(folder: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from perennial.contract import Contract
    from perennial.profile import ProfileBuilder

    contract = Contract.model_validate(_contract(folder, "parquet"))
    path = folder / "current.parquet"
    texts = [f.name for f in pq.read_schema(path) if pa.types.is_string(f.type)]
    builder = ProfileBuilder(contract)
    for batch in pq.ParquetFile(path, read_dictionary=texts, pre_buffer=False).iter_batches(1 << 16, use_threads=False):
        builder.add(batch)
    return len(builder.build().to_bytes())


def validate_parquet(folder: Path) -> Any:
    """Validate and profile; the good rows are written nowhere."""
    return _validate(folder, "current.parquet")


def validate_csv(folder: Path) -> Any:
    """The same for CSV."""
    return _validate(folder, "current.csv")


def validate_dirty_csv(folder: Path) -> Any:
    """The same for CSV in which one row of a thousand holds a broken cell."""
    return _validate(folder, "dirty.csv")


def validate_parquet_all_cores(folder: Path) -> Any:
    """The same with as many workers as there are cores."""
    return _validate(folder, "current.parquet", workers=len(os.sched_getaffinity(0)))


def validate_csv_all_cores(folder: Path) -> Any:
    """The same for CSV."""
    return _validate(folder, "current.csv", workers=len(os.sched_getaffinity(0)))


def read_jsonl_arrow(folder: Path) -> Any:
    """pyarrow's JSON parser, streamed."""
    import pyarrow.json as pajson

    options = pajson.ReadOptions(use_threads=False, block_size=8 << 20)
    return sum(b.num_rows for b in pajson.open_json(folder / "current.jsonl", read_options=options))


def validate_jsonl(folder: Path) -> Any:
    """Validate and profile JSON lines."""
    return _validate(folder, "current.jsonl")


def land_parquet(folder: Path) -> Any:
    """All that a landed file costs: digest, curated Parquet (zstd) and quarantine included."""
    return _validate(folder, "current.parquet", landed=True)


def land_csv(folder: Path) -> Any:
    """The same for CSV."""
    return _validate(folder, "current.csv", landed=True)


def _contract(folder: Path, kind: str) -> dict[str, Any]:
    from benchmarks.data.generate import contract_of

    return contract_of(folder, kind)


def _validate(folder: Path, name: str, *, landed: bool = False, workers: int = 1) -> Any:
    from perennial.contract import Contract
    from perennial.validation import validate_file

    path = folder / name
    contract = Contract.model_validate(_contract(folder, path.suffix[1:]))
    targets: dict[str, Any] = {}
    if landed:
        targets = {"curated": folder / f"out-{os.getpid()}.parquet", "quarantine": folder / f"out-{os.getpid()}.jsonl"}
    try:
        outcome = validate_file(
            path, contract=contract, key=name, size_bytes=path.stat().st_size, digest=landed, workers=workers, **targets
        )
    finally:
        for target in targets.values():
            target.unlink(missing_ok=True)
    return {"accepted": outcome.rows_accepted, "quarantined": outcome.rows_quarantined}


#: Every task; those of Perennial are held against the first of their group that is none.
TASKS: dict[str, Callable[[Path], Any]] = {
    task.__name__: task
    for task in (
        read_parquet, profile_parquet, validate_parquet, land_parquet,
        validate_parquet_all_cores, read_csv_arrow, read_csv_duckdb, validate_csv, validate_dirty_csv, land_csv,
        validate_csv_all_cores, read_jsonl_arrow, validate_jsonl,
    )
}  # fmt: skip


def main(name: str, folder: Path) -> None:
    """Import first, then measure."""
    import pyarrow.csv
    import pyarrow.parquet  # noqa: F401

    import perennial.validation

    if "duckdb" in name:
        import duckdb  # noqa: F401
    del perennial
    before, started = _cpu_seconds(), time.perf_counter()
    result = TASKS[name](folder)
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
