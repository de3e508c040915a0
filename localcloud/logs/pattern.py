"""
Filter patterns: which log events a search lets through.

"Filter pattern syntax for metric filters, subscription filters, filter log events, and Live Tail"
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html (read 2026-11): terms (all of them;
`?` any of them; `-` none of them; quotes around a phrase), properties of JSON events, regular expressions between `%`.
Patterns about space-delimited events (`[ip, user, ...]`) are refused: the local cloud doesn't read them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

Matches = Callable[[str], bool]
Holds = Callable[[Any], bool]

_TERM = re.compile(r"""\s*(?P<sign>[?-]?)(?:"(?P<phrase>(?:[^"\\]|\\.)*)"|%(?P<regex>[^%]+)%|(?P<word>[^\s"%]+))""")
_SELECTOR = r"""\$(?:\.[A-Za-z_@][\w@-]*|\[\d+\]|\[\*\]|\['[^']+'\])+"""
_TOKEN = re.compile(
    rf"""\s*(?:(?P<path>{_SELECTOR})|(?P<sign>&&|\|\||\(|\)|<=|>=|!=|=|<|>)|%(?P<regex>[^%]+)%
    |"(?P<text>(?:[^"\\]|\\.)*)"|(?P<word>[^\s()&|<>=!"]+))""",
    re.VERBOSE,
)
_STEP = re.compile(r"\.([A-Za-z_@][\w@-]*)|\[(\d+)\]|\[(\*)\]|\['([^']+)'\]")
_COMPARED: dict[str, Callable[[float, float], bool]] = {
    "<": lambda left, right: left < right,
    ">": lambda left, right: left > right,
    "<=": lambda left, right: left <= right,
    ">=": lambda left, right: left >= right,
}


class PatternInvalid(ValueError):
    """A filter pattern that AWS refuses, or that the local cloud doesn't read."""


def compile_pattern(pattern: str) -> Matches:
    """
    Whether a message passes `pattern`; an empty pattern lets everything through.

    Raises
    ------
    PatternInvalid

    >>> compile_pattern('ERROR -"of no account"')("ERROR: refused")
    True
    >>> compile_pattern('{ $.level = "WARN*" && $.rows[0] >= 2 }')('{"level": "WARNING", "rows": [3]}')
    True
    >>> compile_pattern("[ip, user]")
    Traceback (most recent call last):
    ...
    localcloud.logs.pattern.PatternInvalid: patterns of space-delimited events are not read here: [ip, user]
    """
    text = pattern.strip()
    if text in ("", '""'):
        return lambda message: True
    if text.startswith("["):
        raise PatternInvalid(f"patterns of space-delimited events are not read here: {text}")
    if text.startswith("{"):
        if not text.endswith("}"):
            raise PatternInvalid(f"a pattern that starts with {{ must end with }}. Got {text} instead")
        return _of_json(_Parser(text[1:-1]).whole())
    return _of_terms(text)


def _of_terms(text: str) -> Matches:
    groups: dict[str, list[Matches]] = {"": [], "?": [], "-": []}
    position = 0
    while position < len(text.rstrip()):
        if not (term := _TERM.match(text, position)):
            raise PatternInvalid(f"a term, a quoted phrase or a %expression% must follow here: {text[position:]}")
        groups[term["sign"]].append(_contains(term))
        position = term.end()
    every, any_of, none_of = groups[""], groups["?"], groups["-"]
    if any_of and (every or none_of):
        raise PatternInvalid(f"terms with ? stand alone. Got {text} instead")

    def matches(message: str) -> bool:
        if any_of:
            return any(one(message) for one in any_of)
        return all(one(message) for one in every) and not any(one(message) for one in none_of)

    return matches


def _contains(term: re.Match[str]) -> Matches:
    if term["regex"] is not None:
        expression = _expression(term["regex"])
        return lambda message: bool(expression.search(message))
    sought = _unquoted(term["phrase"]) if term["phrase"] is not None else term["word"]
    return lambda message: sought in message


def _of_json(holds: Holds) -> Matches:
    def matches(message: str) -> bool:
        try:
            event = json.loads(message)
        except ValueError:
            return False
        return isinstance(event, dict) and holds(event)

    return matches


class _Parser:
    """Reads what stands between the braces: comparisons joined by && (which binds closer) and ||."""

    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._at = 0

    def whole(self) -> Holds:
        """The condition; nothing may follow it."""
        holds = self._any()
        if self._at < len(self._tokens):
            raise PatternInvalid(f"the condition must end here. Got {self._tokens[self._at][1]} instead")
        return holds

    def _any(self) -> Holds:
        parts = [self._all()]
        while self._take("sign", "||"):
            parts.append(self._all())
        return lambda event: any(part(event) for part in parts)

    def _all(self) -> Holds:
        parts = [self._one()]
        while self._take("sign", "&&"):
            parts.append(self._one())
        return lambda event: all(part(event) for part in parts)

    def _one(self) -> Holds:
        if self._take("sign", "("):
            holds = self._any()
            self._need("sign", ")")
            return holds
        path = self._need("path")
        kind, value = self._next()
        if kind == "word" and value.upper() in ("IS", "NOT"):
            return _of_state(path, f"{value} {self._need('word')}".upper())
        if kind != "sign" or value not in ("=", "!=", *_COMPARED):
            raise PatternInvalid(f"{path} must be followed by a comparison, IS or NOT EXISTS. Got {value} instead")
        return _compared(path, value, *self._next())

    def _next(self) -> tuple[str, str]:
        if self._at == len(self._tokens):
            raise PatternInvalid("the pattern must not end here")
        self._at += 1
        return self._tokens[self._at - 1]

    def _take(self, kind: str, value: str) -> bool:
        found = self._at < len(self._tokens) and self._tokens[self._at] == (kind, value)
        self._at += found
        return found

    def _need(self, kind: str, value: str | None = None) -> str:
        found = self._next()
        if found[0] != kind or (value is not None and found[1] != value):
            raise PatternInvalid(f"{value or f'a {kind}'} must stand here. Got {found[1]} instead")
        return found[1]


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    position = 0
    while position < len(text.rstrip()):
        if not (token := _TOKEN.match(text, position)) or token.lastgroup is None:
            raise PatternInvalid(f"can't be read from here: {text[position:]}")
        kind = token.lastgroup
        yield kind, _unquoted(token[kind]) if kind == "text" else token[kind]
        position = token.end()


def _of_state(path: str, state: str) -> Holds:
    states: dict[str, Holds] = {
        "IS TRUE": lambda event: any(value is True for value in _values(path, event)),
        "IS FALSE": lambda event: any(value is False for value in _values(path, event)),
        "IS NULL": lambda event: any(value is None for value in _values(path, event)),
        "NOT EXISTS": lambda event: not _values(path, event),
    }
    if state not in states:
        raise PatternInvalid(f"{path} must be followed by one of {', '.join(states)}. Got {state} instead")
    return states[state]


def _compared(path: str, sign: str, kind: str, value: str) -> Holds:
    if kind not in ("text", "word", "regex"):
        raise PatternInvalid(f"{path} {sign} must be followed by a value. Got {value} instead")
    number = _number(value) if kind == "word" else None
    if sign in _COMPARED:
        if number is None:
            raise PatternInvalid(f"{path} {sign} must be followed by a number. Got {value} instead")
        compare = _COMPARED[sign]
        return lambda event: any(compare(found, number) for found in _numbers(path, event))
    if number is not None:
        return lambda event: (number in _numbers(path, event)) == (sign == "=") and bool(_values(path, event))
    wanted = _expression(value) if kind == "regex" else re.compile(_wildcards(value))

    def holds(event: Any) -> bool:
        texts = [found for found in _values(path, event) if isinstance(found, str)]
        hits = [bool(wanted.search(text) if kind == "regex" else wanted.fullmatch(text)) for text in texts]
        return any(hits) if sign == "=" else bool(hits) and not any(hits)

    return holds


def _values(path: str, event: Any) -> list[Any]:
    found = [event]
    for field, index, every, quoted in _STEP.findall(path):
        name = field or quoted
        if name:
            found = [value[name] for value in found if isinstance(value, dict) and name in value]
        elif every:
            found = [item for value in found if isinstance(value, list) for item in value]
        else:
            found = [value[int(index)] for value in found if isinstance(value, list) and int(index) < len(value)]
    return found


def _numbers(path: str, event: Any) -> list[float]:
    return [float(v) for v in _values(path, event) if isinstance(v, int | float) and not isinstance(v, bool)]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _wildcards(text: str) -> str:
    return "(?s)" + ".*".join(re.escape(part) for part in text.split("*"))


def _expression(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise PatternInvalid(f"%{text}% must be a regular expression: {error}") from error


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)
