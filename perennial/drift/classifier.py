"""
Drift that no single column shows: can a classifier tell rows of the window from rows of the reference?

It works on the row samples that profiles keep, needs numpy alone, and takes some tenths of a second: callers run it
after the check of the columns, and only where that found nothing. Lopez-Paz and Oquab 2017, "Revisiting classifier
two-sample tests". The classifier is a ridge regression on all columns, their squares and their products in pairs
(a polynomial kernel): what it learns is means, spreads and which columns go together. Each row is judged by the
classifier that was fitted without it, in closed form, so that hundreds of shuffled labellings cost little and the
p-value is exact for rows of one distribution.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perennial.drift.report import DriftReport, JointDrift
from perennial.drift.tails import normal_quantile
from perennial.profile.model import Profile
from perennial.profile.reservoir import Reservoir

__all__ = ["check_jointly", "look_jointly"]

Floats = NDArray[np.float64]

FEWEST_ROWS = 60
MOST_CATEGORIES = 8
"""Categories of a column that are told apart; the rarer ones count as one."""
RIDGES = (0.3, 3.0)
"""Penalties, in units of the kernel's mean diagonal: the better one counts, for shuffled labels as well."""
SHUFFLES = 499


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Rows as numbers of mean 0 and deviation 1, and the column that each number comes from."""

    values: Floats
    owners: NDArray[np.int64]
    names: tuple[str, ...]


def check_jointly(
    reference: Profile,
    window: Profile,
    *,
    seed: int,
    columns: Collection[str] | None = None,
    level: float = 0.01,
    min_auc: float = 0.6,
) -> JointDrift:
    """
    A two-sample test by classifier on the profiles' row samples.

    Parameters
    ----------
    seed
        Of the shuffled labellings: equal inputs give equal answers.
    columns
        Those that take part; all that both samples have where None.
    level
        Chance of a false alarm for rows of one distribution.
    min_auc
        Anything that separates rows less well doesn't count. Batches that differ a little among themselves stay
        below it, since the samples are small.
    """
    samples = reference.reservoir, window.reservoir
    counts = (samples[0].rows, samples[1].rows)
    shared = set(samples[0].columns) & set(samples[1].columns)
    rows = _rows(*samples, sorted(shared if columns is None else shared & set(columns)))
    if min(counts) < FEWEST_ROWS or not rows.names:
        sentence = f"the samples must have {FEWEST_ROWS} rows and a column in common. Got {counts} rows instead"
        return JointDrift(verdict="inconclusive", auc=0.5, p_value=1.0, rows=counts, columns=(), sentence=sentence)
    marks = np.repeat([-1.0, 1.0], counts)
    auc, p_value, relied = _separate(rows, marks, seed)
    drifted = p_value <= level and auc >= min_auc
    strong = [place for place in np.argsort(-relied) if relied[place] > 1 / len(rows.names)]
    relied_on = tuple(rows.names[place] for place in strong[:5]) if drifted else ()
    return JointDrift(
        verdict="drifted" if drifted else "steady",
        auc=auc,
        p_value=p_value,
        rows=counts,
        columns=relied_on,
        sentence=_sentence(auc, drifted, relied_on),
    )


def look_jointly(report: DriftReport, reference: Profile, window: Profile, *, seed: int) -> DriftReport:
    """
    The report with a look at all of its columns together, where none of them shows anything by itself.

    What is found is worth a look, and no alarm: the budget of false alarms is the columns'.
    """
    if report.verdict != "steady" or report.worth_a_look:
        return report
    found = check_jointly(reference, window, seed=seed, columns=[column.name for column in report.columns])
    said = (f"together, though, {found.sentence}",) if found.verdict == "drifted" else ()
    return report.model_copy(update={"joint": found, "reasons": (*report.reasons, *said)})


def _sentence(auc: float, drifted: bool, columns: Sequence[str]) -> str:
    if drifted:
        return f"rows of the window can be told from the reference's (AUC {auc:.2f}), mostly by {', '.join(columns)}"
    return f"rows of the window can't be told from the reference's (AUC {auc:.2f}; 0.50 is guessing)"


def _rows(reference: Reservoir, window: Reservoir, names: Sequence[str]) -> _Rows:
    """Numbers by the normal score of their rank, categories by whether they are one of the frequent ones."""
    parts: list[tuple[str, Floats]] = []
    for name in names:
        old, new = reference.columns[name], window.columns[name]
        if isinstance(old, list):
            parts += [(name, held) for held in _memberships([*old, *new])]
        else:
            parts += [(name, held) for held in _scores(np.concatenate([old, np.asarray(new, float)]))]
    parts = [(name, held) for name, held in parts if held.std() > 0]
    kept = tuple(dict.fromkeys(name for name, _ in parts))
    if not parts:
        return _Rows(np.empty((0, 0)), np.empty(0, int), ())
    values = np.column_stack([(held - held.mean()) / held.std() for _, held in parts])
    return _Rows(values, np.array([kept.index(name) for name, _ in parts]), kept)


def _scores(values: Floats) -> list[Floats]:
    """Normal scores of ranks (equal values share theirs, nulls lie in the middle), and which values are null."""
    null = np.isnan(values)
    _, inverse, counts = np.unique(values[~null], return_inverse=True, return_counts=True)
    scores = np.zeros(len(values))
    if len(counts):
        ranks = (np.cumsum(counts) - counts / 2) / counts.sum()
        scores[~null] = normal_quantile(ranks)[inverse]
    return [scores, null.astype(float)]


def _memberships(values: Sequence[str | None]) -> list[Floats]:
    counts: dict[str | None, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    known = sorted(counts, key=lambda value: (-counts[value], str(value)))[:MOST_CATEGORIES]
    return [np.array([float(value == one) for value in values]) for one in known]


def _separate(rows: _Rows, marks: Floats, seed: int) -> tuple[float, float, Floats]:
    """AUC of rows judged without themselves, its p-value, and how much the classifier relies on each column."""
    alike = rows.values @ rows.values.T / rows.values.shape[1]
    kernel = alike + alike**2
    rng = np.random.default_rng(seed)
    shuffled = np.column_stack([marks, *(rng.permutation(marks) for _ in range(SHUFFLES))])
    best, weights = np.zeros(shuffled.shape[1]), np.zeros(len(marks))
    for ridge in RIDGES:
        solution = np.linalg.inv(kernel + ridge * float(np.mean(np.diag(kernel))) * np.eye(len(marks)))
        dual = solution @ (shuffled - shuffled.mean(axis=0))
        found = _areas(shuffled - dual / np.diag(solution)[:, None], shuffled)
        if found[0] > best[0]:
            weights = dual[:, 0]
        best = np.maximum(best, found)
    p_value = (1 + float(np.sum(best[1:] >= best[0]))) / (1 + SHUFFLES)
    return float(best[0]), p_value, _reliance(rows, weights)


def _areas(scores: Floats, marks: Floats) -> Floats:
    """Area under the ROC curve, column by column (Mann and Whitney)."""
    ranks = scores.argsort(axis=0).argsort(axis=0) + 1.0
    positive = marks > 0
    new = positive.sum(axis=0)
    return np.asarray(((ranks * positive).sum(axis=0) - new * (new + 1) / 2) / (new * (len(marks) - new)))


def _reliance(rows: _Rows, weights: Floats) -> Floats:
    """Share of the classifier's squared coefficients that involve each column, alone or in a pair; they sum to 1."""
    alone = rows.values.T @ weights
    pairs = rows.values.T @ (rows.values * weights[:, None])
    squares = alone**2 + np.sum(pairs**2, axis=1) / math.sqrt(len(alone))
    shares = np.bincount(rows.owners, weights=squares, minlength=len(rows.names))
    return np.asarray(shares / max(float(shares.sum()), 1e-300))
