"""
CloudWatch metric math, over columns of datapoints that share their timestamps.

A value is a number, a column (one number or None for each timestamp) or a list of columns, which METRICS() gives. The
text is parsed by Python's parser and then walked by an allow-list: nothing is ever evaluated as Python.
Source: CloudWatch user guide, "Using math expressions with CloudWatch metrics" (read 2026-11-24).
"""

from __future__ import annotations

import ast
import math
import re
import statistics
from collections.abc import Callable, Mapping, Sequence

type Column = list[float | None]
type Value = float | Column | tuple[Column, ...]

MAX_LENGTH = 2048
_STRING = re.compile(r"'[^']*'|\"[^\"]*\"")
_WORDS = ((re.compile(r"\bAND\b|&&"), " and "), (re.compile(r"\bOR\b|\|\|"), " or "), (re.compile(r"\^"), "**"))


class BadExpression(ValueError):
    """The expression is not one that CloudWatch, or this part of it, understands."""


def parse(text: str) -> ast.expr:
    """The syntax tree of a metric math expression."""
    if len(text) > MAX_LENGTH:
        raise BadExpression(f"expression must be at most {MAX_LENGTH} characters. Got {len(text)}")
    pieces, at = [], 0
    for match in _STRING.finditer(text):
        pieces += [_operators(text[at : match.start()]), match.group()]
        at = match.end()
    try:
        return ast.parse("".join([*pieces, _operators(text[at:])]).strip(), mode="eval").body
    except (SyntaxError, RecursionError, MemoryError, ValueError) as error:
        raise BadExpression(f"Error in expression '{text}': {error}") from error


def _operators(text: str) -> str:
    for pattern, python in _WORDS:
        text = pattern.sub(python, text)
    return text


def references(text: str) -> set[str]:
    """
    The ids that an expression names.

    >>> sorted(references("IF(m1 > 10 AND FILL(m2, REPEAT) > 0, e1, 0)"))
    ['e1', 'm1', 'm2']
    """
    tree = parse(text)
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in called}
    return names - {"REPEAT", "LINEAR"}


def evaluate(
    text: str,
    columns: Mapping[str, Value],
    *,
    metrics: Sequence[str] = (),
    period: float = 60,
    length: int | None = None,
) -> Column:
    """
    One column: the expression at every timestamp.

    Parameters
    ----------
    columns
        What each id stands for.
    metrics
        Ids that METRICS() covers: metrics, not other expressions.
    period
        Seconds between two timestamps.

    >>> evaluate("100 * FILL(errors, 0) / calls", {"errors": [1.0, None], "calls": [4.0, 5.0]})
    [25.0, 0.0]
    """
    if length is None:
        length = max((len(value) for value in columns.values() if isinstance(value, list)), default=0)
    value = _Evaluator(columns, metrics, period, length).value(parse(text))
    if isinstance(value, tuple):
        raise BadExpression(f"expression '{text}' must give one time series. Got {len(value)}")
    return [value] * length if not isinstance(value, list) else value


class _Evaluator(ast.NodeVisitor):
    def __init__(self, columns: Mapping[str, Value], metrics: Sequence[str], period: float, length: int) -> None:
        self._columns = columns
        self._metrics = metrics
        self._period = period
        self._length = length

    def value(self, node: ast.expr) -> Value:
        result: Value = self.visit(node)
        return result

    def generic_visit(self, node: ast.AST) -> Value:
        raise BadExpression(f"{type(node).__name__} is not part of metric math here")

    def visit_Constant(self, node: ast.Constant) -> Value:
        if isinstance(node.value, bool) or not isinstance(node.value, (int, float)):
            raise BadExpression(f"a constant must be a number. Got {node.value!r}")
        return float(node.value)

    def visit_Name(self, node: ast.Name) -> Value:
        if node.id not in self._columns:
            raise BadExpression(f"'{node.id}' must be the Id of a query. Known: {', '.join(sorted(self._columns))}")
        return self._columns[node.id]

    def visit_List(self, node: ast.List) -> Value:
        return tuple(column for item in node.elts for column in self._as_columns(self.value(item)))

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Value:
        if not isinstance(node.op, ast.USub):
            raise BadExpression("the only sign is -")
        return _map(lambda x: -x, self.value(node.operand))

    def visit_BinOp(self, node: ast.BinOp) -> Value:
        function = _ARITHMETIC.get(type(node.op))
        if function is None:
            raise BadExpression(f"{type(node.op).__name__} is not an operator of metric math")
        return _zip(function, self.value(node.left), self.value(node.right))

    def visit_Compare(self, node: ast.Compare) -> Value:
        if len(node.ops) != 1 or type(node.ops[0]) not in _COMPARISON:
            raise BadExpression("a comparison has two sides and one of < <= > >= == !=")
        return _zip(_COMPARISON[type(node.ops[0])], self.value(node.left), self.value(node.comparators[0]))

    def visit_BoolOp(self, node: ast.BoolOp) -> Value:
        function = _both if isinstance(node.op, ast.And) else _either
        result = self.value(node.values[0])
        for operand in node.values[1:]:
            result = _zip(function, result, self.value(operand))
        return result

    def visit_Call(self, node: ast.Call) -> Value:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        method = getattr(self, f"_call_{name.lower()}", None) if name.isupper() else None
        if node.keywords or (method is None and name not in _OVER_SERIES and name not in _PER_POINT):
            raise BadExpression(f"function {name or ast.dump(node.func)} is not one of {', '.join(function_names())}")
        try:
            if method is not None:
                result: Value = method(*node.args)
                return result
            arguments = [self.value(argument) for argument in node.args]
            if name in _PER_POINT:
                return _map(_PER_POINT[name], *arguments)
            return self._aggregate(_OVER_SERIES[name], arguments)
        except TypeError as error:
            raise BadExpression(f"{name} takes other arguments: {error}") from error

    def _aggregate(self, function: Callable[[list[float]], float], arguments: Sequence[Value]) -> Value:
        """Of one column a number; of several, number by number, missing ones left out."""
        if len(arguments) == 1 and not isinstance(arguments[0], tuple):
            only = arguments[0]
            present = [x for x in only if x is not None] if isinstance(only, list) else [only]
            return function(present) if present else [None] * self._length
        columns = [column for argument in arguments for column in self._as_columns(argument)]
        rows = ([x for x in row if x is not None] for row in zip(*columns, strict=True))
        return [function(row) if row else None for row in rows]

    def _as_columns(self, value: Value) -> tuple[Column, ...]:
        if isinstance(value, tuple):
            return value
        return (value if isinstance(value, list) else [value] * self._length,)

    def _call_if(self, condition: ast.expr, then: ast.expr, otherwise: ast.expr | None = None) -> Value:
        chosen = _zip(lambda c, x: x if c else None, self.value(condition), self.value(then), lenient=True)
        if otherwise is None:
            return chosen
        test, other = self._column(self.value(condition)), self._column(self.value(otherwise))
        picked = self._column(chosen)
        return [None if c is None else (a if c else b) for c, a, b in zip(test, picked, other, strict=True)]

    def _column(self, value: Value) -> Column:
        if isinstance(value, tuple):
            raise BadExpression("IF takes single time series or numbers")
        return self._as_columns(value)[0]

    def _call_fill(self, subject: ast.expr, filler: ast.expr) -> Value:
        value = self.value(subject)
        mode = filler.id if isinstance(filler, ast.Name) and filler.id in ("REPEAT", "LINEAR") else None
        with_ = None if mode else self._column(self.value(filler))
        filled = tuple(_fill(column, mode, with_) for column in self._as_columns(value))
        return filled if isinstance(value, tuple) else filled[0]

    def _call_metrics(self, needle: ast.expr | None = None) -> Value:
        if needle is not None and not (isinstance(needle, ast.Constant) and isinstance(needle.value, str)):
            raise BadExpression("METRICS takes a quoted part of an Id, or nothing")
        part = str(needle.value) if isinstance(needle, ast.Constant) else ""
        return tuple(col for id_ in self._metrics if part in id_ for col in self._as_columns(self._columns[id_]))

    def _call_period(self, subject: ast.expr) -> Value:
        self.value(subject)
        return self._period

    def _call_diff(self, subject: ast.expr) -> Value:
        column = self._column(self.value(subject))
        before: Column = [None, *column[:-1]]
        return [None if a is None or b is None else a - b for a, b in zip(column, before, strict=True)]

    def _call_rate(self, subject: ast.expr) -> Value:
        return _map(lambda x: x / self._period, self._call_diff(subject))

    def _call_running_sum(self, subject: ast.expr) -> Value:
        total, result = 0.0, []
        for x in self._column(self.value(subject)):
            total += x or 0.0
            result.append(total)
        return list(result)


def _fill(column: Column, mode: str | None, filler: Column | None) -> Column:
    if filler is not None:
        return [fill if x is None else x for x, fill in zip(column, filler, strict=True)]
    known = [index for index, x in enumerate(column) if x is not None]
    result = list(column)
    for index, x in enumerate(column):
        before = max((k for k in known if k < index), default=None)
        after = min((k for k in known if k > index), default=None)
        if x is not None or before is None:
            continue
        left = column[before]
        if mode == "REPEAT" or after is None:
            result[index] = left
        else:
            share = (index - before) / (after - before)
            result[index] = left + share * (column[after] - left)  # type: ignore[operator]
    return result


def _map(function: Callable[[float], float], value: Value) -> Value:
    if isinstance(value, tuple):
        return tuple([None if x is None else _finite(function, x) for x in column] for column in value)
    if isinstance(value, list):
        return [None if x is None else _finite(function, x) for x in value]
    result = _finite(function, value)
    return math.nan if result is None else result


def _zip(
    function: Callable[[float, float], float | None], left: Value, right: Value, *, lenient: bool = False
) -> Value:
    """Number by number; a number goes with every timestamp, a column with every column of a list."""
    if isinstance(left, tuple) or isinstance(right, tuple):
        lefts = left if isinstance(left, tuple) else (left,) * len(right)  # type: ignore[arg-type]
        rights = right if isinstance(right, tuple) else (right,) * len(left)  # type: ignore[arg-type]
        pairs = [_zip(function, a, b, lenient=lenient) for a, b in zip(lefts, rights, strict=True)]
        return tuple(pair for pair in pairs if isinstance(pair, list))
    if isinstance(left, list) or isinstance(right, list):
        length = len(left) if isinstance(left, list) else len(right)  # type: ignore[arg-type]
        lefts_ = left if isinstance(left, list) else [left] * length
        rights_ = right if isinstance(right, list) else [right] * length
        return [
            None if a is None or b is None else _finite(function, a, b) for a, b in zip(lefts_, rights_, strict=True)
        ]
    result = _finite(function, left, right)
    return math.nan if result is None else result


def _finite(function: Callable[..., float | None], *values: float) -> float | None:
    """A datapoint that cannot be computed (a division by zero) does not exist."""
    try:
        result = function(*values)
    except (ArithmeticError, ValueError):
        return None
    return result if result is not None and math.isfinite(result) else None


def _both(left: float, right: float) -> float:
    return float(bool(left) and bool(right))


def _either(left: float, right: float) -> float:
    return float(bool(left) or bool(right))


def _power(base: float, exponent: float) -> float | None:
    result = base**exponent
    return result if isinstance(result, float) else None


_ARITHMETIC: dict[type[ast.AST], Callable[[float, float], float | None]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.Pow: _power,
}
_COMPARISON: dict[type[ast.AST], Callable[[float, float], float]] = {
    ast.Gt: lambda a, b: float(a > b),
    ast.GtE: lambda a, b: float(a >= b),
    ast.Lt: lambda a, b: float(a < b),
    ast.LtE: lambda a, b: float(a <= b),
    ast.Eq: lambda a, b: float(a == b),
    ast.NotEq: lambda a, b: float(a != b),
}
_OVER_SERIES: dict[str, Callable[[list[float]], float]] = {
    "SUM": math.fsum,
    "MAX": max,
    "MIN": min,
    "AVG": statistics.fmean,
    "STDDEV": statistics.pstdev,
    "DATAPOINT_COUNT": lambda xs: float(len(xs)),
}
_PER_POINT: dict[str, Callable[[float], float]] = {
    "ABS": abs,
    "CEIL": lambda x: float(math.ceil(x)),
    "FLOOR": lambda x: float(math.floor(x)),
    "LOG": math.log,
    "LOG10": math.log10,
}


def function_names() -> tuple[str, ...]:
    """Every function that an expression may call."""
    own = (name.removeprefix("_call_").upper() for name in dir(_Evaluator) if name.startswith("_call_"))
    return tuple(sorted({*own, *_OVER_SERIES, *_PER_POINT}))
