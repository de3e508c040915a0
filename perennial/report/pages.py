"""
Whole pages: a loop's story, and one drift check.

A page is one file that can be kept, mailed and opened without a network: no script, no link to anything outside.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from perennial.drift.report import ColumnDrift, DriftReport
from perennial.report.charts import drift_heatmap, histogram_pair, quality_lines, rollout_steps
from perennial.report.markup import Markup, cell, element, join, short, table, text
from perennial.report.story import Accident, DriftPage, Moment, RolloutStory, Story, SummaryRow

__all__ = ["render_drift", "render_story"]

_OPEN_MOMENTS = 60  # more of them are folded away
_LEGEND = (("▲", "good", "promoted"), ("▼", "bad", "rolled back"), ("✕", "bad", "stopped by the gate"))
_LEGEND_MORE = (("●", "soft", "retraining started"), ("◆", "warning", "drift found"))


def render_story(story: Story) -> str:
    """The page of a story; parts that are empty are left out."""
    batches = story.batches or _batches(story)
    sections = [_tiles(story.summary), _quality(story, batches), _drift(story, batches), _rollouts(story.rollouts)]
    sections += [_accidents(story.accidents), _models(story), _timeline(story.timeline)]
    told = [section for section in sections if section]
    if not told:
        told = [_section("Nothing has happened yet", "No batch has landed, so there is nothing to tell.", Markup(""))]
    return _page(story.title, story.subtitle, told)


def render_drift(report: DriftReport, page: DriftPage | None = None) -> str:
    """
    The page of one drift check.

    Parameters
    ----------
    page
        Title and histograms, which the report itself doesn't hold.
    """
    page = page or DriftPage("Drift check")
    tone = {"drifted": "bad", "steady": "good"}.get(report.verdict, "warning")
    calibrated = "learnt from the reference's own batches" if report.calibrated else "defaults: too few batches yet"
    summary = (
        SummaryRow("Verdict", report.verdict, tone=tone),  # type: ignore[arg-type]
        SummaryRow("Columns that drifted", str(len(report.drifted_columns)), f"of {len(report.columns)}"),
        SummaryRow("Rows in the window", f"{report.evidence.rows:,}"),
        SummaryRow("Thresholds", f"{report.alarm_level:.2%}", f"of checks may be false alarms; {calibrated}"),
    )
    reasons = element("ul", *(element("li", text(reason)) for reason in report.reasons))
    sections = [_tiles(summary)]
    if report.reasons:
        sections.append(_section("What changed", "", reasons))
    ordered = sorted(report.columns, key=lambda column: (not column.drifted, -column.effect))
    if ordered:
        sections.append(_section("Every column", "Effect: the largest change as a share of rows.", _columns(ordered)))
    if page.histograms:
        boxes = join(element("div", element("h3", text(pair.column)), histogram_pair(pair)) for pair in page.histograms)
        legend = _legend((("■", "reference", "reference"), ("■", "window", "window")))
        sections.append(_section("Distributions", "", join([legend, element("div", boxes, class_="cards")])))
    return _page(page.title, page.subtitle, sections)


def _batches(story: Story) -> tuple[str, ...]:
    named = [point.batch for series in story.quality for point in series.points]
    named += [each.batch for each in story.drift] + [marker.batch for marker in story.markers]
    return tuple(dict.fromkeys(named))


@cache
def _style() -> str:
    return Path(__file__).with_name("style.css").read_text(encoding="utf-8")


def _page(title: str, subtitle: str, sections: Iterable[Markup]) -> str:
    head = join(
        [
            Markup('<meta charset="utf-8">'),
            Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
            # Nothing may be loaded or run, whatever slipped into the text.
            element(
                "meta", http_equiv="Content-Security-Policy", content="default-src 'none'; style-src 'unsafe-inline'"
            ),
            element("title", text(title)),
            Markup(f"<style>{_style()}</style>"),
        ]
    )
    lead = element("p", text(subtitle), class_="subtitle") if subtitle else Markup("")
    footer = element("footer", text("Made by Perennial. This file stands alone: it loads nothing and runs nothing."))
    body = element("main", element("header", element("h1", text(title)), lead), *sections, footer)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>{body}</body></html>\n'


def _section(title: str, lead: str, *content: Markup) -> Markup:
    told = element("p", text(lead), class_="lead") if lead else Markup("")
    return element("section", element("h2", text(title)), told, *content)


def _tone(tone: str) -> str | None:
    return None if tone == "neutral" else tone


def _chip(word: object, tone: str = "neutral") -> Markup:
    return element("span", text(word), class_=f"chip {tone}" if tone != "neutral" else "chip")


def _tiles(rows: Sequence[SummaryRow]) -> Markup:
    if not rows:
        return Markup("")
    tiles = join(
        element(
            "div",
            element("dt", text(row.name)),
            element(
                "dd",
                text(row.value),
                element("small", text(row.note)) if row.note else Markup(""),
                class_=_tone(row.tone),
            ),
            class_="tile",
        )
        for row in rows
    )
    return element("dl", tiles, class_="tiles")


def _legend(entries: Iterable[tuple[str, str, str]]) -> Markup:
    return element(
        "div",
        *(
            element("span", element("span", text(glyph), style=f"color: var(--{colour})"), text(f" {told}"))
            for glyph, colour, told in entries
        ),
        class_="legend",
    )


def _quality(story: Story, batches: Sequence[str]) -> Markup:
    chart = quality_lines(story.quality, story.markers, batches, story.metric)
    if not chart:
        return Markup("")
    lead = f"{story.metric.capitalize()} of each model version on each batch, measured when the batch's labels came."
    content = (_legend((*_LEGEND, *_LEGEND_MORE)), element("div", chart, class_="scroll"))
    return _section("Quality over time", lead, *content)


def _drift(story: Story, batches: Sequence[str]) -> Markup:
    if not story.drift:
        return Markup("")
    lead = "How far each column lay from what the champion was trained on. Framed cells counted as drift."
    known = [batch for batch in batches if any(each.batch == batch for each in story.drift)]
    chart = drift_heatmap(story.drift, known)
    return _section("Drift", lead, element("div", chart, class_="scroll"))


def _rollouts(rollouts: Sequence[RolloutStory]) -> Markup:
    if not rollouts:
        return Markup("")
    tones = {"promoted": "good", "rolled back": "bad"}
    cards = join(
        element(
            "div",
            element(
                "h3",
                text(f"Model {short(each.model_version)} "),
                _chip(each.outcome, tones.get(each.outcome, "neutral")),
            ),
            rollout_steps(each) if each.steps else element("p", text("No step was taken.")),
            element("p", text(each.reason), class_="lead") if each.reason else Markup(""),
        )
        for each in rollouts
    )
    legend = _legend((("■", "accent", "challenger's share of traffic"), ("■", "neutral-tint", "champion's")))
    return _section("Rollouts", "", legend, element("div", cards, class_="cards"))


def _accidents(accidents: Sequence[Accident]) -> Markup:
    if not accidents:
        return Markup("")
    told = join(
        element(
            "div",
            element(
                "h3",
                text(f"{each.title} "),
                _chip(*(("survived", "good") if each.survived else ("not survived", "bad"))),
            ),
            element("p", text(each.provoked)),
            element("p", element("strong", text(each.outcome))),
            element("ul", *(element("li", text(line)) for line in each.evidence)) if each.evidence else Markup(""),
            class_="accident good" if each.survived else "accident bad",
        )
        for each in accidents
    )
    return _section("Accidents", "Provoked on purpose, to see what the loop does.", told)


def _figure(value: float | None) -> Markup:
    return cell("" if value is None else f"{value:.3f}")


def _models(story: Story) -> Markup:
    if not story.models:
        return Markup("")
    rows = [
        [
            element("code", text(short(model.model_version))),
            cell(model.signal),
            cell("" if model.rows is None else f"{model.rows:,}"),
            _figure(model.candidate),
            _figure(model.champion),
            cell(model.verdict),
            _chip(model.status, model.tone) if model.status else Markup(""),
        ]
        for model in story.models
    ]
    head = ("Model", "Why", "Rows", f"{story.metric.capitalize()}", "Champion's", "Gate", "What became of it")
    return _section("Models", "Both figures are of the same held-out rows.", table(head, rows, numeric=(2, 3, 4)))


def _timeline(moments: Sequence[Moment]) -> Markup:
    if not moments:
        return Markup("")
    shown, folded = moments[:_OPEN_MOMENTS], moments[_OPEN_MOMENTS:]
    content = [_moments(shown)]
    if folded:
        summary = element("summary", text(f"{len(folded)} more"))
        content.append(element("details", summary, _moments(folded)))
    return _section("What happened", "", *content)


def _moments(moments: Sequence[Moment]) -> Markup:
    lines = join(
        element(
            "li",
            element("time", text(f"{each.at:%Y-%m-%d %H:%M}"), datetime=each.at.isoformat()),
            element("span", _chip(each.kind, each.tone)),
            element("span", text(each.sentence), class_="what"),
        )
        for each in moments
    )
    return element("ol", lines, class_="timeline")


def _columns(columns: Sequence[ColumnDrift]) -> Markup:
    rows = [
        [
            cell(column.name),
            _chip("drifted", "bad") if column.drifted else _chip("warned", "warning") if column.warned else Markup(""),
            cell(f"{column.effect:.3f}"),
            cell("" if column.usual_effect is None else f"{column.usual_effect:.3f}"),
            cell(f"{column.adjusted_p_value:.2g}"),
            cell(column.sentence),
        ]
        for column in columns
    ]
    return table(("Column", "", "Effect", "Usual", "p, adjusted", "In words"), rows, numeric=(2, 3, 4))
