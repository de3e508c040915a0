"""
One drift check: window against reference, judged by how batches of the reference differ among themselves.

Each aspect of a column (location, scale, shape, mix of categories, nulls, new categories) gets a p-value from the
random-effects model of `perennial.drift.effects`, for a change in this window and for one that began some windows
ago. A fixed share of the column's budget belongs to each (most to location and mix, where most drift shows): the
column's p-value is the smallest of them after that weighting. Columns are then adjusted after Benjamini and
Hochberg. The check alarms when the smallest adjusted value is below the level that follows from the budget; given
an alarm, all columns below `warn_fdr` are named.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from perennial.drift.calibration import Calibration
from perennial.drift.distances import benjamini_hochberg
from perennial.drift.measure import Measured, Usual, measure_column, sentence
from perennial.drift.policy import DriftPolicy
from perennial.drift.prediction import Predictor
from perennial.drift.report import ColumnDrift, DriftReport, Verdict, WindowEvidence
from perennial.drift.scores import CategoryCounts, ColumnCounts, Scorer, build_scorer, share_score
from perennial.drift.spans import Span

__all__ = ["check_columns"]

Floats = NDArray[np.float64]

ASPECT_SHARES = {
    "location": 0.86,
    "scale": 0.06,
    "shape": 0.04,
    "shares": 0.91,
    "nulls": 0.04,
    "novelty": 0.05,
}
PLAINEST = ("location", "scale", "shape")
THIS_WINDOW_SHARE = 0.4
STEPS = (1, 2, 4, 8)
SPENT = 0.9
"""Part of the budget that is spent: how batches scatter is itself only estimated, from few batches."""
UNCALIBRATED_LEVEL = 0.01
"""Most that a check may spend while nothing is calibrated: p-values that take rows for independent are too small."""
FAR = 1e6
"""Place in time of windows whose distance from the reference isn't known: so far that nothing is correlated."""


@dataclass(frozen=True, slots=True)
class _Evidence:
    """The strongest aspect of one column: its p-value, and over how many of the last windows it shows best."""

    p_value: float
    aspect: str
    step: int


def check_columns(
    reference: Mapping[str, ColumnCounts],
    window: Mapping[str, ColumnCounts],
    *,
    rows: int,
    calibration: Calibration | None,
    policy: DriftPolicy,
    weights: Mapping[str, float] | None = None,
    history: Sequence[WindowEvidence] = (),
    now: datetime | None = None,
    positions: Sequence[float] | None = None,
    seasons: Sequence[str] = ("",),
    scored: Mapping[str, ColumnCounts] | None = None,
) -> DriftReport:
    """
    The check of `perennial.drift.check`, on columns.

    Parameters
    ----------
    reference, window
        Columns at one resolution.
    rows
        Rows of the window.
    positions, seasons
        Place in time and season of each batch of the window; positions None where they aren't known.
    scored
        The window at the calibration's resolution, where that is another one.
    """
    weights = policy.weights if weights is None else weights
    scored = window if scored is None else scored
    usable = calibration if calibration is not None and calibration.sufficient else None
    shared = _shared(reference, window, weights)
    scorers = {name: _scorer(name, reference[name], calibration) for name in shared}
    measured = {name: measure_column(reference[name], window[name], scorers[name]) for name in shared}
    evidence = WindowEvidence(
        at=now,
        rows=rows,
        positions=tuple(positions) if positions is not None else None,
        seasons=tuple(seasons),
        scores={name: _scores(name, scored[name], scorers[name], usable) for name in shared} if usable else {},
    )
    level = policy.alarm_level(calibration.checks_per_year if calibration else None)
    lacking = _lacking(rows, shared, policy)
    if lacking:
        return _inconclusive(lacking, usable is not None, level, evidence)
    if usable:
        found = _calibrated_evidence(shared, measured, usable, [*history, evidence], policy)
    else:
        found = {name: _uncalibrated_evidence(name, measured[name], calibration, policy) for name in shared}
    return _judge(measured, found, usable, calibration, policy, weights, [*history, evidence], level)


def _shared(
    reference: Mapping[str, ColumnCounts], window: Mapping[str, ColumnCounts], weights: Mapping[str, float]
) -> list[str]:
    """Columns that both sides have, of the same kind, that take part, and that hold a value on either side."""
    return [
        name
        for name, column in reference.items()
        if isinstance(window.get(name), type(column))
        and weights.get(name, 1.0) > 0
        and (column.nulls < column.rows or window[name].nulls < window[name].rows)
    ]


def _lacking(rows: int, shared: Sequence[str], policy: DriftPolicy) -> str | None:
    """What a window lacks to be judged; None when nothing."""
    if rows < policy.min_rows:
        return f"the window must have at least {policy.min_rows} rows. Got {rows} instead"
    return None if shared else "no column of the window is of the same name and type in the reference"


def _inconclusive(reason: str, calibrated: bool, level: float, evidence: WindowEvidence) -> DriftReport:
    return DriftReport(
        verdict="inconclusive",
        columns=(),
        reasons=(reason,),
        calibrated=calibrated,
        alarm_level=level,
        evidence=evidence,
    )


def _scorer(name: str, reference: ColumnCounts, calibration: Calibration | None) -> Scorer:
    if calibration is not None and name in calibration.columns:
        return calibration.columns[name].scorer
    return build_scorer(reference)


def _scores(name: str, column: ColumnCounts, scorer: Scorer, calibration: Calibration) -> dict[str, tuple[float, ...]]:
    """Scores of a window's column, those of it that can be told: a column of nulls has no location."""
    scores = scorer.score(column)  # type: ignore[arg-type]
    told = {aspect: tuple(value.tolist()) for aspect, value in scores.items() if not np.isnan(value).any()}
    if isinstance(column, CategoryCounts) and name in calibration.columns:
        told["novelty"] = (share_score(_unseen(column, calibration.columns[name].known), 1.0),)
    return told


def _unseen(column: CategoryCounts, known: frozenset[str]) -> float:
    rows = column.rows
    return sum(count for name, count in column.counts.items() if name not in known) / rows if rows else 0.0


def _calibrated_evidence(
    names: Sequence[str],
    measured: Mapping[str, Measured],
    calibration: Calibration,
    windows: Sequence[WindowEvidence],
    policy: DriftPolicy,
) -> dict[str, _Evidence]:
    """The strongest aspect of each column by the random-effects model."""
    windows = windows[-max(STEPS) :]
    found: dict[str, list[_Evidence]] = {name: [] for name in names}
    tests: dict[int, list[tuple[str, str]]] = {}
    for name in names:
        fitted = calibration.columns[name].fitted if name in calibration.columns else {}
        for aspect in windows[-1].scores[name]:
            if aspect in fitted and _effect(name, aspect, measured[name], calibration) >= policy.floor(name):
                tests.setdefault(_first_complete(name, aspect, windows), []).append((name, aspect))
    for first, tested in tests.items():
        for (name, _), evidence in zip(tested, _test(tested, calibration, windows[first:]), strict=True):
            found[name].append(evidence)
    return {name: _strongest(found[name], measured[name]) for name in names}


def _test(
    tested: Sequence[tuple[str, str]], calibration: Calibration, windows: Sequence[WindowEvidence]
) -> list[_Evidence]:
    """The evidence in columns' aspects that all of `windows` have, all worked out together."""
    steps = [step for step in STEPS if step <= len(windows)]
    p_values, sizes = _predictor(calibration, windows).steps(
        fitted=[calibration.columns[name].fitted[aspect] for name, aspect in tested],
        reference=[calibration.columns[name].series[aspect] for name, aspect in tested],
        windows=[np.array([window.scores[name][aspect] for window in windows]) for name, aspect in tested],
        tested=steps,
    )
    shares = _step_shares(len(steps))
    return [
        _Evidence(min(float(np.min(row / shares)) / ASPECT_SHARES[aspect], 1.0), aspect, 1 + int(np.argmax(size)))
        for (_, aspect), row, size in zip(tested, p_values, sizes, strict=True)
    ]


def _strongest(found: Sequence[_Evidence], measured: Measured) -> _Evidence:
    """
    The smallest p-value, under the name of the plainest aspect that is as good as certain.

    A column that moves far changes shape as well, and more surely so: that it moved says more to a person.
    """
    if not found:
        return _Evidence(1.0, "location" if measured.kind == "number" else "shares", 1)
    best = min(found, key=lambda evidence: evidence.p_value)
    if best.aspect in PLAINEST:
        certain = [e for e in found if e.aspect in PLAINEST and e.p_value <= max(best.p_value, 1e-4)]
        best = replace(min(certain, key=lambda e: PLAINEST.index(e.aspect)), p_value=best.p_value)
    return best


def _effect(name: str, aspect: str, measured: Measured, calibration: Calibration) -> float:
    usual = calibration.columns[name].usual_novelty if aspect == "novelty" else 0.0
    return measured.effect_of(aspect) - usual


def _first_complete(name: str, aspect: str, windows: Sequence[WindowEvidence]) -> int:
    """Index of the oldest window from which on every window has this aspect of the column."""
    first = len(windows) - 1
    while first and aspect in windows[first - 1].scores.get(name, {}):
        first -= 1
    return first


def _predictor(calibration: Calibration, windows: Sequence[WindowEvidence]) -> Predictor:
    placed = all(window.positions is not None for window in windows)
    spans = []
    for place, window in enumerate(windows):
        if placed and window.positions is not None:
            positions = window.positions
        else:
            positions = tuple(FAR + place + batch for batch in range(len(window.seasons)))
        spans.append(Span(positions, window.seasons, window.rows))
    return Predictor(calibration.spans, spans, placed=placed)


def _step_shares(count: int) -> Floats:
    """Share of a column's budget for a change in this window, and for those that began earlier."""
    if count == 1:
        return np.ones(1)
    return np.array([THIS_WINDOW_SHARE] + [(1 - THIS_WINDOW_SHARE) / (count - 1)] * (count - 1))


def _uncalibrated_evidence(
    name: str, measured: Measured, calibration: Calibration | None, policy: DriftPolicy
) -> _Evidence:
    """
    Without a calibration: only changes beyond the fixed thresholds count, and only if rows can't explain them.

    Where a few reference batches show larger differences among themselves, these are the threshold, plus a half.
    """
    usual = calibration.columns.get(name) if calibration is not None else None
    fixed = policy.fallback_ks if measured.kind == "number" else policy.fallback_share
    candidates = [
        ("location" if measured.kind == "number" else "shares", measured.sampling_p_value, fixed),
        ("nulls", measured.null_p_value, policy.fallback_null),
        ("novelty", measured.sampling_p_value, policy.fallback_share),
    ]
    best = _Evidence(1.0, candidates[0][0], 1)
    for aspect, p_value, threshold in candidates:
        seen = 0.0
        if usual is not None:
            seen = usual.usual_null_change if aspect == "nulls" else usual.usual_effect
        beyond = measured.effect_of(aspect) >= max(threshold, 1.5 * seen)
        if beyond and p_value < best.p_value:
            best = _Evidence(p_value, aspect, 1)
    return best


def _judge(
    measured: Mapping[str, Measured],
    found: Mapping[str, _Evidence],
    usable: Calibration | None,
    calibration: Calibration | None,
    policy: DriftPolicy,
    weights: Mapping[str, float],
    windows: Sequence[WindowEvidence],
    level: float,
) -> DriftReport:
    adjusted = _adjust(found, weights)
    limit = SPENT * level if usable else min(level, UNCALIBRATED_LEVEL)
    # A budget looser than the warning's would otherwise raise an alarm about no column at all.
    raised = tuple(name for name, value in adjusted.items() if value <= max(policy.warn_fdr, limit))
    alarm = min(adjusted.values()) <= limit
    before = windows[:-1][-(policy.confirm - 1) :] if policy.confirm > 1 else ()
    unconfirmed = alarm and not (len(before) == policy.confirm - 1 and all(window.raised for window in before))
    confirmed = alarm and (policy.confirm == 1 or not unconfirmed)
    columns = tuple(
        _column(name, measured[name], found[name], adjusted[name], name in raised, confirmed, usable, weights, windows)
        for name in sorted(measured, key=lambda name: (adjusted[name], -measured[name].distribution_effect, name))
    )
    evidence = windows[-1].model_copy(update={"raised": raised if alarm else ()})
    verdict: Verdict = "drifted" if confirmed else "steady"
    since = [column.since for column in columns if column.drifted and column.since is not None]
    return DriftReport(
        verdict=verdict,
        columns=columns,
        reasons=_reasons(columns, alarm, confirmed, calibration, policy),
        since=min(since) if since else None,
        calibrated=usable is not None,
        alarm_level=level,
        evidence=evidence,
    )


def _adjust(found: Mapping[str, _Evidence], weights: Mapping[str, float]) -> dict[str, float]:
    """p-values adjusted over columns, each with its share of the budget."""
    shares = [max(weights.get(name, 1.0), 0.0) for name in found]
    adjusted = benjamini_hochberg([evidence.p_value for evidence in found.values()], shares)
    return dict(zip(found, adjusted.tolist(), strict=True))


def _column(
    name: str,
    measured: Measured,
    evidence: _Evidence,
    adjusted: float,
    raised: bool,
    confirmed: bool,
    usable: Calibration | None,
    weights: Mapping[str, float],
    windows: Sequence[WindowEvidence],
) -> ColumnDrift:
    usual = None
    if usable is not None and name in usable.columns:
        column = usable.columns[name]
        usual = {"nulls": column.usual_null_change, "novelty": column.usual_novelty}.get(
            evidence.aspect, column.usual_effect
        )
    since = _since(name, evidence.step, windows) if raised else None
    return ColumnDrift(
        name=name,
        kind="number" if measured.kind == "number" else "category",
        ks=measured.ks,
        wasserstein_normed=measured.wasserstein_normed,
        psi=measured.psi,
        jensen_shannon=measured.jensen_shannon,
        total_variation=measured.total_variation,
        cramers_v=measured.cramers_v,
        null_rate_reference=measured.null_rates[0],
        null_rate_window=measured.null_rates[1],
        null_rate_change=measured.null_rate_change,
        new_category_share=measured.new_category_share,
        effect=max(measured.distribution_effect, abs(measured.null_rate_change)),
        usual_effect=usual,
        changed=evidence.aspect,
        p_value=evidence.p_value,
        adjusted_p_value=adjusted,
        weight=weights.get(name, 1.0),
        drifted=raised and confirmed,
        warned=raised and not confirmed,
        since=since,
        sentence=sentence(
            name,
            measured,
            evidence.aspect,
            usual=Usual(usual, usable.batches) if usable and usual is not None else None,
            raised=raised,
            windows=evidence.step,
        ),
    )


def _since(name: str, step: int, windows: Sequence[WindowEvidence]) -> datetime | None:
    """When the change began that shows best over the last `step` windows, alarms right before them included."""
    first = len(windows) - step
    while first and name in windows[first - 1].raised:
        first -= 1
    return windows[first].at


def _reasons(
    columns: Sequence[ColumnDrift],
    alarm: bool,
    confirmed: bool,
    calibration: Calibration | None,
    policy: DriftPolicy,
) -> tuple[str, ...]:
    reasons = [column.sentence for column in columns if column.drifted or column.warned]
    if alarm and not confirmed:
        reasons.insert(0, f"not yet confirmed: {policy.confirm} consecutive windows must drift")
    elif not alarm and reasons:
        reasons.insert(0, "within the budget of false alarms, so no alarm, but worth a look:")
    elif not reasons:
        reasons.append("no column moved by more than batches of the reference differ among themselves")
    if calibration is None:
        reasons.append("nothing is calibrated, so conservative fixed thresholds apply")
    elif not calibration.sufficient:
        reasons.append(calibration.reason)
    return tuple(reasons)
