"""Spans of time that profiles cover, and how their scores vary together under a hypothesis."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Geometry", "Span", "usual_rows"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Span:
    """The batches that one profile covers: their places in time (in units of the cadence), seasons, and rows."""

    positions: tuple[float, ...]
    seasons: tuple[str, ...]
    rows: int


def usual_rows(spans: Sequence[Span]) -> float:
    """Harmonic mean of the batches' rows: what their sampling variance answers to."""
    return float(len(spans) / np.sum([1 / max(span.rows, 1) for span in spans]))


class Geometry:
    """Distances, seasons and rows of spans, from which their scores' covariance follows for any hypothesis."""

    def __init__(self, spans: Sequence[Span], rows: float) -> None:
        places = np.array([place for span in spans for place in span.positions], float)
        labels = np.array([season for span in spans for season in span.seasons])
        covered = np.array([len(span.positions) for span in spans])
        owner = np.repeat(np.arange(len(spans)), covered)
        self._average = np.zeros((len(spans), len(places)))
        self._average[owner, np.arange(len(places))] = 1 / covered[owner]
        self._single = bool((covered == 1).all())
        self._distance = np.abs(places[:, None] - places)
        self._same_season = (labels[:, None] == labels).astype(float)
        overlap = self._averaged((self._distance < 0.5).astype(float)) * covered[:, None]
        sampling = rows / np.maximum([span.rows for span in spans], 1)[:, None] * overlap
        self._sampling = (sampling + sampling.T) / 2

    def covariance(self, rho: float, season_share: float, noise_share: float) -> Floats:
        """Covariance of the spans' scores for a total variance of one in a batch of the usual rows."""
        structure = (1 - season_share) * rho**self._distance
        if season_share:
            structure += season_share * self._same_season
        return np.asarray((1 - noise_share) * self._averaged(structure) + noise_share * self._sampling)

    def _averaged(self, matrix: Floats) -> Floats:
        return matrix if self._single else self._average @ matrix @ self._average.T
