"""The page of one drift check: what changed, by how much, since when, and how that compares with what is usual."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from perennial.drift.report import ColumnDrift, DriftReport
from perennial.report.charts import drift_heatmap
from perennial.report.drift_charts import effect_over_time, histogram_pair
from perennial.report.furniture import chip, legend, page, section, tiles
from perennial.report.markup import Markup, cell, element, join, table, text
from perennial.report.story import DriftCell, DriftPage, HistogramPair, SummaryRow, Tone

if TYPE_CHECKING:
    from perennial.profile.model import Profile

__all__ = ["drift_page", "render_drift"]

MOST_SHOWN = 12
"""Columns that get plots of their own; the table has all."""
MOST_IN_HEATMAP = 40
_TONES: dict[str, Tone] = {"drifted": "bad", "steady": "good", "inconclusive": "warning"}
_ASPECTS = {
    "location": "moved",
    "scale": "spread",
    "shape": "shape",
    "shares": "mix of categories",
    "nulls": "empty cells",
    "novelty": "new categories",
    "association": "goes together differently",
}
_LEGEND = (("■", "reference", "reference"), ("■", "window", "this window"), ("◆", "bad", "counted as drift"))


def drift_page(
    report: DriftReport,
    reference: Profile,
    window: Profile,
    *,
    title: str,
    subtitle: str = "",
    earlier: Sequence[DriftReport] = (),
    notes: Sequence[str] = (),
) -> DriftPage:
    """
    What a person needs beside the report: plots of the columns that matter, and how it came to this.

    Parameters
    ----------
    earlier
        Reports of the windows since the reference, oldest first.
    """
    names = _named([*earlier, report])
    told = {column.name for column in _shown_alone(report)}
    cells = [
        DriftCell(name, column.name, column.effect, column.drifted)
        for name, one in zip(names, [*earlier, report], strict=True)
        for column in one.columns
    ]
    pairs = [_pair(column.name, reference, window) for column in report.columns if column.name in told]
    return DriftPage(title, subtitle, tuple(pairs), tuple(cells), names[-1], tuple(notes))


def _named(reports: Sequence[DriftReport]) -> list[str]:
    """A name for each window, by its time where it has one; no two alike."""
    found: list[str] = []
    for place, report in enumerate(reports):
        at = report.evidence.at
        name = _moment(at) if at is not None else f"window {place + 1}"
        found.append(name if name not in found else f"{name} ({place + 1})")
    return found


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d}" if (at.hour, at.minute) == (0, 0) else f"{at:%Y-%m-%d %H:%M}"


def _pair(name: str, reference: Profile, window: Profile) -> HistogramPair:
    from perennial.drift.shares import compare_shares  # a story is told without arrays

    shares = compare_shares(reference, window, name)
    return HistogramPair(name, shares.labels, shares.reference, shares.window, shares.kind)


def _shown_alone(report: DriftReport) -> list[ColumnDrift]:
    """Columns with plots: those that drifted or are worth a look, the most certain first; else what moved most."""
    marked = [column for column in report.columns if column.drifted or column.warned]
    return marked[:MOST_SHOWN] or sorted(report.columns, key=lambda column: -column.effect)[:2]


def render_drift(report: DriftReport, told: DriftPage | None = None) -> str:
    """The page of one drift check, as HTML."""
    told = told or DriftPage("Drift check")
    sections = [
        tiles(_summary(report)),
        _changes(report, told),
        _over_time(told),
        _table(report),
        _method(report, told),
    ]
    return page(told.title, told.subtitle, [part for part in sections if part])


def _summary(report: DriftReport) -> list[SummaryRow]:
    count = len(report.drifted_columns)
    rows = [SummaryRow("Verdict", report.verdict, tone=_TONES[report.verdict])]
    if report.columns:
        rows.append(SummaryRow("Columns that drifted", str(count), f"of {len(report.columns)} that were looked at"))
    if report.since is not None:
        rows.append(SummaryRow("Since", _moment(report.since), "the first window that it shows in"))
    rows.append(SummaryRow("Rows in the window", f"{report.evidence.rows:,}"))
    usual = "learnt from the reference's own batches" if report.calibrated else "fixed thresholds, nothing was learnt"
    rows.append(SummaryRow("False alarms allowed", f"{100 * report.alarm_level:.3g}% of checks", usual))
    return rows


def _changes(report: DriftReport, told: DriftPage) -> Markup:
    columns = _shown_alone(report) if report.columns else []
    marked = any(column.drifted or column.warned for column in columns)
    heading = "What changed" if marked else "What moved most" if columns else "Why there is no answer"
    sentences = report.reasons if not marked else [r for r in report.reasons if r not in {c.sentence for c in columns}]
    lead = element("ul", *(element("li", text(reason)) for reason in sentences)) if sentences else Markup("")
    cards = join(_card(column, told) for column in columns)
    more = len(report.drifted_columns) - MOST_SHOWN
    rest = element("p", text(f"{more} more columns drifted: see the table."), class_="lead") if more > 0 else Markup("")
    content = [lead, legend(_LEGEND), element("div", cards, class_="columns"), rest] if columns else [lead]
    return section(heading, "", *content)


def _card(column: ColumnDrift, told: DriftPage) -> Markup:
    pair = next((pair for pair in told.histograms if pair.column == column.name), None)
    cells = [each for each in told.history if each.column == column.name]
    chips = [_chip(column)] if column.drifted or column.warned else []
    heading = element("h3", text(f"{column.name} "), *chips)
    parts = [heading, element("p", text(column.sentence + "."), class_="what"), _facts(column)]
    if pair is not None and pair.labels:
        parts += [element("h4", text("Shares of rows")), histogram_pair(pair)]
    if len(cells) > 1:
        usual = "; shaded: usual among the reference's batches" if column.usual_effect else ""
        parts += [element("h4", text(f"Effect, window by window{usual}")), effect_over_time(cells, column.usual_effect)]
    return element("article", *parts, class_="column")


def _chip(column: ColumnDrift) -> Markup:
    return chip("drifted", "bad") if column.drifted else chip("worth a look", "warning")


def _facts(column: ColumnDrift) -> Markup:
    facts = [("Changed", _ASPECTS.get(column.changed, column.changed)), ("Effect", f"{column.effect:.3f}")]
    if column.usual_effect is not None:
        facts.append(("Usual, at most", f"{column.usual_effect:.3f}"))
    if column.since is not None:
        facts.append(("Since", _moment(column.since)))
    if column.weight != 1.0:
        facts.append(("Weight", f"{column.weight:.2f}"))
    return element(
        "dl",
        *(element("div", element("dt", text(name)), element("dd", text(value))) for name, value in facts),
        class_="facts",
    )


def _over_time(told: DriftPage) -> Markup:
    batches = list(dict.fromkeys(each.batch for each in told.history))
    if len(batches) < 2:
        return Markup("")
    largest: dict[str, float] = {}
    for each in told.history:
        largest[each.column] = max(largest.get(each.column, 0.0), each.effect)
    kept = sorted(largest, key=lambda name: -largest[name])[:MOST_IN_HEATMAP]
    cells = sorted((c for c in told.history if c.column in kept), key=lambda c: -largest[c.column])
    lead = "How far each column lay from the reference, window by window. Framed cells counted as drift."
    return section("Since the reference", lead, element("div", drift_heatmap(cells, batches), class_="scroll"))


def _table(report: DriftReport) -> Markup:
    if not report.columns:
        return Markup("")
    ordered = sorted(report.columns, key=lambda column: (not column.drifted, not column.warned, -column.effect))
    head = (
        "Column",
        "",
        "Effect",
        "Usual",
        "KS",
        "Wasserstein",
        "PSI",
        "JS",
        "Moved",
        "Nulls",
        "p, adjusted",
        "In words",
    )
    lead = (
        "Effect: the largest change as a share of rows. Usual: the most by which a batch of the reference differs from "
        "the others. Wasserstein: in standard deviations of the reference. Moved: share of rows in other categories."
    )
    return section("Every column", lead, table(head, [_row(column) for column in ordered], numeric=range(2, 11)))


def _row(column: ColumnDrift) -> list[Markup]:
    marked = column.drifted or column.warned
    effects = (column.ks, column.wasserstein_normed, column.psi, column.jensen_shannon, column.total_variation)
    return [
        cell(column.name),
        _chip(column) if marked else Markup(""),
        cell(f"{column.effect:.3f}"),
        cell(_figure(column.usual_effect)),
        *(cell(_figure(effect)) for effect in effects),
        cell(f"{column.null_rate_change:+.1%}" if column.null_rate_change else ""),
        cell(f"{column.adjusted_p_value:.2g}"),
    ]


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _method(report: DriftReport, told: DriftPage) -> Markup:
    said = [
        "A column counts as drifted when it differs from the reference by more than the reference's own batches differ "
        "among themselves, at a rate of false alarms over all columns together that was chosen beforehand."
        if report.calibrated
        else "Nothing is known yet of how much batches differ among themselves: only large changes count.",
        *told.notes,
    ]
    return section("How this was judged", "", element("ul", *(element("li", text(line)) for line in said)))
