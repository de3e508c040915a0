"""Every effect size of one column, and the sentence that tells a person what moved."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perennial.drift.distances import (
    Binned,
    aligned_categories,
    chi_square,
    cramers_v,
    cumulative_gaps,
    jensen_shannon,
    kolmogorov_p_value,
    population_stability_index,
    total_variation,
)
from perennial.drift.scores import CategoryCounts, CategoryScorer, ColumnCounts, NumberCounts, NumberScorer, Scorer

Floats = NDArray[np.float64]

__all__ = ["Measured", "Usual", "measure_column", "sentence"]


@dataclass(frozen=True, slots=True)
class Measured:
    """Effect sizes of one column, and p-values as if rows were independent (they hold for a single batch only)."""

    kind: str
    ks: float | None
    wasserstein_normed: float | None
    psi: float | None
    jensen_shannon: float | None
    total_variation: float | None
    cramers_v: float | None
    null_rates: tuple[float, float]
    new_category_share: float
    sampling_p_value: float
    null_p_value: float
    moved: str
    shape_effect: float = 0.0
    spreads: Callable[[], tuple[float, float]] | None = None

    @property
    def distribution_effect(self) -> float:
        """KS for numbers, total variation for categories; 0 when a side has no values."""
        value = self.ks if self.kind == "number" else self.total_variation
        return value if value is not None and np.isfinite(value) else 0.0

    @property
    def reshaped(self) -> str:
        """How a number's spread changed; worked out when it is asked for, which few columns are."""
        old, new = self.spreads() if self.spreads is not None else (0.0, 0.0)
        return f"changed shape: spread {_short(old)} -> {_short(new)}"

    @property
    def null_rate_change(self) -> float:
        """Null rate of the window less that of the reference."""
        return self.null_rates[1] - self.null_rates[0]

    def effect_of(self, aspect: str) -> float:
        """Effect size, as a share of rows, of what an aspect's test looks at."""
        if aspect == "nulls":
            return abs(self.null_rate_change)
        if aspect == "shape":
            return self.shape_effect
        return self.new_category_share if aspect == "novelty" else self.distribution_effect


def measure_column(
    reference: ColumnCounts,
    window: ColumnCounts,
    scorer: Scorer,
) -> Measured:
    """All effect sizes of `window` against `reference`."""
    null_rates = (_null_rate(reference), _null_rate(window))
    null_p = _null_p_value(reference, window)
    if isinstance(reference, NumberCounts) and isinstance(window, NumberCounts) and isinstance(scorer, NumberScorer):
        return _measure_number(reference, window, scorer, null_rates, null_p)
    assert isinstance(reference, CategoryCounts)
    assert isinstance(window, CategoryCounts)
    assert isinstance(scorer, CategoryScorer)
    return _measure_category(reference, window, scorer, null_rates, null_p)


def _null_rate(column: ColumnCounts) -> float:
    return column.nulls / column.rows if column.rows else 0.0


def _null_p_value(reference: ColumnCounts, window: ColumnCounts) -> float:
    if not reference.nulls and not window.nulls:
        return 1.0
    left, right = ([side.nulls, side.rows - side.nulls] for side in (reference, window))
    return chi_square(left, right)[2]


def _measure_number(
    reference: NumberCounts,
    window: NumberCounts,
    scorer: NumberScorer,
    null_rates: tuple[float, float],
    null_p: float,
) -> Measured:
    old, new = reference.binned, window.binned
    ks, moved = cumulative_gaps(old, new)
    spread = old.spread
    fine = scorer.groups(old), scorer.groups(new)
    coarse = scorer.coarsen(fine[0]), scorer.coarsen(fine[1])
    return Measured(
        kind="number",
        ks=_finite(ks),
        wasserstein_normed=_finite(moved / spread if spread else float(moved > 0)),
        psi=_finite(population_stability_index(*coarse)),
        jensen_shannon=_finite(jensen_shannon(*fine)),
        total_variation=None,
        cramers_v=None,
        null_rates=null_rates,
        new_category_share=0.0,
        sampling_p_value=kolmogorov_p_value(ks, old.rows, new.rows),
        null_p_value=null_p,
        moved=_how_a_number_moved(old, new, scorer.location(fine[1]) - scorer.location(fine[0])),
        shape_effect=_shape_effect(scorer, *coarse),
        spreads=lambda: (spread, new.spread),
    )


def _shape_effect(scorer: NumberScorer, old: Floats, new: Floats) -> float:
    """At most what share of rows changed group for other reasons than location and scale (Cauchy and Schwarz)."""
    if not old.sum() or not new.sum():
        return 0.0
    moved = scorer.shapes @ (np.sqrt(new / new.sum()) - np.sqrt(old / old.sum()))
    return float(np.sqrt(moved @ moved))


def _how_a_number_moved(old: Binned, new: Binned, shift: float) -> str:
    if not len(old.values) or not len(new.values):
        return "has no values on one side"
    medians = (old.median, new.median)
    middle, name = (medians, "median")
    if medians[0] == medians[1]:
        means = [float(np.average(side.values, weights=side.counts)) for side in (old, new)]
        middle, name = (means[0], means[1]), "mean"
    return f"moved {'up' if shift > 0 else 'down'}: {name} {_short(middle[0])} -> {_short(middle[1])}"


def _measure_category(
    reference: CategoryCounts,
    window: CategoryCounts,
    scorer: CategoryScorer,
    null_rates: tuple[float, float],
    null_p: float,
) -> Measured:
    old, new = scorer.groups(reference), scorer.groups(window)
    names, left, right = aligned_categories(reference.counts, window.counts)
    left, right = np.append(left, reference.unlisted), np.append(right, window.unlisted)
    unseen = float(right[:-1][left[:-1] == 0].sum()) / window.rows if window.rows else 0.0
    return Measured(
        kind="category",
        ks=None,
        wasserstein_normed=None,
        psi=population_stability_index(old, new),
        jensen_shannon=_finite(jensen_shannon(left, right)),
        total_variation=_finite(total_variation(left, right)),
        cramers_v=cramers_v(old, new),
        null_rates=null_rates,
        new_category_share=unseen,
        sampling_p_value=chi_square(old, new)[2],
        null_p_value=null_p,
        moved=_how_categories_moved(names, left, right),
    )


def _how_categories_moved(names: list[str], left: Floats, right: Floats) -> str:
    if not left.sum() or not right.sum() or not names:
        return "has no values on one side"
    old, new = left / left.sum(), right / right.sum()
    most = int(np.argmax(np.abs(new - old)[: len(names)]))
    return f"has another mix: {names[most]!r} {old[most]:.1%} -> {new[most]:.1%} of rows"


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _short(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1e5 else f"{value:,.0f}"


@dataclass(frozen=True, slots=True)
class Usual:
    """What a column's change is held against: the most by which one of `batches` of the reference differs."""

    effect: float
    batches: int


def sentence(name: str, measured: Measured, aspect: str, *, usual: Usual | None, raised: bool, windows: int = 1) -> str:
    """
    One line for a person: what moved, by how much, and how that compares with what is usual.

    Parameters
    ----------
    raised
        Whether the column is named in an alarm or a warning: how likely chance is, is not for this sentence to say.
    windows
        In how many of the last windows it shows.
    """
    if aspect == "nulls":
        change = (
            f"{name} has nulls in {measured.null_rates[1]:.1%} of rows, {measured.null_rates[0]:.1%} in the reference"
        )
        size = abs(measured.null_rate_change)
    elif aspect == "novelty":
        change = f"{name} has categories that the reference lacks in {measured.new_category_share:.1%} of rows"
        size = measured.new_category_share
    else:
        size = measured.distribution_effect
        label = "KS" if measured.kind == "number" else "share moved"
        how = measured.reshaped if aspect in ("scale", "shape") else measured.moved
        change = f"{name} {how}, {label} {size:.2f}"
    lasting = f"; it shows over {windows} windows" if raised and windows > 1 else ""
    if usual is None:
        return change + lasting
    differ = f"{usual.batches} reference batches differ among themselves (at most {usual.effect:.2f})"
    return f"{change}, {_compare(size, usual.effect, raised)} {differ}{lasting}"


def _compare(size: float, usual: float, raised: bool) -> str:
    if not raised:
        return "within how much" if size <= usual else "more than, but not beyond chance, how"
    if size > 2 * usual:
        return "far outside how"
    if size > usual:
        return "outside how"
    return "beyond chance, if within how much"
