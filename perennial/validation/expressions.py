"""Row expressions of a contract, computed over whole Arrow batches. Python code is never evaluated."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from perennial.expression import parse_expression

__all__ = ["evaluate"]

_COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Eq: "equal", ast.NotEq: "not_equal", ast.Lt: "less", ast.LtE: "less_equal",
    ast.Gt: "greater", ast.GtE: "greater_equal",
}  # fmt: skip
_ARITHMETIC: dict[type[ast.operator], str] = {
    ast.Add: "add", ast.Sub: "subtract", ast.Mult: "multiply", ast.Div: "divide",
}  # fmt: skip
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": lambda v: pc.abs(v),
    "round": lambda v: pc.round(v),
    "length": lambda v: pc.utf8_length(v),
    "lower": lambda v: pc.utf8_lower(v),
    "upper": lambda v: pc.utf8_upper(v),
    "year": lambda v: pc.year(v),
    "month": lambda v: pc.month(v),
    "day": lambda v: pc.day(v),
    "hour": lambda v: pc.hour(v),
    "weekday": lambda v: pc.day_of_week(v),
}


def evaluate(expression: str, batch: Any) -> Any:
    """
    A boolean Arrow array, one value a row; null where an operand is null and decides nothing.

    >>> batch = pa.record_batch({"a": [1, 2, None], "b": [1.0, 3.0, 1.0]})
    >>> evaluate("a == b or b > 2", batch).to_pylist()
    [True, True, None]

    Raises
    ------
    ValueError
        The expression doesn't fit the columns' types.
    """
    try:
        result = _value(parse_expression(expression), batch)
        if isinstance(result, pa.Scalar):
            result = pa.repeat(result, batch.num_rows)
        return result.cast(pa.bool_())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError, KeyError) as error:
        raise ValueError(
            f"the expression must fit the columns' types. Got {expression!r} instead ({type(error).__name__})"
        ) from error


def _value(node: ast.expr, batch: Any) -> Any:
    match node:
        case ast.Constant(value=value):
            return pa.scalar(value)
        case ast.Name(id=name):
            return _column(name, batch)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return pc.invert(_value(operand, batch))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return pc.negate(_value(operand, batch))
        case ast.UnaryOp(operand=operand):
            return _value(operand, batch)
        case ast.BoolOp(op=op, values=values):
            join = pc.and_kleene if isinstance(op, ast.And) else pc.or_kleene
            result = _value(values[0], batch)
            for other in values[1:]:
                result = join(result, _value(other, batch))
            return result
        case ast.BinOp(left=left, op=op, right=right):
            return _arithmetic(op, _value(left, batch), _value(right, batch))
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            return _comparison(left, ops, comparators, batch)
        case ast.Call(func=ast.Name(id="col"), args=[ast.Constant(value=name)]):
            return _column(str(name), batch)
        case ast.Call(func=ast.Name(id="starts_with"), args=[text, ast.Constant(value=prefix)]):
            return pc.starts_with(_value(text, batch), str(prefix))
        case ast.Call(func=ast.Name(id=name), args=[argument]):
            return _FUNCTIONS[name](_value(argument, batch))
    raise ValueError(f"an expression must be of the contract's language. Got {ast.dump(node)[:80]} instead")


def _column(name: str, batch: Any) -> Any:
    values = batch.column(name)
    return values.cast(values.type.value_type) if pa.types.is_dictionary(values.type) else values


def _arithmetic(op: ast.operator, left: Any, right: Any) -> Any:
    if isinstance(op, ast.Div):  # A ratio of whole numbers is a number, and a division by 0 is no error.
        left, right = left.cast(pa.float64()), right.cast(pa.float64())
    return getattr(pc, _ARITHMETIC[type(op)])(left, right)


def _comparison(left: ast.expr, ops: list[ast.cmpop], comparators: list[ast.expr], batch: Any) -> Any:
    result = None
    for op, right in zip(ops, comparators, strict=True):
        one = _compare(_value(left, batch), op, right, batch)
        result = one if result is None else pc.and_kleene(result, one)
        left = right
    return result


def _compare(left: Any, op: ast.cmpop, right: ast.expr, batch: Any) -> Any:
    if isinstance(op, (ast.Is, ast.IsNot)):
        if not (isinstance(right, ast.Constant) and right.value is None):
            raise ValueError(f"is must be followed by None. Got {ast.unparse(right)!r} instead")
        return pc.is_null(left) if isinstance(op, ast.Is) else pc.is_valid(left)
    if isinstance(op, (ast.In, ast.NotIn)):
        if not isinstance(right, ast.Tuple) or not all(isinstance(e, ast.Constant) for e in right.elts):
            raise ValueError(f"in must be followed by a list in parentheses. Got {ast.unparse(right)!r} instead")
        members = pa.array([e.value for e in right.elts if isinstance(e, ast.Constant)])
        found = pc.is_in(left, value_set=members.cast(left.type))
        found = found if isinstance(op, ast.In) else pc.invert(found)
        return pc.if_else(pc.is_valid(left), found, pa.scalar(None, pa.bool_()))
    other = _value(right, batch)
    if pa.types.is_timestamp(left.type) and pa.types.is_string(other.type):
        other = other.cast(pa.timestamp("us")).cast(left.type)
    return getattr(pc, _COMPARISONS[type(op)])(left, other)
