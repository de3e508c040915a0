"""
Validation: a landed file is held against the contract, row by row, in one pass and in bounded memory.

`validate_file` for batches, `validate_labels` for label files; docs/data.md lists every decision on what is a row, a
number or a time.
"""

from perennial.validation.curated import curated_schema
from perennial.validation.outcome import Limits, Outcome, SchemaChange, Violation
from perennial.validation.recent_ids import RecentIds
from perennial.validation.validate import label_contract, validate_file, validate_labels

__all__ = [
    "Limits",
    "Outcome",
    "RecentIds",
    "SchemaChange",
    "Violation",
    "curated_schema",
    "label_contract",
    "validate_file",
    "validate_labels",
]
