"""
HTML from text that nobody vouches for.

Whatever comes out of data (column names, categories, file names, sentences) is text until it passes `text`, `cell` or
`attribute`. Markup that was made here is a `Markup`, so that escaping can neither be forgotten nor done twice.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import NewType

__all__ = ["Markup", "cell", "element", "join", "short", "table", "text"]

Markup = NewType("Markup", str)

# A spreadsheet that a table is pasted into would run these (OWASP, CSV injection); a plain number is harmless.
_FORMULA = re.compile(r"^[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?\d[\d,.]*%?(?:\s?[a-zA-Z]{0,4})?")
_UNSEEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f‎‏‪-‮⁦-⁩]")
_SHORT_ID = re.compile(r"[0-9a-f]{16,64}")


def text(value: object) -> Markup:
    """
    Any value as text in a page: markup is shown, not obeyed; control and bidirectional-override characters are marked.

    >>> text("<b>&")
    '&lt;b&gt;&amp;'
    """
    return Markup(html.escape(_UNSEEN.sub("\N{REPLACEMENT CHARACTER}", str(value)), quote=True))


def cell(value: object) -> Markup:
    """
    Any value as text in a table's cell, safe to be pasted into a spreadsheet.

    >>> cell("=1+1"), cell("-0.02")
    ('&#x27;=1+1', '-0.02')
    """
    shown = str(value)
    if _FORMULA.match(shown) and not _NUMBER.fullmatch(shown):
        shown = "'" + shown
    return text(shown)


def element(name: str, *children: Markup, **attributes: object) -> Markup:
    """
    An element; `class_` is class, `_` in other names is `-`, and attributes that are None are left out.

    >>> element("p", text("a<b"), class_="note", data_x='"')
    '<p class="note" data-x="&quot;">a&lt;b</p>'
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{given}>" if name == "meta" else f"<{name}{given}>{''.join(children)}</{name}>")


def join(parts: Iterable[Markup]) -> Markup:
    """Pieces of markup after one another."""
    return Markup("".join(parts))


def table(head: Iterable[str], rows: Iterable[Iterable[Markup]], *, numeric: Iterable[int] = ()) -> Markup:
    """A table in a box that scrolls by itself; columns whose index is in `numeric` are set flush right."""
    right = set(numeric)
    kind = dict.fromkeys(right, "number")
    header = join(element("th", text(name), class_=kind.get(i), scope="col") for i, name in enumerate(head))
    body = join(
        element("tr", *(element("td", value, class_=kind.get(i)) for i, value in enumerate(row))) for row in rows
    )
    return element(
        "div", element("table", element("thead", element("tr", header)), element("tbody", body)), class_="scroll"
    )


def short(identity: str) -> str:
    """
    A digest by its first eight digits; any other name as it is.

    >>> short("0123456789abcdef0123"), short("blue")
    ('01234567', 'blue')
    """
    return identity[:8] if _SHORT_ID.fullmatch(identity) else identity
