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

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from perennial.drift.spans import Geometry, Span, usual_rows
from perennial.drift.tails import digamma, f_log_density, inverse_trigamma, trigamma

__all__ = ["FittedSeries", "Structure", "fit_series"]

Floats = NDArray[np.float64]

RHOS = (0.0, 0.25, 0.5, 0.7, 0.85, 0.95)
SEASON_SHARES = (0.0, 0.3, 0.6, 0.85, 0.95)
NOISE_SHARES = (0.0, 0.1, 0.3, 0.6, 0.9)
NOTHING = 1e-12
"""A column whose scores vary less than this doesn't vary."""
TAILS = ((math.inf, 0.85, math.inf), (15.0, 0.06, 12.0), (7.0, 0.06, 6.0), (5.0, 0.03, 4.5))
"""
Degrees of freedom that batch effects may have, how likely each is before anything is seen, and those to judge by.

Tails look lighter than they are, since the variance that a residual is held against was swollen by them as well: in
simulations effects of 5 degrees of freedom are mostly read as 7.
"""
MOST_KURTOSIS = 6.0
"""Excess kurtosis that batch effects are credited with at most; below 5 degrees of freedom it has no bound."""
PRUDENCE = 0.5
"""Standard errors by which the estimate of how much columns differ is raised."""
FORGETTABLE = 0.03
"""Grid points with less posterior weight than this are dropped."""


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
    """
    What was learnt of one score of one column.

    `dimensions` is its effective number of independent parts. `tails`: degrees of freedom of the t distribution that
    batch effects may follow (infinite: normal), and the weight of each.
    """

    noise_share: float
    dimensions: float
    structures: tuple[Structure, ...]
    tails: tuple[tuple[float, float], ...] = ((math.inf, 1.0),)


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
    noise = _noise_levels(series, spans, dimensions)
    grid = [(rho, share) for rho in RHOS for share in _season_shares(spans)]
    likelihood, variance = _likelihoods(series, spans, grid, noise, dimensions)
    posterior = _posterior(likelihood, informative=variance[:, 0] > NOTHING)
    shrunk, df = _shrink(variance, dimensions * (len(spans) - 1), posterior)
    floor = 1 / usual_rows(spans)
    tails = _tails(series, spans, [grid[place] for place in posterior.argmax(axis=1).tolist()], noise, dimensions)
    return tuple(
        FittedSeries(
            float(noise[column]),
            float(dimensions[column]),
            _structures(grid, posterior[column], np.maximum(shrunk[column], floor), df[column]),
            tails,
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


def _noise_levels(series: Sequence[Floats], spans: Sequence[Span], dimensions: Floats) -> Floats:
    """
    Share of each column's variance that is sampling, at the nearest of a few levels.

    Variances are drawn towards what is usual among columns first: taking half of their degrees of freedom for true,
    as correlated batches tell less.
    """
    variances = np.array([np.mean(np.var(part, axis=0, ddof=1)) for part in series])
    df = dimensions * (len(spans) - 1) / 2
    usual, prior_df = variance_prior(variances, df)
    if np.isinf(prior_df):
        leaned = np.full_like(variances, usual)
    else:
        leaned = (variances * df + usual * prior_df) / (df + prior_df)
    share = np.clip(1 / usual_rows(spans) / np.maximum(leaned, 1e-300), 0, 1)
    levels = np.array(NOISE_SHARES)
    return np.asarray(levels[np.argmin(np.abs(share[:, None] - levels), axis=1)])


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
    geometry = Geometry(spans, usual_rows(spans))
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

    Few columns say little about how much columns differ: the estimate of that is raised by half its standard error,
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


def _tails(
    series: Sequence[Floats],
    spans: Sequence[Span],
    chosen: Sequence[tuple[float, float]],
    noise: Floats,
    dimensions: Floats,
) -> tuple[tuple[float, float], ...]:
    """
    How heavy the tails of batch effects are, all columns together: weights of `TAILS` given what was seen.

    What was seen are the residuals of each batch, predicted from the others of its column, over a variance that the
    batch had no part in.
    """
    geometry = Geometry(spans, usual_rows(spans))
    evidence = np.log([weight for _, weight, _ in TAILS])
    for column, part in enumerate(series):
        squares, df = _studentised(part, _projection(geometry.covariance(*chosen[column], noise[column]))[0])
        for place, (tail, _, _) in enumerate(TAILS):
            scale, heavy = map(float, heavy_tailed(df * dimensions[column], tail))
            evidence[place] += np.sum(f_log_density(squares * scale, dimensions[column], heavy) + math.log(scale))
    weights = np.exp(evidence - evidence.max())
    weights /= weights.sum()
    kept = [(judged, float(w)) for (_, _, judged), w in zip(TAILS, weights, strict=True) if w >= FORGETTABLE]
    total = sum(weight for _, weight in kept)
    return tuple((tail, weight / total) for tail, weight in kept)


def _studentised(part: Floats, projection: Floats) -> tuple[Floats, float]:
    """Mean square of each batch's residual over the variance that the other batches show, and that one's df."""
    whitened = projection @ part
    own = np.sum(whitened**2, axis=1) / np.diag(projection) / part.shape[1]
    total = float(np.sum(part * whitened)) / part.shape[1]
    free = len(part) - 2
    if total <= NOTHING:
        return np.empty(0), float(free)
    return own * free / np.maximum(total - own, 1e-9 * total), float(free)


def heavy_tailed(df: ArrayLike, tail: ArrayLike) -> tuple[Floats, Floats]:
    """
    Factor and degrees of freedom that turn a normal F statistic into one of t-distributed effects of equal variance.

    The variance below the fraction is estimated from effects with the same tails, so it is less certain than its
    degrees of freedom say, by half their excess kurtosis.

    >>> factor, df = heavy_tailed(20.0, [math.inf, 10.0])
    >>> factor.tolist(), df.round(3).tolist()
    ([1.0, 1.25], [20.0, 5.714])
    """
    inverse = 1 / np.asarray(tail, float)
    kurtosis = np.where(
        inverse < 0.25, np.minimum(6 * inverse / np.maximum(1 - 4 * inverse, 1e-9), MOST_KURTOSIS), MOST_KURTOSIS
    )
    rest = (1 + kurtosis / 2) / np.asarray(df, float) + inverse
    return 1 / (1 - 2 * inverse), 1 / np.maximum(rest, 1e-12)


def lighter(tail: ArrayLike, windows: ArrayLike) -> Floats:
    """
    Degrees of freedom of the mean of several heavy-tailed effects.

    Its excess kurtosis is that of one effect over their number. Effects so wild that they have no kurtosis keep theirs.

    >>> lighter([10.0, 3.5], 2.0).tolist()
    [16.0, 3.5]
    """
    tails = np.asarray(tail, float)
    return np.where(tails > 4, 4 + np.asarray(windows, float) * (tails - 4), tails)
