"""
Streams of batches that differ among themselves a little, as batches do, without drifting.

Column c of batch t is normal with mean m[c, t] and log standard deviation l[c, t]. The mean is the sum of an effect
of the batch (standard deviation `tau`, correlation `rho` with the batch before) and of its weekday (standard
deviation `season`); log standard deviations vary by tau / 2. Rows are drawn as multinomial counts on a fine grid,
so a batch of a million rows costs what one of a thousand does.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Floats = NDArray[np.float64]

EDGES = np.linspace(-6, 6, 601)
MIDDLES = (EDGES[1:] + EDGES[:-1]) / 2
DAYS = 7


@dataclass(frozen=True)
class Scenario:
    """One kind of stream."""

    name: str
    tau: float
    rho: float = 0.0
    season: float = 0.0
    rows: int = 100_000
    batches: int = 20
    columns: int = 20
    mixed: bool = False
    heavy: bool = False

    def label(self, position: int) -> str:
        """Weekday of a batch."""
        return f"day {position % DAYS}" if self.season else ""


@dataclass(frozen=True)
class Stream:
    """Counts by column, batch and bin, and what generated them; windows follow the reference's batches."""

    scenario: Scenario
    means: Floats
    logs: Floats
    taus: Floats
    counts: Floats

    @property
    def reference(self) -> Floats:
        """Counts of the reference's batches."""
        return self.counts[:, : self.scenario.batches]

    @property
    def windows(self) -> Floats:
        """Counts of the windows that follow."""
        return self.counts[:, self.scenario.batches :]


def draw(scenario: Scenario, windows: int, rng: np.random.Generator) -> Stream:
    """A stream without drift."""
    total = scenario.batches + windows
    taus = np.full(scenario.columns, scenario.tau)
    if scenario.mixed:
        taus = taus * np.exp(rng.normal(0, 0.7, scenario.columns))
    shocks = rng.normal(size=(scenario.columns, total))
    if scenario.heavy:
        shocks = rng.standard_t(5, size=shocks.shape) / np.sqrt(5 / 3)
    effects = shocks.copy()
    for t in range(1, total):
        effects[:, t] = scenario.rho * effects[:, t - 1] + np.sqrt(1 - scenario.rho**2) * shocks[:, t]
    means = effects * taus[:, None]
    if scenario.season:
        days = rng.normal(0, scenario.season, (scenario.columns, DAYS))
        means = means + days[:, np.arange(total) % DAYS]
    logs = rng.normal(0, 1, (scenario.columns, total)) * taus[:, None] / 2
    return Stream(scenario, means, logs, taus, _counts(scenario.rows, means, logs, rng))


def shift(stream: Stream, columns: int, by: float, rng: np.random.Generator) -> Stream:
    """The same stream whose first `columns` columns move by `by` standard deviations in every window."""
    means, counts = stream.means.copy(), stream.counts.copy()
    start = stream.scenario.batches
    means[:columns, start:] += by
    counts[:columns, start:] = _counts(
        stream.scenario.rows, means[:columns, start:], stream.logs[:columns, start:], rng
    )
    return Stream(stream.scenario, means, stream.logs, stream.taus, counts)


def _counts(rows: int, means: Floats, logs: Floats, rng: np.random.Generator) -> Floats:
    below = ndtr((EDGES - means[..., None]) / np.exp(logs)[..., None])
    below[..., 0], below[..., -1] = 0, 1
    shares = np.diff(below, axis=-1)
    return rng.multinomial(rows, shares / shares.sum(axis=-1, keepdims=True)).astype(float)
