"""Checks of single rows: a block in, its good rows and every reason of each bad one out."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from perennial.contract import Column, Contract
from perennial.profile import arrow_type
from perennial.profile.hashing import hash_column
from perennial.validation.blocks import Block
from perennial.validation.expressions import evaluate
from perennial.validation.outcome import Limits
from perennial.validation.parsing import parse_text, wanted
from perennial.validation.recent_ids import IdIndex, RecentIds

__all__ = ["CheckedBlock", "RowChecker"]

Flags = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class CheckedBlock:
    """The good rows of a block, and the reasons of the others by their row in the block's batch."""

    good: Any
    bad: dict[int, list[str]]
    null_counts: dict[str, int]


class RowChecker:
    """
    Keeps what must be known across blocks: the ids seen so far.

    Each check looks at a whole column first (its nulls, its extremes, its distinct values) and goes into rows only
    where that shows that some row is bad.
    """

    def __init__(
        self, contract: Contract, limits: Limits, recent_ids: RecentIds | None, optional: Iterable[str]
    ) -> None:
        self._contract, self._limits = contract, limits
        optional = frozenset(optional)
        self._columns = {n: _ColumnCheck(n, c, limits, n in optional) for n, c in contract.columns.items()}
        unique = [n for n, c in contract.columns.items() if c.unique]
        self._ids = {
            n: IdIndex([recent_ids] if recent_ids is not None and n == contract.record_id else ()) for n in unique
        }
        self._expressions = contract.quality.checks

    def check(self, block: Block) -> CheckedBlock:
        """Split a block; `good` has the columns of the batch."""
        batch, flagged = block.batch, [(flags, reason) for _, flags, reason in block.failures]
        unparsed = {name: flags for name, flags, _ in block.failures}
        nulls = {}
        for name, check in self._columns.items():
            nulls[name] = batch.column(name).null_count - int(np.count_nonzero(unparsed.get(name, False)))
            flagged += check.find(batch.column(name), unparsed.get(name))
        for row_check in self._expressions:
            result = evaluate(row_check.expression, batch)
            if pc.all(result, min_count=0).as_py() is False:
                flags = pc.invert(result).fill_null(False).to_numpy(zero_copy_only=False)
                flagged.append((flags, f"row must keep {row_check.name}: {row_check.expression}"))
        flagged += self._repeated(batch, flagged)
        if not flagged:
            return CheckedBlock(batch, {}, nulls)
        bad: dict[int, list[str]] = {}
        keep = np.ones(batch.num_rows, np.bool_)
        for flags, reason in flagged:
            keep &= ~flags
            for row in np.flatnonzero(flags).tolist():
                bad.setdefault(row, []).append(reason)
        return CheckedBlock(batch.filter(pa.array(keep)), bad, nulls)

    @property
    def record_ids(self) -> RecentIds:
        """Ids of every row that was good."""
        index = self._ids.get(self._contract.record_id)
        return RecentIds(index.hashes) if index is not None else RecentIds()

    def _repeated(self, batch: Any, flagged: list[tuple[Flags, str]]) -> list[tuple[Flags, str]]:
        """Repeated ids among rows that are good otherwise: a bad row must not push out a good one."""
        if not self._ids:
            return []
        rows: Any = slice(None)
        if flagged:
            rows = np.flatnonzero(~np.logical_or.reduce([f for f, _ in flagged]))
        found = []
        for name, index in self._ids.items():
            values = batch.column(name)
            hashes = hash_column(values)[rows]
            if values.null_count:
                valid = values.is_valid().to_numpy(zero_copy_only=False)[rows]
                where = np.flatnonzero(valid) if isinstance(rows, slice) else rows[valid]
                hashes = hashes[valid]
            else:
                where = np.arange(batch.num_rows) if isinstance(rows, slice) else rows
            for repeated, reason in zip(
                index.add(hashes),
                (f"{name} must be unique in the file", f"{name} must not repeat a recent batch"),
                strict=True,
            ):
                if repeated.any():
                    flags = np.zeros(batch.num_rows, np.bool_)
                    flags[where[repeated]] = True
                    found.append((flags, reason))
        return found


class _ColumnCheck:
    def __init__(self, name: str, column: Column, limits: Limits, optional: bool) -> None:
        self._name, self._column, self._limits = name, column, limits
        self._low, self._high = (_bound(column, b) for b in (column.min, column.max))
        self._allowed = None if column.allowed is None else _allowed(column)
        self._accepts_null = optional or column.accepts_null
        self._is_text = column.type in ("category", "text")

    def find(self, values: Any, unparsed: Flags | None) -> list[tuple[Flags, str]]:
        """Flags and reason of each rule that some row breaks."""
        found = []
        if not self._accepts_null and values.null_count:
            null = values.is_null().to_numpy(zero_copy_only=False)
            null = null if unparsed is None else null & ~unparsed
            if null.any():
                found.append((null, f"{self._name} must not be empty"))
        if self._column.is_numeric or self._column.type == "timestamp":
            found += self._out_of_range(values)
        if self._is_text:
            found += self._wrong_text(values)
        elif self._allowed is not None:
            found += self._flag(pc.invert(pc.is_in(values, value_set=self._allowed)), values, self._allowed_reason)
        return found

    @property
    def _allowed_reason(self) -> str:
        allowed = [str(v) for v in self._column.allowed or ()]
        return f"{self._name} must be one of {', '.join(allowed[:20])}{', …' if len(allowed) > 20 else ''}"

    def _out_of_range(self, values: Any) -> list[tuple[Flags, str]]:
        found: list[tuple[Flags, str]] = []
        # One sum tells whether every number is finite (or that they are so large that each must be looked at).
        if pa.types.is_floating(values.type) and not math.isfinite(pc.sum(values).as_py() or 0.0):
            found += self._flag(pc.invert(pc.is_finite(values)), values, f"{self._name} must be {wanted('number')}")
        if self._low is None and self._high is None:
            return found
        extremes = pc.min_max(values)
        low, high = extremes["min"], extremes["max"]
        if not low.is_valid:
            return found
        if self._low is not None and pc.less(low, self._low).as_py():
            found += self._flag(pc.less(values, self._low), values, f"{self._name} must be at least {self._column.min}")
        if self._high is not None and pc.greater(high, self._high).as_py():
            found += self._flag(
                pc.greater(values, self._high), values, f"{self._name} must be at most {self._column.max}"
            )
        return found

    def _wrong_text(self, values: Any) -> list[tuple[Flags, str]]:
        """Rules on text are looked up once per distinct value."""
        coded = pa.types.is_dictionary(values.type)
        texts = values.dictionary if coded else values
        found: list[tuple[Flags, str]] = []
        for wrong, reason in self._text_rules(texts):
            if not pc.any(wrong, min_count=0).as_py():
                continue
            flags = wrong.fill_null(False).to_numpy(zero_copy_only=False)
            if coded:
                index = values.indices.fill_null(len(texts)).to_numpy(zero_copy_only=False)
                flags = np.append(flags, False)[index]
            if flags.any():
                found.append((flags, reason))
        return found

    def _text_rules(self, texts: Any) -> Iterable[tuple[Any, str]]:
        if not len(texts):
            return
        yield (
            pc.greater(pc.binary_length(texts), self._limits.max_field_bytes),
            f"{self._name} must have at most {self._limits.max_field_bytes} bytes",
        )
        if self._allowed is not None:
            yield pc.invert(pc.is_in(texts, value_set=self._allowed)), self._allowed_reason
        if self._column.pattern is not None:
            whole = f"^(?:{self._column.pattern})$"
            reason = f"{self._name} must match {self._column.pattern}"
            yield pc.invert(pc.match_substring_regex(texts, whole)), reason

    def _flag(self, wrong: Any, values: Any, reason: str) -> list[tuple[Flags, str]]:
        flags = wrong.fill_null(False).to_numpy(zero_copy_only=False)
        if values.null_count:
            flags = flags & values.is_valid().to_numpy(zero_copy_only=False)
        return [(flags, reason)] if flags.any() else []


def _bound(column: Column, bound: float | int | str | None) -> Any:
    if bound is None:
        return None
    if column.type == "timestamp":
        parsed, bad = parse_text(pa.array([str(bound)]), column)
        if bad is not None:
            raise ValueError(f"min and max of a timestamp must be ISO 8601. Got {bound!r} instead")
        return parsed[0]
    # A fraction is no bound of whole numbers' type: both sides are compared as floats then.
    return pa.scalar(bound) if column.type == "integer" else pa.scalar(float(bound), pa.float64())


def _allowed(column: Column) -> Any:
    kind = pa.string() if column.type in ("category", "text") else arrow_type(column)
    values = [str(v) if kind == pa.string() else v for v in column.allowed or ()]
    return pa.array(values, kind)
