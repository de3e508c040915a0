"""
How a file's columns are held against the contract's, whatever the format.

What a file calls its columns may be anything: the first row of one without a header is somebody's data. Reasons name
columns of the contract and count the rest, since what they say ends in a ledger that nobody may delete from.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa

from perennial.contract import Column, Contract
from perennial.profile import arrow_type
from perennial.validation.blocks import FileRejected
from perennial.validation.outcome import Limits, SchemaChange

__all__ = ["compare_columns", "completed", "infer_column", "normal_names"]


def normal_names(names: Iterable[str], contract: Contract, limits: Limits) -> list[str]:
    """
    Column names in NFC without surrounding spaces.

    Raises
    ------
    FileRejected
        Too many names, an empty one, or one twice.
    """
    found = [unicodedata.normalize("NFC", name.strip(" \t")) for name in names]
    if len(found) > limits.max_columns:
        raise FileRejected(
            "too_wide", f"a file must have at most {limits.max_columns} columns. Got {len(found)} instead"
        )
    if any(not name for name in found):
        raise FileRejected(
            "header", f"every column must have a name. Got an empty name for column {found.index('') + 1}"
        )
    twice = sorted({name for name in found if found.count(name) > 1}) if len(set(found)) < len(found) else []
    if twice:
        raise FileRejected("header", f"column names must differ. Got {_named(twice, contract)} more than once")
    return found


def compare_columns(
    contract: Contract, names: Iterable[str], optional: frozenset[str], infer: Callable[[str], Column]
) -> SchemaChange | None:
    """
    The difference between a file's columns and the contract's, if the policy lets it pass; None without one.

    Raises
    ------
    FileRejected
        The policy is "reject", or a column is missing that must not be empty.
    """
    names = list(names)
    added = [n for n in names if n not in contract.columns]
    missing = [n for n in contract.columns if n not in names and n not in optional]
    if not added and not missing:
        return None
    change = SchemaChange(tuple((n, infer(n)) for n in added), tuple(missing))
    policy = contract.quality.on_schema_change
    needed = [n for n in missing if not contract.columns[n].accepts_null]
    if needed:
        raise FileRejected(
            "schema", f"columns {', '.join(needed)} must be there. Got {_named(names, contract)} instead"
        )
    if policy == "reject":
        raise FileRejected("schema", f"columns must be those of the contract. Got a change instead ({change})")
    if policy == "evolve" and added:
        columns = contract.columns | dict(change.added)
        change = SchemaChange(change.added, change.missing, contract.model_copy(update={"columns": columns}))
    return change


def _named(names: Iterable[str], contract: Contract) -> str:
    """The contract's names among these, and how many others there are."""
    found = list(names)
    known = [name for name in contract.columns if name in found]
    others = len(found) - len(known)
    unknown = [f"{others} column{'' if others == 1 else 's'} that the contract doesn't name"] if others else []
    return " and ".join([*([", ".join(known)] if known else []), *unknown]) or "none"


def infer_column(kind: Any) -> Column:
    """The loosest column that fits an Arrow type."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_boolean(kind):
        return Column(type="boolean", nullable=True)
    if pa.types.is_integer(kind):
        return Column(type="integer", nullable=True)
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return Column(type="number", nullable=True)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return Column(type="timestamp", nullable=True)
    return Column(type="text", nullable=True)


def completed(columns: dict[str, Any], contract: Contract, rows: int) -> Any:
    """A record batch with every column of the contract, null where the file has none."""
    arrays = []
    for name, column in contract.columns.items():
        arrays.append(columns[name] if name in columns else pa.nulls(rows, arrow_type(column)))
    return pa.RecordBatch.from_arrays(arrays, names=list(contract.columns))
