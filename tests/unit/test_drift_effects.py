"""What is learnt of how batches differ among themselves, on scores whose truth is known."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from perennial.drift.effects import FittedSeries, Structure, fit_series, variance_prior
from perennial.drift.prediction import Predictor
from perennial.drift.spans import Geometry, Span

ROWS = 100_000
DAYS = 7


def make_spans(*, batches: int, first: int = 0, weekly: bool = False, rows: int = ROWS) -> list[Span]:
    """One batch after the other."""
    places = range(first, first + batches)
    return [Span((float(place),), (f"day {place % DAYS}" if weekly else "",), rows) for place in places]


def make_scores(
    *, batches: int, columns: int, seed: int, rho: float = 0.0, season: float = 0.0, tau: float = 0.05
) -> NDArray[np.float64]:
    """Scores, columns x batches x 1: correlated batch effects, weekdays, and sampling."""
    rng = np.random.default_rng(seed)
    effects = rng.normal(size=(columns, batches))
    for place in range(1, batches):
        effects[:, place] = rho * effects[:, place - 1] + math.sqrt(1 - rho**2) * effects[:, place]
    weekdays = rng.normal(0, season, (columns, DAYS))[:, np.arange(batches) % DAYS]
    noise = rng.normal(size=effects.shape) / math.sqrt(ROWS)
    return (tau * effects + weekdays + noise)[:, :, None]


def expected_rho(fits: tuple[FittedSeries, ...]) -> float:
    return float(np.mean([sum(s.weight * s.rho for s in fit.structures) for fit in fits]))


def expected_season(fits: tuple[FittedSeries, ...]) -> float:
    return float(np.mean([sum(s.weight * s.season_share for s in fit.structures) for fit in fits]))


@pytest.mark.parametrize(("rho", "low", "high"), [(0.0, 0.0, 0.15), (0.7, 0.5, 0.9)])
def test_correlation_of_neighbouring_batches_is_found(rho: float, low: float, high: float) -> None:
    series = list(make_scores(batches=30, columns=20, seed=1, rho=rho))
    assert low <= expected_rho(fit_series(series, make_spans(batches=30))) <= high


@pytest.mark.parametrize(("season", "low", "high"), [(0.0, 0.0, 0.1), (0.1, 0.6, 1.0)])
def test_the_share_of_the_season_is_found(season: float, low: float, high: float) -> None:
    series = list(make_scores(batches=28, columns=20, seed=2, season=season))
    assert low <= expected_season(fit_series(series, make_spans(batches=28, weekly=True))) <= high


def test_a_season_seen_only_once_is_not_fitted() -> None:
    series = list(make_scores(batches=7, columns=5, seed=3))
    assert expected_season(fit_series(series, make_spans(batches=7, weekly=True))) == 0


def test_columns_that_vary_alike_share_their_variance() -> None:
    series = list(make_scores(batches=20, columns=20, seed=4))
    fits = fit_series(series, make_spans(batches=20))
    found = [max(fit.structures, key=lambda part: part.weight).variance for fit in fits]
    alone = [float(part.var(ddof=1)) for part in series]
    assert np.ptp(found) < np.ptp(alone) / 2
    assert np.mean(found) == pytest.approx(0.05**2, rel=0.25)


def test_few_columns_borrow_nothing() -> None:
    assert variance_prior(np.array([1.0, 2.0]), np.array([19.0, 19.0])) == (0.0, 0.0)


def test_columns_of_one_variance_are_worth_many_degrees_of_freedom() -> None:
    rng = np.random.default_rng(5)
    alike = rng.chisquare(19, 200) / 19
    usual, df = variance_prior(alike, np.full(200, 19.0))
    assert usual == pytest.approx(1, rel=0.1)
    assert df > 100
    assert variance_prior(alike * np.exp(rng.normal(size=200)), np.full(200, 19.0))[1] < 5


def test_heavy_tails_are_found_and_normal_ones_too() -> None:
    rng = np.random.default_rng(6)
    spans = make_spans(batches=40)
    wild = fit_series(list(rng.standard_t(3, size=(20, 40, 1))), spans)[0].tails
    tame = fit_series(list(rng.normal(size=(20, 40, 1))), spans)[0].tails
    assert sum(weight for tail, weight in wild if tail <= 7) > 0.9
    assert sum(weight for tail, weight in tame if math.isinf(tail)) > 0.5


def test_a_series_that_never_varies_is_taken_for_independent_batches() -> None:
    fits = fit_series([np.zeros((20, 1)), np.zeros((20, 1))], make_spans(batches=20))
    assert all(len(fit.structures) == 1 and fit.structures[0].rho == 0 for fit in fits)
    assert all(fit.structures[0].variance == pytest.approx(1 / ROWS) for fit in fits)


def test_a_window_of_several_batches_varies_less_than_one_batch() -> None:
    one, week = Span((30.0,), ("",), ROWS), Span(tuple(map(float, range(30, 37))), ("",) * 7, 7 * ROWS)
    variances = [Geometry([span], ROWS).covariance(rho, 0.0, 0.1)[0, 0] for span in (one, week) for rho in (0.0, 0.7)]
    independent, correlated, week_independent, week_correlated = variances
    assert independent == pytest.approx(1) == pytest.approx(correlated)
    assert week_independent == pytest.approx(1 / 7)
    assert 1 / 7 < week_correlated < 1


def test_windows_that_share_batches_share_their_sampling() -> None:
    spans = [Span((0.0, 1.0), ("", ""), 2 * ROWS), Span((1.0, 2.0), ("", ""), 2 * ROWS)]
    covariance = Geometry(spans, ROWS).covariance(0.0, 0.0, 1.0)
    assert covariance == pytest.approx(np.array([[0.5, 0.25], [0.25, 0.5]]))


def make_fit(*, rho: float = 0.0, variance: float = 0.05**2) -> FittedSeries:
    """A known truth: independent or correlated batches of one variance."""
    return FittedSeries(0.0, 1.0, (Structure(rho, 0.0, 1.0, variance, math.inf),))


def p_values(fit: FittedSeries, windows: list[float], *, placed: bool = True, gap: int = 0) -> NDArray[np.float64]:
    """p-values of steps over the last windows, after twenty batches at zero."""
    spans = make_spans(batches=20)
    after = make_spans(batches=len(windows), first=20 + gap)
    predictor = Predictor(spans, after, placed=placed)
    steps = range(1, len(windows) + 1)
    return predictor.steps([fit], [np.zeros((20, 1))], [np.array(windows)[:, None]], steps)[0][0]


def test_the_p_value_is_that_of_a_prediction_with_an_unknown_mean() -> None:
    deviation = 0.05 * math.sqrt(1 + 1 / 20)
    assert p_values(make_fit(), [2.5758 * deviation])[0] == pytest.approx(0.01, rel=0.02)


def test_a_shift_too_small_for_one_window_shows_in_four() -> None:
    one, *_, four = p_values(make_fit(), [0.1, 0.1, 0.1, 0.1])
    assert one > 0.04
    assert four < 0.002


def test_next_to_a_correlated_reference_less_is_surprising_far_away_more_is_allowed() -> None:
    near, far = (p_values(make_fit(rho=0.7), [0.12], gap=gap)[0] for gap in (0, 50))
    assert near < far


def test_windows_of_unknown_place_do_not_predict_each_other() -> None:
    correlated = make_fit(rho=0.9)
    placed = p_values(correlated, [0.0, 0.1], gap=50)[0]
    unplaced = p_values(correlated, [0.0, 0.1], gap=50, placed=False)[0]
    assert placed < unplaced
