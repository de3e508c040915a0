"""
The rule of a composite alarm: parsed once, then asked with the states of the alarms it names.

    rule    = all ("OR" all)*          all = one ("AND" one)*
    one     = "NOT" one | "(" rule ")" | "TRUE" | "FALSE" | state "(" alarm ")"
    state   = "ALARM" | "OK" | "INSUFFICIENT_DATA"       alarm = a name or an ARN, quoted or not

Source: CloudWatch API reference, PutCompositeAlarm, AlarmRule (read 2026-11-24).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

_TOKEN = re.compile(r'\s*(?:(?P<punctuation>[()])|"(?P<quoted>[^"]*)"|(?P<word>[^\s()"]+))')
_STATES = ("ALARM", "OK", "INSUFFICIENT_DATA")
MAX_LENGTH = 10_240

Lookup = Callable[[str], str]
"""The state of the alarm with that name or ARN."""


class BadRule(ValueError):
    """The text is no alarm rule."""


@dataclass(frozen=True, slots=True)
class Rule:
    """
    A parsed rule.

    >>> rule = parse('ALARM("errors") AND NOT (OK(latency) OR FALSE)')
    >>> rule.alarms
    ('errors', 'latency')
    >>> rule.holds({"errors": "ALARM", "latency": "INSUFFICIENT_DATA"}.__getitem__)
    True
    """

    holds: Callable[[Lookup], bool]
    alarms: tuple[str, ...]


def parse(text: str) -> Rule:
    """
    The rule that `text` states.

    Raises
    ------
    BadRule
        Says where it stops making sense.
    """
    if len(text) > MAX_LENGTH:
        raise BadRule(f"AlarmRule must be at most {MAX_LENGTH} characters. Got {len(text)}")
    parser = _Parser(text)
    try:
        holds = parser.disjunction()
    except RecursionError as error:
        raise BadRule("AlarmRule is nested too deeply") from error
    parser.expect_end()
    return Rule(holds, tuple(dict.fromkeys(parser.alarms)))


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._split(text)
        self._at = 0
        self.alarms: list[str] = []

    @staticmethod
    def _split(text: str) -> list[tuple[str, str, int]]:
        tokens, at = [], 0
        while text[at:].strip():
            match = _TOKEN.match(text, at)
            if match is None or match.lastgroup is None:
                raise BadRule(f"Error in AlarmRule [Unsupported token at char {at}]")
            tokens.append((match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
            at = match.end()
        return [*tokens, ("end", "<EOF>", len(text))]

    def _peek(self) -> tuple[str, str]:
        kind, text, _ = self._tokens[self._at]
        return kind, text

    def _take(self, kind: str, *texts: str) -> str:
        found, text, at = self._tokens[self._at]
        if found != kind or (texts and text not in texts):
            must = f", must be: {' or '.join(texts)}" if texts else ""
            raise BadRule(f"Error in AlarmRule [Unsupported token '{text}' at char {at}{must}]")
        self._at += 1
        return text

    def expect_end(self) -> None:
        self._take("end", "<EOF>")

    def disjunction(self) -> Callable[[Lookup], bool]:
        parts = [self._conjunction()]
        while self._peek() == ("word", "OR"):
            self._at += 1
            parts.append(self._conjunction())
        return lambda lookup: any(part(lookup) for part in parts)

    def _conjunction(self) -> Callable[[Lookup], bool]:
        parts = [self._operand()]
        while self._peek() == ("word", "AND"):
            self._at += 1
            parts.append(self._operand())
        return lambda lookup: all(part(lookup) for part in parts)

    def _operand(self) -> Callable[[Lookup], bool]:
        kind, _ = self._peek()
        if kind == "punctuation":
            self._take("punctuation", "(")
            inside = self.disjunction()
            self._take("punctuation", ")")
            return inside
        word = self._take("word", "NOT", "TRUE", "FALSE", *_STATES)
        if word == "NOT":
            negated = self._operand()
            return lambda lookup: not negated(lookup)
        if word in ("TRUE", "FALSE"):
            return lambda lookup: word == "TRUE"
        self._take("punctuation", "(")
        kind, alarm = self._peek()
        self._take("quoted" if kind == "quoted" else "word")
        self._take("punctuation", ")")
        self.alarms.append(alarm)
        return lambda lookup: lookup(alarm) == word
