"""What a reference foretells of the windows that follow, and how surprising it is when they come out otherwise."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from perennial.drift.effects import FittedSeries, Structure, heavy_tailed, lighter
from perennial.drift.spans import Geometry, Span, usual_rows
from perennial.drift.tails import f_sf

__all__ = ["Predictor"]

Floats = NDArray[np.float64]


class Predictor:
    """
    What a reference's batches foretell of the windows that follow, under any hypothesis of how batches correlate.

    Parameters
    ----------
    placed
        Whether the windows' places in time are known, so that earlier windows may predict later ones.
    """

    def __init__(self, spans: Sequence[Span], window_spans: Sequence[Span], *, placed: bool = True) -> None:
        self._known = len(spans)
        self._windows = len(window_spans)
        self._placed = placed
        self._geometry = Geometry([*spans, *window_spans], usual_rows(spans))
        self._cache: dict[tuple[float, float, float], tuple[Floats, Floats]] = {}

    def steps(
        self,
        fitted: Sequence[FittedSeries],
        reference: Sequence[Floats],
        windows: Sequence[Floats],
        tested: Sequence[int],
    ) -> tuple[Floats, Floats]:
        """
        How surprising a step over the last few windows would be if nothing had drifted.

        Parameters
        ----------
        reference, windows
            Scores of the reference's batches and of the windows since, oldest first; one array per column.
        tested
            How many of the last windows the step covers: one test for each.

        Returns
        -------
        p-values, columns x tested; and squared steps in units of their variance, over the last 1, 2, ... windows.
        """
        tests: list[tuple[int, float, float, float, float]] = []
        squares: list[Floats] = []
        averaged: list[Floats] = []
        sizes = np.zeros((len(fitted), self._windows))
        places = np.array(tested) - 1
        for key, members in _users(fitted).items():
            weights, contrasts = self._prediction(key)
            over = _averaged_windows(contrasts)[places]
            for column, structure in members:
                moved = contrasts @ (windows[column] - weights @ reference[column])
                size = np.einsum("ij,ij->i", moved, moved) / (moved.shape[1] * structure.variance)
                sizes[column] += structure.weight * size
                for tail, likely in fitted[column].tails:
                    squares.append(size[places])
                    averaged.append(over)
                    tests.append((column, structure.weight * likely, fitted[column].dimensions, structure.df, tail))
        p_values = np.zeros((len(fitted), len(tested)))
        columns, weight, dimensions, df, tails = np.array(tests).T[:, :, None]
        scale, free = heavy_tailed(df, lighter(tails, np.array(averaged)))
        found = f_sf(np.array(squares) * scale, dimensions, free)
        np.add.at(p_values, columns[:, 0].astype(int), weight * found)
        return np.minimum(p_values, 1.0), sizes

    def _prediction(self, key: tuple[float, float, float]) -> tuple[Floats, Floats]:
        """Weights on the reference that predict the windows, the mean unknown, and the contrast of each step."""
        if key not in self._cache:
            weights, error = _predict(self._geometry.covariance(*key), self._known)
            self._cache[key] = weights, _step_contrasts(error, self._placed)
        return self._cache[key]


def _users(fitted: Sequence[FittedSeries]) -> dict[tuple[float, float, float], list[tuple[int, Structure]]]:
    """Which columns rely on each hypothesis of correlation, so that each is worked out once."""
    users: dict[tuple[float, float, float], list[tuple[int, Structure]]] = {}
    for column, fit in enumerate(fitted):
        for structure in fit.structures:
            key = (structure.rho, structure.season_share, fit.noise_share)
            users.setdefault(key, []).append((column, structure))
    return users


def _averaged_windows(contrasts: Floats) -> Floats:
    """How many windows of equal weight each step averages over: what its tails get lighter by."""
    squares = contrasts**2
    return np.asarray(squares.sum(axis=1) ** 2 / (squares**2).sum(axis=1))


def _predict(covariance: Floats, known: int) -> tuple[Floats, Floats]:
    """Weights on the first `known` spans that predict what follows, the mean unknown, and the error's covariance."""
    old = covariance[:known, :known] + 1e-9 * np.eye(known)
    cross, new = covariance[known:, :known], covariance[known:, known:]
    solved = np.linalg.solve(old, np.column_stack([cross.T, np.ones(known)]))
    weights, sums = solved[:, :-1].T, solved[:, -1]
    lack = 1 - weights.sum(axis=1)
    weights_with_mean = weights + np.outer(lack, sums / sums.sum())
    error = new - weights @ cross.T + np.outer(lack, lack) / sums.sum()
    return weights_with_mean, (error + error.T) / 2


def _step_contrasts(error: Floats, placed: bool) -> Floats:
    """
    Weights on the windows' residuals that estimate a step over the last 1, 2, ..., in units of its deviation.

    By generalised least squares where earlier windows may predict later ones, else by the plain mean.
    """
    error = error + 1e-9 * error.diagonal().mean() * np.eye(len(error))  # a window that came twice is no new evidence
    shapes = np.tri(len(error))[:, ::-1]
    weights = shapes @ np.linalg.inv(error) if placed else shapes
    return np.asarray(weights / np.sqrt(np.einsum("ij,jk,ik->i", weights, error, weights))[:, None])
