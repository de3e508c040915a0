"""
A few streams of the false-alarm simulation as rows, so that the peers' own packages can judge them.

Rows lie at the middles of the simulation's bins: the counts that our re-implementations of the peers' rules read and
the rows that the packages read are then the same data, and every decision must be the same.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.drift_quality.simulate import SHIFT
from benchmarks.drift_quality.streams import MIDDLES, Scenario, Stream, draw, shift

__all__ = ["STREAMS", "StreamCase"]

WINDOWS = 3


@dataclass(frozen=True, slots=True)
class StreamCase:
    """One stream: its scenario, how many columns move after the reference, and a seed."""

    scenario: Scenario
    moved: int
    seed: int

    @property
    def name(self) -> str:
        """Tells its scenario, also as a file's name."""
        return f"{self.scenario.name}, {self.scenario.rows} rows, {self.moved} moved"

    def draw(self) -> Stream:
        """The stream, the same at every call."""
        rng = np.random.default_rng(self.seed)
        stream = draw(self.scenario, WINDOWS, rng)
        return shift(stream, self.moved, SHIFT, rng) if self.moved else stream

    @staticmethod
    def digest_of(stream: Stream) -> str:
        """A short digest of all counts."""
        return hashlib.sha256(stream.counts.astype("<i8").tobytes()).hexdigest()[:16]

    def reference_rows(self, stream: Stream) -> pa.Table:
        """One row for each that was counted, batch after batch."""
        return _rows(stream.reference)

    def window_rows(self, stream: Stream) -> pa.Table:
        """The same for the windows."""
        return _rows(stream.windows)


def _rows(counts: NDArray[np.float64]) -> pa.Table:
    """Columns as in the simulation, and the number of each row's batch."""
    whole = counts.astype(np.int64)
    columns = {
        f"c{place:02d}": np.concatenate([np.repeat(MIDDLES, batch) for batch in column])
        for place, column in enumerate(whole)
    }
    batches = np.repeat(np.arange(whole.shape[1]), whole[0].sum(axis=-1))
    return pa.table(columns | {"batch": batches})


STREAMS: tuple[StreamCase, ...] = (
    StreamCase(Scenario("rows alone", 0.0, rows=1_000), 0, 1),
    StreamCase(Scenario("batch effects .02", 0.02, rows=1_000), 4, 2),
    StreamCase(Scenario("batch effects .05", 0.05, rows=1_000), 0, 3),
    StreamCase(Scenario("batch effects .05", 0.05, rows=1_000), 4, 4),
    StreamCase(Scenario("batch effects .05", 0.05, rows=10_000), 0, 5),
    StreamCase(Scenario("batch effects .05, AR(1) .7", 0.05, rho=0.7, rows=10_000), 4, 6),
    StreamCase(Scenario("season .05", 0.05, season=0.05, rows=2_000), 2, 7),
)
