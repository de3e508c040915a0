"""
Counts per value, exact up to a bound, with a remainder that still merges exactly.

Values are ranked by a hash. The `limit` values of lowest hash keep their own counts; all others are counted together
in 256 buckets by hash. Which values these are depends on the set of values seen, not on their order: a value below
the final `threshold` was below every earlier one, so its count is complete. (Keeping the most frequent values instead
can not be exact under merge in bounded memory: a value may be rare in each part and frequent in the whole.)
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from perennial.profile.arrays import from_numbers, from_texts, numbers_of
from perennial.profile.hashing import hash_text

__all__ = ["BUCKETS", "VALUE_LIMIT", "CategoryBuilder", "CategoryCounts", "shortened"]

VALUE_LIMIT = 1024
_TEXT_BYTES = 128
BUCKETS = 256
_NO_THRESHOLD = 2**64
_TEXT = pa.string()


def shortened(values: Any) -> Any:
    """
    Texts of at most 128 bytes as they are, longer ones by their beginning and a digest: profiles stay small.

    >>> [len(text) for text in shortened(from_texts(["a", "b" * 200])).to_pylist()]
    [1, 81]
    """
    longest = pc.max(pc.binary_length(values)).as_py()
    if longest is None or longest <= _TEXT_BYTES:
        return values
    return from_texts([None if text is None else _short(text) for text in values.to_pylist()])


def _short(text: str) -> str:
    encoded = text.encode()
    if len(encoded) <= _TEXT_BYTES:
        return text
    return f"{text[: _TEXT_BYTES // 2]}…{hashlib.blake2b(encoded, digest_size=8).hexdigest()}"


@dataclass(frozen=True, eq=False)
class CategoryCounts:
    """
    `counts` of values with a hash below `threshold`, and `remainder`: rows of all others in 256 buckets.

    >>> builder = CategoryBuilder()
    >>> builder.add(from_texts(["b", "a", "b"]), np.array([1, 1, 1]))
    >>> builder.build().counts
    {'a': 1, 'b': 2}
    """

    limit: int
    counts: dict[str, int]
    remainder: NDArray[np.int64]
    threshold: int = _NO_THRESHOLD

    @property
    def total(self) -> int:
        """Rows counted."""
        return sum(self.counts.values()) + int(self.remainder.sum())

    @property
    def is_complete(self) -> bool:
        """Whether every value has its own count."""
        return self.threshold == _NO_THRESHOLD

    @property
    def distinct_estimate(self) -> float:
        """Distinct values: exact while complete, else from the threshold (bottom-k; a standard error of 3 %)."""
        return float(len(self.counts)) if self.is_complete else self.limit * 2.0**64 / self.threshold

    def merge(self, other: CategoryCounts) -> CategoryCounts:
        """The counts of both sets of rows."""
        return CategoryBuilder(self.limit).add_counts(self).add_counts(other).build()

    def below(self, threshold: int) -> CategoryCounts:
        """The same rows under a lower threshold, so that two profiles can be compared cell by cell."""
        return CategoryBuilder(self.limit).add_counts(self).lower_threshold(threshold).build()


class CategoryBuilder:
    """Adds blocks of values to one set of counts; values become Python objects only when it is built."""

    def __init__(self, limit: int = VALUE_LIMIT) -> None:
        self._limit = limit
        self._threshold = _NO_THRESHOLD
        self._values: Any = from_texts([])
        self._counts = np.empty(0, np.int64)
        self._hashes = np.empty(0, np.uint64)
        self._remainder = np.zeros(BUCKETS, np.int64)

    def add(self, values: Any, numbers: NDArray[np.int64]) -> None:
        """Count `numbers[i]` rows of text `values[i]` (an Arrow string array; values may repeat)."""
        values = shortened(values).cast(_TEXT)
        present = numbers > 0
        hashes = hash_text(values)
        if self._threshold != _NO_THRESHOLD:
            over = hashes >= np.uint64(self._threshold)
            self._spill(hashes[over], numbers[over])
            present &= ~over
        if not present.all():
            keep = present.nonzero()[0]
            values, numbers, hashes = values.take(from_numbers(keep)), numbers[keep], hashes[keep]
        both = pa.concat_arrays([self._values, values]).dictionary_encode()
        place, size = numbers_of(both.indices), len(both.dictionary)
        counts = np.zeros(size, np.int64)
        np.add.at(counts, place, np.concatenate([self._counts, numbers]))
        self._values, self._counts = both.dictionary, counts
        every = np.concatenate([self._hashes, hashes])
        self._hashes = np.empty(size, np.uint64)
        self._hashes[place] = every
        if size > 2 * self._limit:
            self._prune()

    def add_counts(self, part: CategoryCounts) -> CategoryBuilder:
        """Count all that another set of counts holds."""
        self._remainder += part.remainder
        self.lower_threshold(part.threshold)
        if part.counts:
            self.add(from_texts(list(part.counts)), np.array(list(part.counts.values()), np.int64))
        return self

    def lower_threshold(self, threshold: int) -> CategoryBuilder:
        """Move every value at or above `threshold` to the remainder."""
        if threshold < self._threshold:
            self._threshold = threshold
            over = self._hashes >= np.uint64(threshold)
            if over.any():
                self._spill(self._hashes[over], self._counts[over])
                keep = (~over).nonzero()[0]
                self._values = self._values.take(from_numbers(keep))
                self._counts, self._hashes = self._counts[keep], self._hashes[keep]
        return self

    def build(self) -> CategoryCounts:
        """The counts of all that was added, in the order of their values."""
        self._prune()
        counts = dict(sorted(zip(self._values.to_pylist(), self._counts.tolist(), strict=True)))
        return CategoryCounts(self._limit, counts, self._remainder.copy(), self._threshold)

    def _prune(self) -> None:
        """Keep the `limit` values of lowest hash."""
        if len(self._hashes) > self._limit:
            self.lower_threshold(int(np.partition(self._hashes, self._limit)[self._limit]))

    def _spill(self, hashes: NDArray[np.uint64], numbers: NDArray[np.int64]) -> None:
        np.add.at(self._remainder, (hashes & np.uint64(BUCKETS - 1)).view(np.int64), numbers)
