"""What every page is made of: the frame with its style sheet, sections, tiles, chips and legends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from perennial.report.markup import Markup, element, join, text
from perennial.report.story import SummaryRow

__all__ = ["chip", "legend", "page", "section", "tiles"]


@cache
def _style() -> str:
    return Path(__file__).with_name("style.css").read_text(encoding="utf-8")


def page(title: str, subtitle: str, sections: Iterable[Markup]) -> str:
    """
    A whole page: one file that can be kept, mailed and opened without a network.

    No script, no link to anything outside.
    """
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


def section(title: str, lead: str, *content: Markup) -> Markup:
    """A part of the page under a heading; `lead` is left out where it is empty."""
    told = element("p", text(lead), class_="lead") if lead else Markup("")
    return element("section", element("h2", text(title)), told, *content)


def _tone(tone: str) -> str | None:
    return None if tone == "neutral" else tone


def chip(word: object, tone: str = "neutral") -> Markup:
    """A word in a coloured box."""
    return element("span", text(word), class_=f"chip {tone}" if tone != "neutral" else "chip")


def tiles(rows: Sequence[SummaryRow]) -> Markup:
    """The summary on top: one tile for each row."""
    if not rows:
        return Markup("")
    drawn = join(
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
    return element("dl", drawn, class_="tiles")


def legend(entries: Iterable[tuple[str, str, str]]) -> Markup:
    """What signs stand for: glyph, colour of the style sheet, words."""
    return element(
        "div",
        *(
            element("span", element("span", text(glyph), style=f"color: var(--{colour})"), text(f" {told}"))
            for glyph, colour, told in entries
        ),
        class_="legend",
    )
