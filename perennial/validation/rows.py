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
from perennial.profile.arrays import flags_of, from_texts, nulls_of, numbers_of, present_numbers, scalar_of
from perennial.profile.builders import Seen
from perennial.profile.columns import FIRST_TIME, LAST_TIME
from perennial.validation.blocks import Block, FileRejected
from perennial.validation.expressions import evaluate
from perennial.validation.outcome import Limits
from perennial.validation.parsing import parse_text, wanted

__all__ = ["CheckedRows", "RowChecker"]

Flags = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class CheckedRows:
    """Which rows of a block's batch broke which rule, nulls by column, and what was seen of numbers and times."""

    flagged: list[tuple[Flags, str]]
    null_counts: dict[str, int]
    seen: dict[str, Seen]


class RowChecker:
    """
    The rules that look at one row alone.

    Each check looks at a whole column first (its nulls, its extremes, its distinct values) and goes into rows only
    where that shows that some row is bad. What it remembers of earlier blocks only saves time.
    """

    def __init__(self, contract: Contract, limits: Limits, optional: frozenset[str]) -> None:
        self._columns = {n: _ColumnCheck(n, c, limits, n in optional) for n, c in contract.columns.items()}
        self._expressions = contract.quality.checks

    def check(self, block: Block) -> CheckedRows:
        """
        Raises
        ------
        FileRejected
            An expression of the contract doesn't fit the columns' types.
        """
        batch, flagged = block.batch, [(flags, reason) for _, flags, reason in block.failures]
        unparsed = {name: flags for name, flags, _ in block.failures}
        nulls = {}
        seen: dict[str, Seen] = {}
        for name, check in self._columns.items():
            values = batch.column(name)
            nulls[name] = values.null_count - int(np.count_nonzero(unparsed.get(name, False)))
            flagged += check.find(values, unparsed.get(name))
            if check.seen is not None:
                seen[name] = check.seen
        for row_check in self._expressions:
            try:
                result = evaluate(row_check.expression, batch)
            except ValueError as error:
                raise FileRejected("check", f"check {row_check.name}: {error}") from error
            if pc.all(result, min_count=0).as_py() is False:
                flags = flags_of(pc.invert(result))
                flagged.append((flags, f"row must keep {row_check.name}: {row_check.expression}"))
        return CheckedRows(flagged, nulls, seen)


class _ColumnCheck:
    def __init__(self, name: str, column: Column, limits: Limits, optional: bool) -> None:
        self._name, self._column, self._limits = name, column, limits
        self._low, self._high = (_bound(column, b) for b in (column.min, column.max))
        allowed = [str(v) for v in column.allowed or ()]
        self._allowed_reason = f"{name} must be one of {', '.join(allowed[:20])}{', …' if len(allowed) > 20 else ''}"
        self._allowed = None if column.allowed is None else _allowed(column)
        self._accepts_null = optional or column.accepts_null
        self._is_text = column.type in ("category", "text")
        self._last_dictionary: Any = None
        self._last_wrong: list[tuple[Any, str]] = []
        self.seen: Seen | None = None

    def find(self, values: Any, unparsed: Flags | None) -> list[tuple[Flags, str]]:
        """Flags and reason of each rule that some row breaks; leaves what was `seen` of a number or time behind."""
        found = []
        self.seen = None
        if not self._accepts_null and values.null_count:
            null = nulls_of(values)
            null = null if unparsed is None else null & ~unparsed
            if null.any():
                found.append((null, f"{self._name} must not be empty"))
        if self._column.is_numeric or self._column.type == "timestamp":
            found += self._out_of_range(values)
        if self._is_text:
            found += self._wrong_text(values)
        elif self._allowed is not None:
            found += self._flag(~flags_of(pc.is_in(values, value_set=self._allowed)), values, self._allowed_reason)
        return found

    def _out_of_range(self, values: Any) -> list[tuple[Flags, str]]:
        x = present_numbers(values)
        if not len(x):
            return []
        low, high = x.min().item(), x.max().item()
        found: list[tuple[Flags, str]] = []
        if not (math.isfinite(low) and math.isfinite(high)):
            found += self._flag(~np.isfinite(numbers_of(values)), values, f"{self._name} must be {wanted('number')}")
            low, high = -math.inf, math.inf
        else:
            self.seen = Seen(x, low, high)
        if self._column.type == "timestamp" and (low < FIRST_TIME or high > LAST_TIME):
            at = numbers_of(values)
            beyond = (at < FIRST_TIME) | (at > LAST_TIME)
            found += self._flag(beyond, values, f"{self._name} must be a time of the years 1 to 9999")
        if self._low is not None and low < self._low:
            found += self._flag(numbers_of(values) < self._low, values, self._reason("at least", self._column.min))
        if self._high is not None and high > self._high:
            found += self._flag(numbers_of(values) > self._high, values, self._reason("at most", self._column.max))
        return found

    def _reason(self, relation: str, bound: float | int | str | None) -> str:
        return f"{self._name} must be {relation} {bound}"

    def _wrong_text(self, values: Any) -> list[tuple[Flags, str]]:
        """Rules on text are looked up once per distinct value, and not again for a dictionary that was looked up."""
        coded = pa.types.is_dictionary(values.type)
        texts = values.dictionary if coded else values
        if coded and self._last_dictionary is not None and self._last_dictionary.equals(texts):
            wrong = self._last_wrong
        else:
            wrong = [(w, reason) for w, reason in self._text_rules(texts) if pc.any(w, min_count=0).as_py()]
            self._last_dictionary, self._last_wrong = texts if coded else None, wrong
        found: list[tuple[Flags, str]] = []
        for which, reason in wrong:
            flags = flags_of(which)
            if coded:
                null = nulls_of(values.indices)
                flags = flags[np.where(null, 0, numbers_of(values.indices))] & ~null
            elif values.null_count:
                flags = flags & ~nulls_of(values)
            if flags.any():
                found.append((flags, reason))
        return found

    def _text_rules(self, texts: Any) -> Iterable[tuple[Any, str]]:
        if not len(texts):
            return
        yield (
            pc.greater(pc.binary_length(texts), scalar_of(self._limits.max_field_bytes, pa.int32())),
            f"{self._name} must have at most {self._limits.max_field_bytes} bytes",
        )
        if self._allowed is not None:
            yield pc.invert(pc.is_in(texts, value_set=self._allowed)), self._allowed_reason
        if self._column.pattern is not None:
            whole = f"^(?:{self._column.pattern})$"
            reason = f"{self._name} must match {self._column.pattern}"
            yield pc.invert(pc.match_substring_regex(texts, whole)), reason

    def _flag(self, flags: Flags, values: Any, reason: str) -> list[tuple[Flags, str]]:
        if values.null_count:
            flags = flags & ~nulls_of(values)
        return [(flags, reason)] if flags.any() else []


def _bound(column: Column, bound: float | int | str | None) -> float | int | None:
    """A number, or microseconds since 1970."""
    if bound is None or not isinstance(bound, str):
        return bound
    parsed, bad = parse_text(from_texts([bound]), column)
    if bad is not None:
        raise ValueError(f"min and max of a timestamp must be ISO 8601. Got {bound!r} instead")
    return int(numbers_of(parsed)[0])


def _allowed(column: Column) -> Any:
    values = column.allowed or ()
    if column.type in ("category", "text"):
        return from_texts([str(v) for v in values])
    return pa.array(values, arrow_type(column))
