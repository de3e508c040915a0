"""Charts as inline SVG: no script, no file from elsewhere; colours come from the style sheet, tooltips from <title>."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from perennial.report.markup import Markup, element, join, short, text
from perennial.report.story import DriftCell, Marker, QualitySeries, RolloutStory
from perennial.report.svg import line, num, rect, shown, svg, title, word

__all__ = ["drift_heatmap", "quality_lines", "rollout_steps"]

# How many series have a colour of their own; more are drawn in the colours again, told apart by dashes.
SERIES = 6
_WIDTH = 1040
_LEFT, _RIGHT = 52, 110
_GLYPHS: Mapping[str, tuple[str, str]] = {
    "drift": ("◆", "warning"),
    "retraining": ("●", "neutral"),
    "rejected": ("✕", "bad"),
    "promoted": ("▲", "good"),
    "rolled back": ("▼", "bad"),
}
_MAX_TICKS = 14
_HEAT_FULL = 0.5  # an effect this large is drawn in full colour


def _batch_axis(batches: Sequence[str], xs: Sequence[float], y: float) -> Markup:
    step = max(1, math.ceil(len(batches) / _MAX_TICKS))
    return join(word(xs[i], y, shown(batches[i]), anchor="middle") for i in range(0, len(batches), step))


def _nice_range(values: Sequence[float]) -> tuple[float, float, float]:
    """Low, high and step of an axis that holds all values with at most six lines."""
    low, high = min(values), max(values)
    spread = max(high - low, 0.02, 1e-9 * max(abs(low), abs(high)))
    unit = 10.0 ** math.floor(math.log10(spread / 5))
    step = next(unit * times for times in (1, 2, 5, 10, 20) if spread / (unit * times) <= 5)
    bottom = math.floor(low / step) * step
    return bottom, max(math.ceil(high / step) * step, bottom + step), step


def quality_lines(
    series: Sequence[QualitySeries], markers: Sequence[Marker], batches: Sequence[str], metric: str
) -> Markup:
    """A line for each model version over the batches, and a mark for each thing that happened to the models."""
    top, bottom = 46.0, 300.0
    xs = _places(len(batches))
    place = {batch: index for index, batch in enumerate(batches)}
    finite = [p.value for s in series for p in s.points if math.isfinite(p.value) and p.batch in place]
    if not finite:
        return Markup("")
    low, high, step = _nice_range(finite)
    scale = (bottom - top) / (high - low)
    parts = []
    for tick in range(round((high - low) / step) + 1):
        y = bottom - tick * step * scale
        parts.append(line(_LEFT, y, _WIDTH - _RIGHT, y, "grid"))
        parts.append(word(_LEFT - 8, y + 4, f"{low + tick * step:.6g}", anchor="end"))
    parts.append(_batch_axis(batches, xs, bottom + 20))
    parts += [_marker(m, xs[place[m.batch]], bottom, level) for m, level in _stacked(markers, place)]
    ends: list[float] = []
    for index, one in enumerate(series):
        dots = [(xs[place[p.batch]], bottom - (p.value - low) * scale, p) for p in one.points if p.batch in place]
        parts.append(_series(index, one.model_version, [d for d in dots if math.isfinite(d[2].value)], metric, ends))
    return svg(_WIDTH, bottom + 30, f"{metric} of each model version over the batches", *parts)


def _places(count: int) -> list[float]:
    width = _WIDTH - _RIGHT - _LEFT
    return [_LEFT + width * (index + 0.5) / max(count, 1) for index in range(count)]


def _stacked(markers: Sequence[Marker], place: Mapping[str, int]) -> list[tuple[Marker, int]]:
    """Markers with the height at which they don't cover those of the same batch."""
    seen: dict[str, int] = {}
    found = []
    for marker in markers:
        if marker.batch in place:
            found.append((marker, seen.get(marker.batch, 0)))
            seen[marker.batch] = seen.get(marker.batch, 0) + 1
    return found


def _marker(marker: Marker, x: float, bottom: float, level: int) -> Markup:
    glyph, tone = _GLYPHS[marker.kind]
    y = 34.0 - 13 * min(level, 2)
    return element(
        "g",
        title(f"{marker.batch}: {marker.kind}. {marker.sentence}"),
        line(x, y + 4, x, bottom, "rule") if level == 0 else Markup(""),
        element(
            "text", text(glyph), x=num(x), y=num(y), text_anchor="middle", style=f"fill: var(--{tone}, var(--soft))"
        ),
    )


def _series(
    index: int, model_version: str, dots: Sequence[tuple[float, float, object]], metric: str, ends: list[float]
) -> Markup:
    if not dots:
        return Markup("")
    colour, dash = index % SERIES, None if index < SERIES else "5 3"
    path = "M" + "L".join(f"{num(x)} {num(y)}" for x, y, _ in dots)
    parts = [element("path", d=path, class_=f"line l{colour}", stroke_dasharray=dash)]
    for x, y, point in dots:
        told = f"{getattr(point, 'batch', '')}: {metric} {getattr(point, 'value', 0.0):.4g}"
        rows = getattr(point, "rows", 0)
        told += f" on {rows} rows" if rows else ""
        circle = {"cx": num(x), "cy": num(y), "r": "3.2"}
        parts.append(element("circle", title(f"{short(model_version)}, {told}"), **circle, class_=f"f{colour}"))
    x, y, _ = dots[-1]
    while any(abs(y - taken) < 13 for taken in ends):
        y += 13
    ends.append(y)
    parts.append(word(x + 8, y + 4, shown(short(model_version), 16), class_=f"t{colour}"))
    return element("g", *parts)


def drift_heatmap(cells: Sequence[DriftCell], batches: Sequence[str]) -> Markup:
    """Columns downwards, batches across: the deeper the colour the larger the effect; what was drift is framed."""
    columns = list(dict.fromkeys(cell.column for cell in cells))
    left, row, top = 132.0, 22.0, 8.0
    width = (_WIDTH - left - 20) / max(len(batches), 1)
    place = {batch: index for index, batch in enumerate(batches)}
    at = {(cell.column, cell.batch): cell for cell in cells}
    parts = []
    for order, column in enumerate(columns):
        y = top + order * row
        parts.append(word(left - 10, y + 15, shown(column, 18), anchor="end", class_="strong"))
        for batch in batches:
            parts.append(_heat(at.get((column, batch)), left + place[batch] * width, y, width, row))
    xs = [left + (index + 0.5) * width for index in range(len(batches))]
    height = top + row * len(columns)
    parts.append(_batch_axis(batches, xs, height + 18))
    return svg(_WIDTH, height + 28, "drift effect of each column in each batch", *parts)


def _heat(cell: DriftCell | None, x: float, y: float, width: float, height: float) -> Markup:
    box = (x + 1, y + 1, width - 2, height - 2)
    if cell is None or not math.isfinite(cell.effect):
        return rect(*box, "empty", opacity="0.35", rx="2")
    told = f"{cell.column} in {cell.batch}: effect {cell.effect:.3f}{', drifted' if cell.drifted else ''}"
    depth = min(max(cell.effect / _HEAT_FULL, 0.0), 1.0)
    parts = [rect(*box, "empty", rx="2"), rect(*box, "heat", title(told), fill_opacity=f"{depth:.2f}", rx="2")]
    if cell.drifted:
        parts.append(rect(*box, "alarm", rx="2"))
    return join(parts)


def rollout_steps(rollout: RolloutStory) -> Markup:
    """A bar for each decision of a rollout: the challenger's share of traffic from below, the champion's above."""
    width, height, left, top = 320.0, 150.0, 44.0, 12.0
    tall = height - top - 22
    slot = (width - left - 6) / max(len(rollout.steps), 1)
    parts = []
    for share in (0.0, 0.5, 1.0):
        y = top + tall * (1 - share)
        parts += [line(left, y, width - 6, y, "grid"), word(left - 6, y + 4, f"{share:.0%}", anchor="end")]
    for index, step in enumerate(rollout.steps):
        x, bar = left + index * slot + 3, min(slot - 6, 46.0)
        share = min(max(step.share, 0.0), 1.0)
        bad = " bad" if rollout.outcome == "rolled back" and index >= len(rollout.steps) - 1 else ""
        told = f"{step.share:.0%} of traffic: {step.sentence}"
        parts.append(rect(x, top, bar, tall, "champion", title(told), rx="2"))
        parts.append(rect(x, top + tall * (1 - share), bar, tall * share, f"challenger{bad}", title(told), rx="2"))
        parts.append(word(x + bar / 2, height - 6, "held" if step.held else f"{step.share:.0%}", anchor="middle"))
    return svg(width, height, f"traffic of model {short(rollout.model_version)} by step", *parts)
