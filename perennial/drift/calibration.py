"""
What is usual: how much batches of the reference differ among themselves, column by column.

Learnt once when a model is trained (`calibrate`), kept as JSON beside the reference, and read at each check. Its
size and the cost of a check don't grow with the history: at most the latest `MOST_BATCHES` batches are kept, each
as a handful of scores a column.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from perennial.drift.distances import Binned
from perennial.drift.effects import FittedSeries, Structure, fit_series
from perennial.drift.places import NO_RESOLUTION, Resolution
from perennial.drift.policy import DriftPolicy
from perennial.drift.scores import (
    CategoryCounts,
    CategoryScorer,
    ColumnCounts,
    NumberCounts,
    NumberScorer,
    Scorer,
    build_scorer,
    share_score,
)
from perennial.drift.spans import Span
from perennial.errors import CalibrationImpossible

__all__ = ["Calibration", "ColumnCalibration", "calibrate_columns", "merge_columns"]

Floats = NDArray[np.float64]

MOST_BATCHES = 120
VERSION = 2


@dataclass(frozen=True, slots=True, eq=False)
class ColumnCalibration:
    """
    One column: how to read a batch of it, what the reference's batches read, and what was learnt of their scatter.

    `usual_effect`, `usual_null_change`: the most by which one reference batch differs from the rest. `usual_novelty`:
    mean share of rows in categories that no other reference batch has.
    """

    scorer: Scorer
    series: Mapping[str, Floats]
    fitted: Mapping[str, FittedSeries]
    usual_effect: float
    usual_null_change: float
    usual_novelty: float
    known: frozenset[str]


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """What batches of a reference usually look like; `sufficient` is false, with the reason, when they are too few."""

    columns: Mapping[str, ColumnCalibration]
    spans: tuple[Span, ...]
    batches: int
    sufficient: bool
    reason: str
    cadence_seconds: float | None = None
    origin: datetime | None = None
    resolution: Resolution = NO_RESOLUTION
    window_batches: int = 1

    @property
    def checks_per_year(self) -> float | None:
        """Batches a year at the reference's cadence; None when its batches carry no times."""
        return 365.25 * 86_400 / self.cadence_seconds if self.cadence_seconds else None

    @property
    def autocorrelation(self) -> float:
        """Correlation of neighbouring batches' effects, the mean over columns of what the model finds likely."""
        kinds = ("location", "shares")
        fits = [c.fitted[kind] for c in self.columns.values() for kind in kinds if kind in c.fitted]
        found = [sum(s.weight * s.rho for s in fit.structures) for fit in fits]
        return float(np.mean(found)) if found else 0.0

    def to_json(self) -> str:
        """Canonical JSON: equal calibrations give equal text."""
        body = {
            "version": VERSION,
            "batches": self.batches,
            "sufficient": self.sufficient,
            "reason": self.reason,
            "cadence_seconds": self.cadence_seconds,
            "origin": self.origin.isoformat() if self.origin else None,
            "resolution": asdict(self.resolution),
            "window_batches": self.window_batches,
            "spans": [asdict(span) for span in self.spans],
            "columns": {name: _column_to_dict(column) for name, column in self.columns.items()},
        }
        return json.dumps(body, sort_keys=True, allow_nan=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Calibration":
        """Read what `to_json` wrote; CalibrationImpossible when it is of another version."""
        body = json.loads(text)
        if body.get("version") != VERSION:
            raise CalibrationImpossible(
                f"the calibration must be of version {VERSION}. Got {body.get('version')!r} instead: calibrate again"
            )
        spans = tuple(Span(tuple(s["positions"]), tuple(s["seasons"]), s["rows"]) for s in body["spans"])
        columns = {name: _column_from_dict(column) for name, column in body["columns"].items()}
        return cls(
            columns=columns,
            spans=spans,
            batches=body["batches"],
            sufficient=body["sufficient"],
            reason=body["reason"],
            cadence_seconds=body["cadence_seconds"],
            origin=datetime.fromisoformat(body["origin"]) if body["origin"] else None,
            resolution=Resolution(**body["resolution"]),
            window_batches=body["window_batches"],
        )


def _column_to_dict(column: ColumnCalibration) -> dict[str, object]:
    scorer = column.scorer
    if isinstance(scorer, NumberScorer):
        read: dict[str, object] = {
            "bounds": scorer.bounds.tolist(),
            "marks": scorer.marks.tolist(),
            "coarse": scorer.coarse.tolist(),
            "location_scale": scorer.location_scale,
            "scale_scale": scorer.scale_scale,
            "shapes": scorer.shapes.tolist(),
            "filled": scorer.filled,
        }
    else:
        read = {"followed": list(scorer.followed), "filled": scorer.filled}
    return {
        "scorer": read,
        "series": {aspect: values.tolist() for aspect, values in column.series.items()},
        "fitted": {aspect: _fit_to_dict(fit) for aspect, fit in column.fitted.items()},
        "usual_effect": column.usual_effect,
        "usual_null_change": column.usual_null_change,
        "usual_novelty": column.usual_novelty,
        "known": sorted(column.known),
    }


def _column_from_dict(body: Mapping[str, object]) -> ColumnCalibration:
    read, series, fitted = body["scorer"], body["series"], body["fitted"]
    assert isinstance(read, dict)
    assert isinstance(series, dict)
    assert isinstance(fitted, dict)
    scorer: Scorer
    if "followed" in read:
        scorer = CategoryScorer(tuple(read["followed"]), read["filled"])
    else:
        scorer = NumberScorer(
            np.array(read["bounds"]),
            np.array(read["marks"]),
            np.array(read["coarse"], np.int64),
            read["location_scale"],
            read["scale_scale"],
            np.array(read["shapes"], float).reshape(len(read["shapes"]), max(read["coarse"]) + 1),
            read["filled"],
        )
    return ColumnCalibration(
        scorer=scorer,
        series={aspect: np.array(values, float) for aspect, values in series.items()},
        fitted={aspect: _fit_from_dict(fit) for aspect, fit in fitted.items()},
        usual_effect=float(body["usual_effect"]),  # type: ignore[arg-type]
        usual_null_change=float(body["usual_null_change"]),  # type: ignore[arg-type]
        usual_novelty=float(body["usual_novelty"]),  # type: ignore[arg-type]
        known=frozenset(body["known"]),  # type: ignore[call-overload]
    )


def _fit_to_dict(fit: FittedSeries) -> dict[str, object]:
    """JSON has no infinity: a normal tail is null there, an infinite number of degrees of freedom too."""
    structures = [asdict(part) | {"df": None if math.isinf(part.df) else part.df} for part in fit.structures]
    tails = [(None if math.isinf(tail) else tail, weight) for tail, weight in fit.tails]
    return {"noise_share": fit.noise_share, "dimensions": fit.dimensions, "structures": structures, "tails": tails}


def _fit_from_dict(body: Mapping[str, object]) -> FittedSeries:
    structures = body["structures"]
    assert isinstance(structures, list)
    return FittedSeries(
        float(body["noise_share"]),  # type: ignore[arg-type]
        float(body["dimensions"]),  # type: ignore[arg-type]
        tuple(Structure(**s | {"df": math.inf if s["df"] is None else s["df"]}) for s in structures),
        tuple((math.inf if tail is None else tail, weight) for tail, weight in body["tails"]),  # type: ignore[attr-defined]
    )


def merge_columns(parts: Sequence[ColumnCounts]) -> ColumnCounts:
    """One column over several batches."""
    first = parts[0]
    nulls = float(sum(part.nulls for part in parts))
    if isinstance(first, CategoryCounts):
        counts: dict[str, float] = {}
        unlisted = 0.0
        for part in parts:
            if isinstance(part, CategoryCounts):
                unlisted += part.unlisted
                for name, count in part.counts.items():
                    counts[name] = counts.get(name, 0.0) + count
        return CategoryCounts(counts, unlisted, nulls)
    numbers = [part.binned for part in parts if isinstance(part, NumberCounts)]
    return NumberCounts(
        Binned.of(np.concatenate([b.values for b in numbers]), np.concatenate([b.counts for b in numbers])), nulls
    )


def calibrate_columns(
    batches: Sequence[Mapping[str, ColumnCounts]],
    spans: Sequence[Span],
    *,
    policy: DriftPolicy,
    cadence_seconds: float | None = None,
    origin: datetime | None = None,
    resolution: Resolution = NO_RESOLUTION,
    window_batches: int = 1,
) -> Calibration:
    """Learn from the columns of each batch, in the order of time."""
    kept, spans = batches[-MOST_BATCHES:], tuple(spans)[-MOST_BATCHES:]
    if len(kept) < 3:
        reason = f"{len(batches)} reference batches say nothing of how batches differ"
        return Calibration({}, spans, len(batches), False, _too_few(reason, policy))
    names = [name for name in kept[-1] if all(name in batch for batch in kept)]
    read = {name: _read_column([batch[name] for batch in kept]) for name in names}
    fitted = _fit_aspects({name: column.series for name, column in read.items()}, spans)
    columns = {
        name: ColumnCalibration(
            column.scorer,
            column.series,
            fitted[name],
            column.usual_effect,
            column.usual_null_change,
            column.usual_novelty,
            column.known,
        )
        for name, column in read.items()
    }
    sufficient = len(batches) >= policy.min_reference_batches
    reason = f"calibrated on {len(batches)} reference batches"
    if not sufficient:
        reason = _too_few(f"only {len(batches)} reference batches", policy)
    return Calibration(
        columns, spans, len(batches), sufficient, reason, cadence_seconds, origin, resolution, window_batches
    )


def _too_few(found: str, policy: DriftPolicy) -> str:
    return f"{found}; {policy.min_reference_batches} are needed to calibrate, so conservative fixed thresholds apply"


def _read_column(parts: Sequence[ColumnCounts]) -> ColumnCalibration:
    """Scores of each batch, and the most by which one of them differs from the rest."""
    pooled = merge_columns(parts)
    scorer = build_scorer(pooled)
    scored = [scorer.score(part) for part in parts]  # type: ignore[arg-type]
    series = {aspect: _filled(np.array([score[aspect] for score in scored])) for aspect in scored[0]}
    null_rates = np.array([part.nulls / part.rows if part.rows else 0.0 for part in parts])
    novelty = np.zeros(len(parts))
    known: frozenset[str] = frozenset()
    if isinstance(pooled, CategoryCounts):
        known = frozenset(pooled.counts)
        novelty = _novelty(parts)
        series["novelty"] = np.array([[share_score(share, 1.0)] for share in novelty])
    return ColumnCalibration(
        scorer=scorer,
        series=series,
        fitted={},
        usual_effect=float(_leave_one_out_effects(parts).max()),
        usual_null_change=float(np.max(np.abs(null_rates - null_rates.mean()))),
        usual_novelty=float(novelty.mean()),
        known=known,
    )


def _filled(values: Floats) -> Floats:
    """Batches without a value say nothing: they take the mean of the others."""
    empty = np.isnan(values).any(axis=1)
    if empty.all():
        return np.zeros_like(values)
    values = values.copy()
    values[empty] = values[~empty].mean(axis=0)
    return values


def _novelty(parts: Sequence[ColumnCounts]) -> Floats:
    """Share of each batch's rows whose category no other batch has."""
    seen: dict[str, int] = {}
    for part in parts:
        if isinstance(part, CategoryCounts):
            for name in part.counts:
                seen[name] = seen.get(name, 0) + 1
    shares = []
    for part in parts:
        assert isinstance(part, CategoryCounts)
        own = sum(count for name, count in part.counts.items() if seen[name] == 1)
        shares.append(own / part.rows if part.rows else 0.0)
    return np.array(shares)


def _leave_one_out_effects(parts: Sequence[ColumnCounts]) -> Floats:
    """KS (numbers) or total variation (categories) of each batch against all others together."""
    numeric = isinstance(parts[0], NumberCounts)
    table = _bins_table(parts) if numeric else _category_table(parts)
    rest = table.sum(axis=0) - table
    rows, others = table.sum(axis=1, keepdims=True), rest.sum(axis=1, keepdims=True)
    gaps = table / np.maximum(rows, 1) - rest / np.maximum(others, 1)
    size = np.abs(np.cumsum(gaps, axis=1)).max(axis=1, initial=0) if numeric else np.abs(gaps).sum(axis=1) / 2
    return np.where((rows > 0).ravel() & (others > 0).ravel(), size, 0.0)


def _bins_table(parts: Sequence[ColumnCounts]) -> Floats:
    sides = [part.binned for part in parts if isinstance(part, NumberCounts)]
    places = np.unique(np.concatenate([side.values for side in sides]))
    table = np.zeros((len(sides), len(places)))
    for row, side in enumerate(sides):
        table[row, np.searchsorted(places, side.values)] = side.counts
    return table


def _category_table(parts: Sequence[ColumnCounts]) -> Floats:
    sides = [part for part in parts if isinstance(part, CategoryCounts)]
    names = sorted({name for side in sides for name in side.counts})
    return np.array([[*(side.counts.get(name, 0.0) for name in names), side.unlisted] for side in sides])


def _fit_aspects(
    series: Mapping[str, Mapping[str, Floats]], spans: Sequence[Span]
) -> dict[str, dict[str, FittedSeries]]:
    """Fit columns together, one kind of score at a time, so that they lend each other strength."""
    fitted: dict[str, dict[str, FittedSeries]] = {name: {} for name in series}
    for aspect in sorted({aspect for scores in series.values() for aspect in scores}):
        names = [name for name, scores in series.items() if aspect in scores]
        for name, fit in zip(names, fit_series([series[name][aspect] for name in names], spans), strict=True):
            fitted[name][aspect] = fit
    return fitted
