"""The page of a loop's story: quality, drift, rollouts, accidents, models, and what happened when."""

from __future__ import annotations

from collections.abc import Sequence

from perennial.report.charts import drift_heatmap, quality_lines, rollout_steps
from perennial.report.furniture import chip, legend, page, section, tiles
from perennial.report.markup import Markup, cell, element, join, short, table, text
from perennial.report.story import Accident, Moment, RolloutStory, Story

__all__ = ["render_story"]

_OPEN_MOMENTS = 60  # more of them are folded away
_LEGEND = (("▲", "good", "promoted"), ("▼", "bad", "rolled back"), ("✕", "bad", "stopped by the gate"))
_LEGEND_MORE = (("●", "soft", "retraining started"), ("◆", "warning", "drift found"))


def render_story(story: Story) -> str:
    """The page of a story; parts that are empty are left out."""
    batches = story.batches or _batches(story)
    sections = [tiles(story.summary), _quality(story, batches), _drift(story, batches), _rollouts(story.rollouts)]
    sections += [_accidents(story.accidents), _models(story), _timeline(story.timeline)]
    told = [part for part in sections if part]
    if not told:
        told = [section("Nothing has happened yet", "No batch has landed, so there is nothing to tell.", Markup(""))]
    return page(story.title, story.subtitle, told)


def _batches(story: Story) -> tuple[str, ...]:
    named = [point.batch for series in story.quality for point in series.points]
    named += [each.batch for each in story.drift] + [marker.batch for marker in story.markers]
    return tuple(dict.fromkeys(named))


def _quality(story: Story, batches: Sequence[str]) -> Markup:
    chart = quality_lines(story.quality, story.markers, batches, story.metric)
    if not chart:
        return Markup("")
    lead = f"{story.metric.capitalize()} of each model version on each batch, measured when the batch's labels came."
    content = (legend((*_LEGEND, *_LEGEND_MORE)), element("div", chart, class_="scroll"))
    return section("Quality over time", lead, *content)


def _drift(story: Story, batches: Sequence[str]) -> Markup:
    if not story.drift:
        return Markup("")
    lead = "How far each column lay from what the champion was trained on. Framed cells counted as drift."
    known = [batch for batch in batches if any(each.batch == batch for each in story.drift)]
    chart = drift_heatmap(story.drift, known)
    return section("Drift", lead, element("div", chart, class_="scroll"))


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
                chip(each.outcome, tones.get(each.outcome, "neutral")),
            ),
            rollout_steps(each) if each.steps else element("p", text("No step was taken.")),
            element("p", text(each.reason), class_="lead") if each.reason else Markup(""),
        )
        for each in rollouts
    )
    key = legend((("■", "accent", "challenger's share of traffic"), ("■", "neutral-tint", "champion's")))
    return section("Rollouts", "", key, element("div", cards, class_="cards"))


def _accidents(accidents: Sequence[Accident]) -> Markup:
    if not accidents:
        return Markup("")
    told = join(
        element(
            "div",
            element(
                "h3",
                text(f"{each.title} "),
                chip(*(("survived", "good") if each.survived else ("not survived", "bad"))),
            ),
            element("p", text(each.provoked)),
            element("p", element("strong", text(each.outcome))),
            element("ul", *(element("li", text(line)) for line in each.evidence)) if each.evidence else Markup(""),
            class_="accident good" if each.survived else "accident bad",
        )
        for each in accidents
    )
    return section("Accidents", "Provoked on purpose, to see what the loop does.", told)


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
            chip(model.status, model.tone) if model.status else Markup(""),
        ]
        for model in story.models
    ]
    head = ("Model", "Why", "Rows", f"{story.metric.capitalize()}", "Champion's", "Gate", "What became of it")
    return section("Models", "Both figures are of the same held-out rows.", table(head, rows, numeric=(2, 3, 4)))


def _timeline(moments: Sequence[Moment]) -> Markup:
    if not moments:
        return Markup("")
    shown, folded = moments[:_OPEN_MOMENTS], moments[_OPEN_MOMENTS:]
    content = [_moments(shown)]
    if folded:
        summary = element("summary", text(f"{len(folded)} more"))
        content.append(element("details", summary, _moments(folded)))
    return section("What happened", "", *content)


def _moments(moments: Sequence[Moment]) -> Markup:
    lines = join(
        element(
            "li",
            element("time", text(f"{each.at:%Y-%m-%d %H:%M}"), datetime=each.at.isoformat()),
            element("span", chip(each.kind, each.tone)),
            element("span", text(each.sentence), class_="what"),
        )
        for each in moments
    )
    return element("ol", lines, class_="timeline")
