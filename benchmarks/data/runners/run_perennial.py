"""Perennial: what the peers do, done by us on the same files."""

import json
from importlib.metadata import version
from pathlib import Path

from clock import measure

from perennial.contract import Contract
from perennial.drift import DriftPolicy, check
from perennial.validation import validate_file


def drift(reference, current):
    """Columns that drifted: every row of both files validated and profiled, the two profiles compared."""
    contract = _contract(current)
    then, now = (_validated(path, contract).profile for path in (reference, current))
    return sorted(check(then, now, calibration=None, policy=DriftPolicy()).drifted_columns)


def validation(reference, current):
    """Validate the current file, which profiles it as well."""
    outcome = _validated(current, _contract(current))
    return {"accepted": outcome.rows_accepted, "quarantined": outcome.rows_quarantined}


def _contract(path):
    return Contract.model_validate(json.loads((Path(path).parent / "contract.json").read_text()))


def _validated(path, contract):
    size = Path(path).stat().st_size
    return validate_file(path, contract=contract, key=Path(path).name, size_bytes=size, digest=False)


measure({"drift": drift, "validation": validation}, version("perennial"))
