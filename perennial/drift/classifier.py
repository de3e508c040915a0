"""
Drift that no single column shows: can a classifier tell rows of the window from rows of the reference?

It works on the row samples that profiles keep and needs scikit-learn, so it belongs off the hot path: importing this
module imports it, importing `perennial.drift` doesn't. Lopez-Paz and Oquab 2017, "Revisiting classifier two-sample
tests".
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score

from perennial.drift.report import Verdict
from perennial.profile.model import Profile
from perennial.profile.reservoir import Reservoir

__all__ = ["JointDrift", "check_jointly"]

Floats = NDArray[np.float64]
Marks = NDArray[np.int64]

FEWEST_ROWS = 60
TREES = 200
MOST_CATEGORIES = 30


class JointDrift(BaseModel):
    """
    Whether rows of a window can be told from rows of the reference.

    `auc`: chance that the classifier ranks a row of the window above one of the reference, on rows it did not learn
    from; 0.5 is guessing. `columns`: what it relied on most, strongest first.
    """

    model_config = ConfigDict(frozen=True)

    verdict: Verdict
    auc: float
    p_value: float
    rows: tuple[int, int]
    columns: tuple[str, ...]
    sentence: str


def check_jointly(
    reference: Profile, window: Profile, *, seed: int, level: float = 0.01, min_auc: float = 0.6
) -> JointDrift:
    """
    A two-sample test by classifier on the profiles' row samples.

    Parameters
    ----------
    seed
        Of the classifier: equal inputs give equal answers.
    level
        Chance of a false alarm for rows of one distribution.
    min_auc
        Anything that separates rows less well doesn't count. Batches that differ a little among themselves stay
        below it, since the samples are small.
    """
    rows = (reference.reservoir.rows, window.reservoir.rows)
    names = sorted(set(reference.reservoir.columns) & set(window.reservoir.columns))
    if min(rows) < FEWEST_ROWS or not names:
        sentence = f"the samples must have {FEWEST_ROWS} rows and a column in common. Got {rows} rows instead"
        return JointDrift(verdict="inconclusive", auc=0.5, p_value=1.0, rows=rows, columns=(), sentence=sentence)
    features = _features(reference.reservoir, window.reservoir, names)
    auc, relied = _separate(features, np.repeat([0, 1], rows), seed)
    p_value = _p_value(auc, *rows)
    drifted = p_value <= level and auc >= min_auc
    strong = [place for place in np.argsort(-relied) if relied[place] > 1 / len(names)]
    columns = tuple(names[place] for place in strong[:5]) if drifted else ()
    return JointDrift(
        verdict="drifted" if drifted else "steady",
        auc=auc,
        p_value=p_value,
        rows=rows,
        columns=columns,
        sentence=_sentence(auc, drifted, columns),
    )


def _sentence(auc: float, drifted: bool, columns: Sequence[str]) -> str:
    if drifted:
        return f"rows of the window can be told from the reference's (AUC {auc:.2f}), mostly by {', '.join(columns)}"
    return f"rows of the window can't be told from the reference's (AUC {auc:.2f}; 0.50 is guessing)"


def _features(reference: Reservoir, window: Reservoir, names: Sequence[str]) -> Floats:
    """One number per cell; categories are numbered by how frequent they are, the rare ones and nulls are nan."""
    columns = []
    for name in names:
        old, new = reference.columns[name], window.columns[name]
        if isinstance(old, list):
            columns.append(_numbered([*old, *new]))
        else:
            columns.append(np.concatenate([old, np.asarray(new, float)]))
    return np.column_stack(columns)


def _numbered(values: Sequence[object]) -> Floats:
    counts: dict[object, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    known = sorted((v for v in counts if v is not None), key=lambda v: (-counts[v], str(v)))[:MOST_CATEGORIES]
    place = {value: float(number) for number, value in enumerate(known)}
    return np.array([place.get(value, math.nan) for value in values])


def _separate(features: Floats, marks: Marks, seed: int) -> tuple[float, Floats]:
    """AUC on the rows that each tree didn't see, and how much the trees rely on each column (shares)."""
    forest = RandomForestClassifier(
        TREES, min_samples_leaf=3, max_features=0.5, oob_score=True, random_state=seed, n_jobs=None
    ).fit(features, marks)
    return float(roc_auc_score(marks, forest.oob_decision_function_[:, 1])), forest.feature_importances_


def _p_value(auc: float, old: int, new: int) -> float:
    """One-sided, by the Mann-Whitney variance; rows' scores share trees, so the variance is raised by half."""
    variance = 1.5 * (old + new + 1) / (12 * old * new)
    return math.erfc((auc - 0.5) / math.sqrt(2 * variance)) / 2
