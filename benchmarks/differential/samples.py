"""
Small pairs of samples, by seed: what peers and we are asked about.

Numbers are rounded, so that the last bit of a platform's logarithm doesn't matter; `digest_of` says whether a sample
is still the one that the peers saw.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

__all__ = ["ROWS", "SAMPLES", "Sample", "digest_of"]

ROWS = 5_000
"""Below 10,000 NannyML and scipy compute Kolmogorov-Smirnov exactly; the long sample is where NannyML bins."""
LONG = 30_000
Rng = np.random.Generator
Draw = Callable[[Rng, int], NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Sample:
    """A reference and a current column, and how each is drawn; `null_shares` of their rows have no value."""

    name: str
    kind: Literal["number", "category"]
    reference: Draw
    current: Draw
    rows: int = ROWS
    null_shares: tuple[float, float] = (0.0, 0.0)

    def columns(self) -> tuple[pa.Array, pa.Array]:
        """Both columns, the same at every call."""
        rng = np.random.default_rng(sum(self.name.encode()))
        return tuple(
            self._column(rng, draw, share)
            for draw, share in zip((self.reference, self.current), self.null_shares, strict=True)
        )

    def _column(self, rng: Rng, draw: Draw, null_share: float) -> pa.Array:
        values = draw(rng, self.rows)
        if self.kind == "number":
            values = np.round(values.astype(float), 6)
        missing = rng.random(self.rows) < null_share
        return pa.array(values, mask=missing if null_share else None)


def digest_of(column: pa.Array) -> str:
    """A short digest of a column's values, places of nulls included."""
    return hashlib.sha256(repr(column.to_pylist()).encode()).hexdigest()[:16]


def _shares(count: int, tilt: float) -> NDArray[np.float64]:
    """Shares of categories, the first the most frequent; every other one more frequent by `tilt`."""
    shares = 1 / np.arange(1, count + 1) ** 0.8 * (1 + tilt * np.where(np.arange(count) % 2, 1, -1))
    return np.asarray(shares / shares.sum())


def _categories(count: int, tilt: float = 0.0) -> Draw:
    names = np.array([f"kind {place:02d}" for place in range(count)], dtype=object)
    return lambda rng, rows: np.asarray(rng.choice(names, rows, p=_shares(count, tilt)))


SAMPLES: tuple[Sample, ...] = (
    Sample("normal, no change", "number", lambda r, n: r.normal(0, 1, n), lambda r, n: r.normal(0, 1, n)),
    Sample("normal, moved", "number", lambda r, n: r.normal(0, 1, n), lambda r, n: r.normal(0.25, 1, n)),
    Sample("normal, wider", "number", lambda r, n: r.normal(50, 5, n), lambda r, n: r.normal(50, 6, n)),
    Sample("heavy tail", "number", lambda r, n: 10 * r.standard_t(3, n), lambda r, n: 12 * r.standard_t(3, n)),
    Sample("skewed", "number", lambda r, n: r.lognormal(0, 0.7, n), lambda r, n: r.lognormal(0.1, 0.7, n)),
    Sample("counts", "number", lambda r, n: r.poisson(15, n), lambda r, n: r.poisson(16, n)),
    Sample("cents", "number", lambda r, n: r.gamma(2, 4, n).round(2), lambda r, n: r.gamma(2.2, 4, n).round(2)),
    Sample("far from zero", "number", lambda r, n: 1e6 + r.normal(0, 1, n), lambda r, n: 1e6 + r.normal(0.2, 1, n)),
    Sample(
        "half zeros", "number",
        lambda r, n: r.exponential(3, n) * (r.random(n) < 0.5), lambda r, n: r.exponential(3, n) * (r.random(n) < 0.55),
    ),
    Sample(
        "numbers with nulls", "number",
        lambda r, n: r.normal(0, 1, n), lambda r, n: r.normal(0.1, 1, n), null_shares=(0.1, 0.15),
    ),
    Sample(
        "normal, many rows", "number", lambda r, n: r.normal(0, 1, n), lambda r, n: r.normal(0.05, 1, n), rows=LONG
    ),
    Sample("3 categories", "category", _categories(3), _categories(3, 0.1)),
    Sample("3 categories, no change", "category", _categories(3), _categories(3)),
    Sample("50 categories", "category", _categories(50), _categories(50, 0.15)),
    Sample("categories with nulls", "category", _categories(8), _categories(8, 0.1), null_shares=(0.1, 0.2)),
    Sample("two new categories", "category", _categories(6), _categories(8)),
)  # fmt: skip
