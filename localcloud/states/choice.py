"""
Choice rules in JSONPath, every comparison of them.

https://docs.aws.amazon.com/step-functions/latest/dg/state-choice.html (read 2026-11): a Variable that is not there
fails the state, except under IsPresent; a comparison between different types is false.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from ministack.services import stepfunctions as sf

from localcloud.states import data
from localcloud.states.data import Frame, State
from localcloud.states.errors import StateFailed
from localcloud.states.paths import PathFoundNothing

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "Equals": operator.eq,
    "LessThan": operator.lt,
    "GreaterThan": operator.gt,
    "LessThanEquals": operator.le,
    "GreaterThanEquals": operator.ge,
}
_OPERATOR = re.compile(
    r"(String|Numeric|Boolean|Timestamp)(Equals|LessThanEquals|GreaterThanEquals|LessThan|GreaterThan)(Path)?"
)


def choose(state: State, raw: Any, frame: Frame) -> tuple[Any, str]:
    """
    The state's output, and the state that comes next.

    Raises
    ------
    StateFailed
        States.NoChoiceMatched, when no rule matches and there is no Default.
    """
    if data.is_jsonata(state, frame):
        output, name = sf._execute_choice(state, raw, frame)
        return output, str(name)
    with data.bound(frame):
        effective = sf._apply_input_path(state, raw, frame)
        for rule in state.get("Choices", []):
            if holds(rule, effective, frame):
                data._assign(rule, effective, frame)
                return sf._apply_output_path(state, effective, frame), str(rule["Next"])
        if "Default" not in state:
            raise StateFailed("States.NoChoiceMatched", "Failed to transition out of the state: no rule matched")
        data._assign(state, effective, frame)
        return sf._apply_output_path(state, effective, frame), str(state["Default"])


def holds(rule: State, value: Any, frame: Frame) -> bool:
    """Whether a rule is true of `value`."""
    if "And" in rule:
        return all(holds(part, value, frame) for part in rule["And"])
    if "Or" in rule:
        return any(holds(part, value, frame) for part in rule["Or"])
    if "Not" in rule:
        return not holds(rule["Not"], value, frame)
    try:
        found = sf._resolve_path_or_ctx(rule["Variable"], value, frame)
    except PathFoundNothing:
        if "IsPresent" in rule:
            return not rule["IsPresent"]
        raise
    return _compares(rule, found, value, frame)


def _compares(rule: State, found: Any, value: Any, frame: Frame) -> bool:
    for name, wanted in rule.items():
        if name in _TYPES:
            return _TYPES[name](found) == wanted
        if name == "StringMatches":
            return isinstance(found, str) and _wildcard(wanted).fullmatch(found) is not None
        parts = _OPERATOR.fullmatch(name)
        if parts:
            other = sf._resolve_path_or_ctx(wanted, value, frame) if parts[3] else wanted
            left, right = _READERS[parts[1]](found), _READERS[parts[1]](other)
            return left is not None and right is not None and _COMPARISONS[parts[2]](left, right)
    raise StateFailed("States.Runtime", f"The choice rule {rule} has no comparison operator")


def _wildcard(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\\\*|\\\\|\*)", pattern)
    literal = {"*": ".*", "\\*": r"\*", "\\\\": r"\\"}
    return re.compile("".join(literal.get(part) or re.escape(part) for part in parts), re.DOTALL)


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _moment(value: Any) -> datetime | None:
    found = sf._parse_ts(value)
    return found if isinstance(found, datetime) else None


_READERS: dict[str, Callable[[Any], Any]] = {
    "String": lambda value: value if isinstance(value, str) else None,
    "Numeric": _number,
    "Boolean": lambda value: value if isinstance(value, bool) else None,
    "Timestamp": _moment,
}
_TYPES: dict[str, Callable[[Any], bool]] = {
    "IsPresent": lambda value: True,
    "IsNull": lambda value: value is None,
    "IsNumeric": lambda value: _number(value) is not None,
    "IsString": lambda value: isinstance(value, str),
    "IsBoolean": lambda value: isinstance(value, bool),
    "IsTimestamp": lambda value: _moment(value) is not None,
}
