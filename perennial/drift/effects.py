"""
How batches differ among themselves when nothing drifts: a random-effects model of batch scores.

A column of a batch is summed up in a few *scores* whose sampling variance is one over the batch's rows. Around
their long-run mean, scores of batches vary for three reasons, and the shares of the three are learnt from the
reference:

- a season: batches of the same weekday (hour, month) share an effect,
- an effect of the batch itself, correlated with its neighbours in time as `rho` to the power of their distance,
- sampling: finitely many rows.

How strongly batches are correlated is learnt by restricted maximum likelihood on a grid, columns borrowing from
each other (an empirical-Bayes prior over the grid). The size of the variation is each column's own, shrunk towards
what is usual among columns (Smyth 2004, "Linear models and empirical Bayes methods"): twenty batches alone are
too few to set a threshold that is passed once in a thousand, twenty columns of twenty batches are not.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perennial.drift.tails import digamma, f_sf, inverse_trigamma, trigamma

__all__ = ["FittedSeries", "Predictor", "Span", "Structure", "fit_series"]

Floats = NDArray[np.float64]

RHOS = (0.0, 0.2, 0.4, 0.55, 0.7, 0.8, 0.9, 0.97)
SEASON_SHARES = (0.0, 0.3, 0.6, 0.85, 0.95)
NOISE_SHARES = (0.0, 0.1, 0.3, 0.6, 0.9)
NOTHING = 1e-12
"""A column whose scores vary less than this doesn't vary."""
FORGETTABLE = 0.02
"""Grid points with less posterior weight than this are dropped."""


@dataclass(frozen=True, slots=True)
class Span:
    """The batches that one profile covers: their places in time (in units of the cadence), seasons, and rows."""

    positions: tuple[float, ...]
    seasons: tuple[str, ...]
    rows: int


@dataclass(frozen=True, slots=True)
class Structure:
    """One hypothesis on how batches vary: correlation with neighbours, share of season, size, and its weight."""

    rho: float
    season_share: float
    weight: float
    variance: float
    df: float


@dataclass(frozen=True, slots=True)
class FittedSeries:
    """What was learnt of one score of one column: `dimensions` is its effective number of independent parts."""

    noise_share: float
    dimensions: float
    structures: tuple[Structure, ...]


def fit_series(series: Sequence[Floats], spans: Sequence[Span]) -> tuple[FittedSeries, ...]:
    """
    Learn how each of `series` varies from batch to batch; all are scores of the same kind, one per column.

    Parameters
    ----------
    series
        One array per column, batches x parts, in units in which the sampling variance is one over the rows.
    spans
        The place, season and rows of each batch.
    """
    if not series:
        return ()
    dimensions = np.array([_effective_dimensions(part) for part in series])
    noise = _noise_levels(series, spans)
    grid = [(rho, share) for rho in RHOS for share in _season_shares(spans)]
    likelihood, variance = _likelihoods(series, spans, grid, noise, dimensions)
    posterior = _posterior(likelihood, informative=variance[:, 0] > NOTHING)
    shrunk, df = _shrink(variance, dimensions * (len(spans) - 1), posterior)
    floor = 1 / _usual_rows(spans)
    return tuple(
        FittedSeries(
            float(noise[column]),
            float(dimensions[column]),
            _structures(grid, posterior[column], np.maximum(shrunk[column], floor), df[column]),
        )
        for column in range(len(series))
    )


def _structures(
    grid: Sequence[tuple[float, float]], weights: Floats, variances: Floats, df: Floats
) -> tuple[Structure, ...]:
    kept = np.flatnonzero(weights >= min(FORGETTABLE, weights.max()))
    total = weights[kept].sum()
    return tuple(
        Structure(grid[i][0], grid[i][1], float(weights[i] / total), float(variances[i]), float(df[i]))
        for i in kept.tolist()
    )


def _usual_rows(spans: Sequence[Span]) -> float:
    """Harmonic mean of the batches' rows: what their sampling variance answers to."""
    return float(len(spans) / np.sum([1 / max(span.rows, 1) for span in spans]))


def _season_shares(spans: Sequence[Span]) -> tuple[float, ...]:
    seasons = [span.seasons[0] for span in spans]
    repeated = len(set(seasons)) > 1 and len(seasons) >= 2 * len(set(seasons))
    return SEASON_SHARES if repeated else (0.0,)


def _effective_dimensions(part: Floats) -> float:
    """
    Number of equal independent parts whose sum of squares would scatter as that of `part` does.

    The trace of the covariance squared over the trace of its square, the latter corrected for its own sampling
    (Bai and Saranadasa 1996).
    """
    batches, width = part.shape
    if width == 1 or batches < 4:
        return 1.0
    free = batches - 1
    covariance = np.cov(part, rowvar=False)
    trace = float(np.trace(covariance))
    square = free**2 / ((free - 1) * (free + 2)) * (float(np.sum(covariance**2)) - trace**2 / free)
    return float(np.clip(trace**2 / max(square, 1e-300), 1.0, width)) if trace > 0 else 1.0


def _noise_levels(series: Sequence[Floats], spans: Sequence[Span]) -> Floats:
    """Share of each column's variance that is sampling, at the nearest of a few levels; columns lean on the median."""
    variances = np.array([np.mean(np.var(part, axis=0, ddof=1)) for part in series])
    usual = float(np.median(variances))
    leaned = (variances * (len(spans) - 1) + usual * 4) / (len(spans) + 3)
    share = np.clip(1 / _usual_rows(spans) / np.maximum(leaned, 1e-300), 0, 1)
    levels = np.array(NOISE_SHARES)
    return np.asarray(levels[np.argmin(np.abs(share[:, None] - levels), axis=1)])


class _Geometry:
    """Distances, seasons and rows of spans, from which their scores' covariance follows for any hypothesis."""

    def __init__(self, spans: Sequence[Span], usual_rows: float) -> None:
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
        sampling = usual_rows / np.maximum([span.rows for span in spans], 1)[:, None] * overlap
        self._sampling = (sampling + sampling.T) / 2

    def covariance(self, rho: float, season_share: float, noise_share: float) -> Floats:
        """Covariance of the spans' scores for a total variance of one in a batch of the usual rows."""
        structure = (1 - season_share) * rho**self._distance
        if season_share:
            structure += season_share * self._same_season
        return np.asarray((1 - noise_share) * self._averaged(structure) + noise_share * self._sampling)

    def _averaged(self, matrix: Floats) -> Floats:
        return matrix if self._single else self._average @ matrix @ self._average.T


def _likelihoods(
    series: Sequence[Floats],
    spans: Sequence[Span],
    grid: Sequence[tuple[float, float]],
    noise: Floats,
    dimensions: Floats,
) -> tuple[Floats, Floats]:
    """Restricted log-likelihood and residual variance of each column at each grid point, its size profiled out."""
    likelihood = np.zeros((len(series), len(grid)))
    variance = np.zeros_like(likelihood)
    free = len(spans) - 1
    geometry = _Geometry(spans, _usual_rows(spans))
    for level in np.unique(noise):
        columns = np.flatnonzero(noise == level)
        for point, (rho, share) in enumerate(grid):
            projection, penalty = _projection(geometry.covariance(rho, share, float(level)))
            for column in columns.tolist():
                part = series[column]
                squares = float(np.sum(part * (projection @ part))) / part.shape[1]
                squares = max(squares, 1e-300)
                variance[column, point] = squares / free
                likelihood[column, point] = dimensions[column] * (penalty - free / 2 * np.log(squares))
    return likelihood, variance


def _projection(covariance: Floats) -> tuple[Floats, float]:
    """The matrix that takes the mean out and whitens, and the likelihood's part that the data don't touch."""
    covariance = covariance + 1e-9 * np.eye(len(covariance))
    inverse = np.linalg.inv(covariance)
    inverse = (inverse + inverse.T) / 2
    sums = inverse.sum(axis=1)
    total = float(sums.sum())
    sign, logdet = np.linalg.slogdet(covariance)
    return inverse - np.outer(sums, sums) / total, float(-(sign * logdet + np.log(total)) / 2)


def _posterior(
    likelihood: Floats, informative: NDArray[np.bool_], rounds: int = 60, prior_columns: float = 1.0
) -> Floats:
    """
    Weight of each grid point for each column, with a prior over the grid learnt from all columns (EM).

    A column that never varies tells nothing of correlation: it keeps to the first point, independent batches.
    """
    if not informative.all():
        weights = np.zeros_like(likelihood)
        weights[:, 0] = 1
        if informative.any():
            weights[informative] = _posterior(likelihood[informative], np.ones(informative.sum(), bool))
        return weights
    relative = np.exp(likelihood - likelihood.max(axis=1, keepdims=True))
    columns, points = relative.shape
    prior = np.full(points, 1 / points)
    weights = relative
    for _ in range(rounds):
        weights = relative * prior
        weights = weights / weights.sum(axis=1, keepdims=True)
        prior = (weights.sum(axis=0) + prior_columns / points) / (columns + prior_columns)
    return weights


def _shrink(variance: Floats, df: Floats, posterior: Floats) -> tuple[Floats, Floats]:
    """Column variances at each grid point drawn towards their common prior, with the degrees of freedom gained."""
    shrunk, total = variance.copy(), np.repeat(df[:, None], variance.shape[1], axis=1)
    for point in np.flatnonzero(posterior.max(axis=0) >= FORGETTABLE):
        usual, prior_df = variance_prior(variance[:, point], df)
        if np.isinf(prior_df):
            shrunk[:, point], total[:, point] = usual, np.inf
        elif prior_df > 0:
            shrunk[:, point] = (prior_df * usual + df * variance[:, point]) / (prior_df + df)
            total[:, point] = df + prior_df
    return shrunk, total


def variance_prior(variances: Floats, df: Floats) -> tuple[float, float]:
    """
    The usual variance and how many degrees of freedom it is worth (Smyth 2004, section 6.2).

    Few columns say little about how much columns differ: the estimate of that is raised by its standard error,
    and below three columns nothing is borrowed.
    """
    usable = variances > 1e-30
    if usable.sum() < 3:
        return 0.0, 0.0
    logs, half = np.log(variances[usable]), df[usable] / 2
    centred = logs - np.array([digamma(d) - np.log(d) for d in half])
    expected = float(np.mean([trigamma(d) for d in half]))
    spread = float(np.var(centred, ddof=1))
    raised = spread - expected + PRUDENCE * max(spread, expected) * np.sqrt(2 / (usable.sum() - 1))
    if raised <= 1e-4:
        return float(np.exp(np.mean(centred))), np.inf
    prior_df = 2 * inverse_trigamma(raised)
    return float(np.exp(np.mean(centred) + digamma(prior_df / 2) - np.log(prior_df / 2))), prior_df


PRUDENCE = 1.0


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
        self._geometry = _Geometry([*spans, *window_spans], _usual_rows(spans))
        self._cache: dict[tuple[float, float, float], tuple[Floats, Floats]] = {}

    def step_p_values(
        self, fitted: Sequence[FittedSeries], reference: Sequence[Floats], windows: Sequence[Floats]
    ) -> Floats:
        """
        How surprising a step over the last 1, 2, ... windows would be if nothing had drifted.

        Parameters
        ----------
        reference, windows
            Scores of the reference's batches and of the windows since, oldest first; one array per column.

        Returns
        -------
        p-values, columns x steps.
        """
        tests: list[tuple[int, float, float, float]] = []
        squares: list[Floats] = []
        for key, members in _users(fitted).items():
            weights, contrasts = self._prediction(key)
            for column, structure in members:
                moved = contrasts @ (windows[column] - weights @ reference[column])
                squares.append(np.einsum("ij,ij->i", moved, moved) / (moved.shape[1] * structure.variance))
                tests.append((column, structure.weight, fitted[column].dimensions, structure.df))
        p_values = np.zeros((len(fitted), self._windows))
        if tests:
            columns, weight, dimensions, df = np.array(tests).T[:, :, None]
            tails = weight * f_sf(np.array(squares), dimensions, df)
            np.add.at(p_values, columns[:, 0].astype(int), tails)
        return np.minimum(p_values, 1.0)

    def _prediction(self, key: tuple[float, float, float]) -> tuple[Floats, Floats]:
        """Weights on the reference that predict the windows, the mean unknown, and the contrast of each step."""
        if key not in self._cache:
            weights, error = _predict(self._geometry.covariance(*key), self._known)
            steps = range(1, self._windows + 1)
            self._cache[key] = weights, np.array([_step_contrast(error, step, self._placed) for step in steps])
        return self._cache[key]


def _users(fitted: Sequence[FittedSeries]) -> dict[tuple[float, float, float], list[tuple[int, Structure]]]:
    """Which columns rely on each hypothesis of correlation, so that each is worked out once."""
    users: dict[tuple[float, float, float], list[tuple[int, Structure]]] = {}
    for column, fit in enumerate(fitted):
        for structure in fit.structures:
            key = (structure.rho, structure.season_share, fit.noise_share)
            users.setdefault(key, []).append((column, structure))
    return users


def _predict(covariance: Floats, known: int) -> tuple[Floats, Floats]:
    """Weights on the first `known` spans that predict what follows, the mean unknown, and the error's covariance."""
    old = covariance[:known, :known] + 1e-9 * np.eye(known)
    cross, new = covariance[known:, :known], covariance[known:, known:]
    inverse = np.linalg.inv(old)
    weights = cross @ inverse
    sums = inverse.sum(axis=0)
    lack = 1 - weights.sum(axis=1)
    weights_with_mean = weights + np.outer(lack, sums / sums.sum())
    error = new - weights @ cross.T + np.outer(lack, lack) / sums.sum()
    return weights_with_mean, (error + error.T) / 2


def _step_contrast(error: Floats, step: int, placed: bool) -> Floats:
    """Weights on the windows' residuals that estimate a step over the last of them, in units of its deviation."""
    shape = np.zeros(len(error))
    shape[-step:] = 1
    weights = np.linalg.solve(error + 1e-12 * np.eye(len(error)), shape) if placed else shape
    return np.asarray(weights / np.sqrt(weights @ error @ weights))
