"""The pieces that charts are drawn from: inline SVG whose colours come from the style sheet."""

from __future__ import annotations

from perennial.report.markup import Markup, element, text

__all__ = ["line", "num", "rect", "shown", "svg", "title", "word"]


def num(value: float) -> str:
    """A coordinate with one decimal, as short as it can be."""
    return f"{value:.1f}".rstrip("0").rstrip(".")


def svg(width: float, height: float, label: str, *children: Markup) -> Markup:
    """A drawing that scales with its box; `label` is what a screen reader says of it."""
    return element(
        "svg", *children, class_="chart", viewBox=f"0 0 {num(width)} {num(height)}", role="img", aria_label=label
    )


def word(x: float, y: float, content: object, *, anchor: str = "start", class_: str | None = None) -> Markup:
    """Words at a point."""
    return element("text", text(content), x=num(x), y=num(y), text_anchor=anchor, class_=class_)


def title(content: object) -> Markup:
    """A tooltip, which screen readers read too."""
    return element("title", text(content))


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line."""
    return element("line", x1=num(x1), y1=num(y1), x2=num(x2), y2=num(y2), class_=class_)


def rect(x: float, y: float, width: float, height: float, class_: str, *children: Markup, **more: object) -> Markup:
    """A box; a negative size counts as none."""
    box = {"x": num(x), "y": num(y), "width": num(max(width, 0.0)), "height": num(max(height, 0.0))}
    return element("rect", *children, **box, class_=class_, **more)


def shown(name: str, most: int = 12) -> str:
    """A name, cut where it is longer than `most`."""
    return name if len(name) <= most else f"{name[: most - 1]}…"
