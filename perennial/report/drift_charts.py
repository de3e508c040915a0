"""Charts of one drift check: a column's rows then and now, and how far it lay window by window."""

from __future__ import annotations

import math
from collections.abc import Sequence

from perennial.report.markup import Markup, element, join
from perennial.report.story import DriftCell, HistogramPair
from perennial.report.svg import line, num, rect, shown, svg, title, word

__all__ = ["effect_over_time", "histogram_pair"]

_WIDTH, _LEFT = 480.0, 42.0
_MOST_CATEGORIES = 12
_ROW = 34.0


def histogram_pair(pair: HistogramPair) -> Markup:
    """Reference and window as shares of rows: an area and a line for numbers, two bars each for categories."""
    return _numbers(pair) if pair.kind == "number" else _categories(pair)


def _numbers(pair: HistogramPair) -> Markup:
    height, top = 190.0, 10.0
    tall, count = height - top - 26, max(len(pair.labels), 1)
    highest = max([*pair.reference, *pair.window, 1e-9])
    slot = (_WIDTH - _LEFT - 6) / count
    base = top + tall
    parts = [_share_line(base - tall * share, highest * share) for share in (0.0, 0.5, 1.0)]
    heights = [(tall * before / highest, tall * now / highest) for before, now in _both(pair)]
    for index, (before, _) in enumerate(heights):
        parts.append(rect(_LEFT + index * slot + 0.5, base - before, slot - 1, before, "reference"))
    steps = [
        f"{num(_LEFT + index * slot)} {num(base - now)}H{num(_LEFT + (index + 1) * slot)}"
        for index, (_, now) in enumerate(heights)
    ]
    if steps:
        outline = f"M{num(_LEFT)} {num(base)}L" + "L".join(steps)
        parts.append(element("path", d=f"{outline}V{num(base)}Z", class_="window-area"))
        parts.append(element("path", d=f"{outline}V{num(base)}", class_="window-line"))
    for index, told in enumerate(_tooltips(pair)):
        parts.append(rect(_LEFT + index * slot, top, slot, tall, "hover", title(told)))
    every = max(1, math.ceil(count / 6))
    places = range(max(every // 2, 1), max(len(pair.labels) - 1, 2), every) if count > 2 else range(len(pair.labels))
    parts += [
        word(_LEFT + (i + 0.5) * slot, height - 8, shown(pair.labels[i].partition(" to ")[0], 13), anchor="middle")
        for i in places
    ]
    return svg(_WIDTH, height, f"{pair.column}: shares of rows, reference and window", *parts)


def _share_line(y: float, share: float) -> Markup:
    return join([line(_LEFT, y, _WIDTH - 6, y, "grid"), word(_LEFT - 6, y + 4, f"{share:.0%}", anchor="end")])


def _both(pair: HistogramPair) -> list[tuple[float, float]]:
    return list(zip(pair.reference, pair.window, strict=True))


def _tooltips(pair: HistogramPair) -> list[str]:
    return [
        f"{label}: reference {before:.1%}, window {now:.1%}"
        for label, before, now in zip(pair.labels, pair.reference, pair.window, strict=True)
    ]


def _categories(pair: HistogramPair) -> Markup:
    """The categories that changed most, in their order; the others are said to be left out."""
    both, told = _both(pair), _tooltips(pair)
    seen = [index for index, shares in enumerate(both) if any(shares)]
    kept = sorted(sorted(seen, key=lambda i: -abs(both[i][0] - both[i][1]))[:_MOST_CATEGORIES])
    left, top = 120.0, 4.0
    highest = max([*pair.reference, *pair.window, 1e-9])
    scale = (_WIDTH - left - 60) / highest
    parts = []
    for order, index in enumerate(kept):
        y, (before, now) = top + order * _ROW, both[index]
        parts.append(word(left - 8, y + 20, shown(pair.labels[index], 16), anchor="end", class_="strong"))
        for share, offset, class_ in ((before, 3.0, "reference"), (now, 17.0, "window")):
            parts.append(rect(left, y + offset, share * scale, 12, class_, title(told[index]), rx="1.5"))
            parts.append(word(left + share * scale + 6, y + offset + 10, f"{share:.1%}"))
    height = top + _ROW * len(kept) + 6
    if len(kept) < len(seen):
        parts.append(word(left, height + 10, f"{len(seen) - len(kept)} more changed less"))
        height += 18
    return svg(_WIDTH, height, f"{pair.column}: shares of rows by category, reference and window", *parts)


def effect_over_time(cells: Sequence[DriftCell], usual: float | None) -> Markup:
    """One column's effect in each window since the reference; what is usual is shaded, alarms are diamonds."""
    height, top, base = 110.0, 8.0, 84.0
    highest = max([*(cell.effect for cell in cells), usual or 0.0, 0.05]) * 1.08
    slot = (_WIDTH - _LEFT - 10) / max(len(cells), 1)
    xs = [_LEFT + (index + 0.5) * slot for index in range(len(cells))]
    ys = [base - (base - top) * cell.effect / highest for cell in cells]
    parts = []
    if usual:
        tall = (base - top) * usual / highest
        parts.append(rect(_LEFT, base - tall, _WIDTH - _LEFT - 6, tall, "usual", title(f"usual: up to {usual:.3f}")))
    for share in (0.0, 1.0):
        y = base - (base - top) * share
        parts += [line(_LEFT, y, _WIDTH - 6, y, "grid"), word(_LEFT - 6, y + 4, f"{highest * share:.2f}", anchor="end")]
    if len(cells) > 1:
        path = "M" + "L".join(f"{num(x)} {num(y)}" for x, y in zip(xs, ys, strict=True))
        parts.append(element("path", d=path, class_="line window-line"))
    parts += [_dot(cell, x, y) for cell, x, y in zip(cells, xs, ys, strict=True)]
    ends = ((0, "start"), (-1, "end")) if len(cells) > 1 else ((0, "middle"),)
    parts += [word(xs[i], height - 8, shown(cells[i].batch, 16), anchor=anchor) for i, anchor in ends if cells]
    return svg(_WIDTH, height, "effect in each window since the reference", *parts)


def _dot(cell: DriftCell, x: float, y: float) -> Markup:
    told = title(f"{cell.batch}: effect {cell.effect:.3f}{', drifted' if cell.drifted else ''}")
    if cell.drifted:
        corners = f"M{num(x)} {num(y - 6)}L{num(x + 6)} {num(y)}L{num(x)} {num(y + 6)}L{num(x - 6)} {num(y)}Z"
        return element("path", told, d=corners, class_="alarm-dot")
    return element("circle", told, cx=num(x), cy=num(y), r="3.2", class_="window")
