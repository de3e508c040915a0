"""Charts as inline SVG: no script, no file from elsewhere; colours come from the style sheet, tooltips from <title>."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from perennial.report.markup import Markup, element, join, short, text
from perennial.report.story import DriftCell, HistogramPair, Marker, QualitySeries, RolloutStory

__all__ = ["drift_heatmap", "histogram_pair", "quality_lines", "rollout_steps"]

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


def _num(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")


def _svg(width: float, height: float, label: str, *children: Markup) -> Markup:
    return element(
        "svg", *children, class_="chart", viewBox=f"0 0 {_num(width)} {_num(height)}", role="img", aria_label=label
    )


def _word(x: float, y: float, content: object, *, anchor: str = "start", class_: str | None = None) -> Markup:
    return element("text", text(content), x=_num(x), y=_num(y), text_anchor=anchor, class_=class_)


def _title(content: object) -> Markup:
    return element("title", text(content))


def _line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    return element("line", x1=_num(x1), y1=_num(y1), x2=_num(x2), y2=_num(y2), class_=class_)


def _rect(x: float, y: float, width: float, height: float, class_: str, *children: Markup, **more: object) -> Markup:
    box = {"x": _num(x), "y": _num(y), "width": _num(max(width, 0.0)), "height": _num(max(height, 0.0))}
    return element("rect", *children, **box, class_=class_, **more)


def _batch_axis(batches: Sequence[str], xs: Sequence[float], y: float) -> Markup:
    step = max(1, math.ceil(len(batches) / _MAX_TICKS))
    return join(_word(xs[i], y, _shown(batches[i]), anchor="middle") for i in range(0, len(batches), step))


def _shown(name: str, most: int = 12) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


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
        parts.append(_line(_LEFT, y, _WIDTH - _RIGHT, y, "grid"))
        parts.append(_word(_LEFT - 8, y + 4, f"{low + tick * step:.6g}", anchor="end"))
    parts.append(_batch_axis(batches, xs, bottom + 20))
    parts += [_marker(m, xs[place[m.batch]], bottom, level) for m, level in _stacked(markers, place)]
    ends: list[float] = []
    for index, one in enumerate(series):
        dots = [(xs[place[p.batch]], bottom - (p.value - low) * scale, p) for p in one.points if p.batch in place]
        parts.append(_series(index, one.model_version, [d for d in dots if math.isfinite(d[2].value)], metric, ends))
    return _svg(_WIDTH, bottom + 30, f"{metric} of each model version over the batches", *parts)


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
        _title(f"{marker.batch}: {marker.kind}. {marker.sentence}"),
        _line(x, y + 4, x, bottom, "rule") if level == 0 else Markup(""),
        element(
            "text", text(glyph), x=_num(x), y=_num(y), text_anchor="middle", style=f"fill: var(--{tone}, var(--soft))"
        ),
    )


def _series(
    index: int, model_version: str, dots: Sequence[tuple[float, float, object]], metric: str, ends: list[float]
) -> Markup:
    if not dots:
        return Markup("")
    colour, dash = index % SERIES, None if index < SERIES else "5 3"
    path = "M" + "L".join(f"{_num(x)} {_num(y)}" for x, y, _ in dots)
    parts = [element("path", d=path, class_=f"line l{colour}", stroke_dasharray=dash)]
    for x, y, point in dots:
        told = f"{getattr(point, 'batch', '')}: {metric} {getattr(point, 'value', 0.0):.4g}"
        rows = getattr(point, "rows", 0)
        told += f" on {rows} rows" if rows else ""
        circle = {"cx": _num(x), "cy": _num(y), "r": "3.2"}
        parts.append(element("circle", _title(f"{short(model_version)}, {told}"), **circle, class_=f"f{colour}"))
    x, y, _ = dots[-1]
    while any(abs(y - taken) < 13 for taken in ends):
        y += 13
    ends.append(y)
    parts.append(_word(x + 8, y + 4, _shown(short(model_version), 16), class_=f"t{colour}"))
    return element("g", *parts)


def drift_heatmap(cells: Sequence[DriftCell], batches: Sequence[str]) -> Markup:
    """Columns downwards, batches across: the deeper the colour the larger the effect; what was drift is framed."""
    columns = list(dict.fromkeys(cell.column for cell in cells))
    left, row, top = 132.0, 22.0, 8.0
    width = (_WIDTH - left - 20) / max(len(batches), 1)
    place = {batch: index for index, batch in enumerate(batches)}
    at = {(cell.column, cell.batch): cell for cell in cells}
    parts = []
    for line, column in enumerate(columns):
        y = top + line * row
        parts.append(_word(left - 10, y + 15, _shown(column, 18), anchor="end", class_="strong"))
        for batch in batches:
            parts.append(_heat(at.get((column, batch)), left + place[batch] * width, y, width, row))
    xs = [left + (index + 0.5) * width for index in range(len(batches))]
    height = top + row * len(columns)
    parts.append(_batch_axis(batches, xs, height + 18))
    return _svg(_WIDTH, height + 28, "drift effect of each column in each batch", *parts)


def _heat(cell: DriftCell | None, x: float, y: float, width: float, height: float) -> Markup:
    box = (x + 1, y + 1, width - 2, height - 2)
    if cell is None or not math.isfinite(cell.effect):
        return _rect(*box, "empty", opacity="0.35", rx="2")
    told = f"{cell.column} in {cell.batch}: effect {cell.effect:.3f}{', drifted' if cell.drifted else ''}"
    depth = min(max(cell.effect / _HEAT_FULL, 0.0), 1.0)
    parts = [_rect(*box, "empty", rx="2"), _rect(*box, "heat", _title(told), fill_opacity=f"{depth:.2f}", rx="2")]
    if cell.drifted:
        parts.append(_rect(*box, "alarm", rx="2"))
    return join(parts)


def rollout_steps(rollout: RolloutStory) -> Markup:
    """A bar for each decision of a rollout: the challenger's share of traffic from below, the champion's above."""
    width, height, left, top = 320.0, 150.0, 44.0, 12.0
    tall = height - top - 22
    slot = (width - left - 6) / max(len(rollout.steps), 1)
    parts = []
    for share in (0.0, 0.5, 1.0):
        y = top + tall * (1 - share)
        parts += [_line(left, y, width - 6, y, "grid"), _word(left - 6, y + 4, f"{share:.0%}", anchor="end")]
    for index, step in enumerate(rollout.steps):
        x, bar = left + index * slot + 3, min(slot - 6, 46.0)
        share = min(max(step.share, 0.0), 1.0)
        bad = " bad" if rollout.outcome == "rolled back" and index >= len(rollout.steps) - 1 else ""
        told = f"{step.share:.0%} of traffic: {step.sentence}"
        parts.append(_rect(x, top, bar, tall, "champion", _title(told), rx="2"))
        parts.append(_rect(x, top + tall * (1 - share), bar, tall * share, f"challenger{bad}", _title(told), rx="2"))
        parts.append(_word(x + bar / 2, height - 6, "held" if step.held else f"{step.share:.0%}", anchor="middle"))
    return _svg(width, height, f"traffic of model {short(rollout.model_version)} by step", *parts)


def histogram_pair(pair: HistogramPair) -> Markup:
    """Two bars for each bin: reference and window, as shares of rows."""
    width, height, left, top = 480.0, 180.0, 40.0, 10.0
    tall, count = height - top - 24, len(pair.labels)
    highest = max([*pair.reference, *pair.window, 1e-9])
    slot = (width - left - 4) / max(count, 1)
    parts = []
    for share in (0.0, highest / 2, highest):
        y = top + tall * (1 - share / highest)
        parts += [_line(left, y, width - 4, y, "grid"), _word(left - 6, y + 4, f"{share:.0%}", anchor="end")]
    for index, (label, before, now) in enumerate(zip(pair.labels, pair.reference, pair.window, strict=True)):
        x = left + index * slot
        told = _title(f"{label}: reference {before:.1%}, window {now:.1%}")
        for share, offset, class_ in ((before, 0.08, "reference"), (now, 0.5, "window")):
            tall_bar = tall * share / highest
            parts.append(_rect(x + slot * offset, top + tall - tall_bar, slot * 0.42, tall_bar, class_, told))
    step = max(1, math.ceil(count / 8))
    parts += [
        _word(left + (index + 0.5) * slot, height - 6, _shown(pair.labels[index], 9), anchor="middle")
        for index in range(0, count, step)
    ]
    return _svg(width, height, f"{pair.column}: reference and window", *parts)
