"""The most that any test can find at a budget of false alarms: what a target for power must be held against."""

import numpy as np

from benchmarks.drift_quality.rules import LEVEL, estimate_step, true_covariance
from benchmarks.drift_quality.streams import Scenario

DRAWS = 200_000


def most_power(scenario: Scenario, shift: float, windows: int, *, level: float = LEVEL, seed: int = 0) -> float:
    """
    Share of checks that the best of all tests alarms in, when one column in any place moves by `shift` either way.

    By Neyman and Pearson's lemma no test with as few false alarms beats the ratio of likelihoods, here the mean over
    columns and directions. It knows every parameter, the size of the shift and when it began; only the column, the
    direction and each column's long-run mean are unknown to it.
    """
    total = scenario.batches + windows
    covariance = true_covariance(scenario, scenario.tau, total)
    size = shift / estimate_step(covariance, np.zeros(total), windows)[1]
    rng = np.random.default_rng(seed)
    quiet = rng.normal(size=(DRAWS, scenario.columns))
    limit = np.quantile(_log_ratio(quiet, size), 1 - level)
    quiet[:, 0] += size
    return float(np.mean(_log_ratio(quiet, size) > limit))


def _log_ratio(scores: np.ndarray, size: float) -> np.ndarray:
    """Up to a constant, and without overflow: log of the sum over columns of cosh(size x score)."""
    return np.asarray(np.logaddexp.reduce(np.abs(scores) * size + np.log1p(np.exp(-2 * np.abs(scores) * size)), axis=1))
