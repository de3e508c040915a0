"""Perennial: what the peers do, done by us on the same files."""

import json
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from clock import measure

from perennial.contract import Contract
from perennial.drift import DriftPolicy, check
from perennial.profile import ProfileBuilder
from perennial.validation import validate_file


def drift(reference, current):
    """Columns that drifted: every row of both files validated and profiled, the two profiles compared."""
    contract = _contract(current)
    then, now = (_validated(path, contract).profile for path in (reference, current))
    return sorted(check(then, now, calibration=None, policy=DriftPolicy()).drifted_columns)


def profiles(reference, current):
    """The same without validation, which the peers' drift jobs don't do either: profile, compare."""
    contract = _contract(current)
    then, now = (_profiled(path, contract) for path in (reference, current))
    return sorted(check(then, now, calibration=None, policy=DriftPolicy()).drifted_columns)


def reading(reference, current):
    """Both files read and nothing done: what no job on them can go below."""
    return sum(batch.num_rows for path in (reference, current) for batch in _batches(path))


def validation(reference, current):
    """Validate the current file, which profiles it as well."""
    outcome = _validated(current, _contract(current))
    return {"accepted": outcome.rows_accepted, "quarantined": outcome.rows_quarantined}


def _contract(path):
    return Contract.model_validate(json.loads((Path(path).parent / "contract.json").read_text()))


def _profiled(path, contract):
    builder = ProfileBuilder(contract)
    for batch in _batches(path):
        builder.add(batch)
    return builder.build()


def _batches(path):
    texts = [field.name for field in pq.read_schema(path) if pa.types.is_string(field.type)]
    return pq.ParquetFile(path, read_dictionary=texts, pre_buffer=False).iter_batches(1 << 16, use_threads=False)


def _validated(path, contract):
    size = Path(path).stat().st_size
    return validate_file(path, contract=contract, key=Path(path).name, size_bytes=size, digest=False)


measure({"drift": drift, "profiles": profiles, "reading": reading, "validation": validation}, version("perennial"))
