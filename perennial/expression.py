"""
Row expressions of a contract: a small, safe language over columns, read with Python's grammar and never evaluated as
Python.

Allowed: column names, numbers, strings, True/False/None, `+ - * /`, comparisons (also chained, `in (…)`, `is None`),
`and or not`, and the functions of `FUNCTIONS`. A column whose name is no identifier is written `col("a name")`.

>>> columns_of("casual + registered == cnt and temp is not None")
('casual', 'registered', 'cnt', 'temp')
>>> columns_of("__import__('os').system('ls')")  # doctest: +ELLIPSIS
Traceback (most recent call last):
    ...
ValueError: an expression must be made of columns, numbers, text, ... Got '__import__('os').system' instead
"""

from __future__ import annotations

import ast

__all__ = ["FUNCTIONS", "columns_of", "parse_expression"]

#: Name of each function of the language, and how many arguments it takes.
FUNCTIONS = {
    "abs": 1, "round": 1, "length": 1, "lower": 1, "upper": 1, "starts_with": 2, "col": 1,
    "year": 1, "month": 1, "day": 1, "hour": 1, "weekday": 1,
}  # fmt: skip

_OPERATORS = (
    ast.Add, ast.Sub, ast.Mult, ast.Div, ast.USub, ast.UAdd, ast.Not, ast.And, ast.Or, ast.Load,
    ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn, ast.Is, ast.IsNot,
)  # fmt: skip
_NODES = (ast.Expression, ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Name, ast.Tuple, *_OPERATORS)
_LONGEST = 2_000


def parse_expression(text: str) -> ast.expr:
    """
    The checked syntax tree of `text`.

    Raises
    ------
    ValueError
        It doesn't parse, is too long, or holds anything outside the language.
    """
    if len(text) > _LONGEST:
        raise ValueError(f"an expression must have at most {_LONGEST} characters. Got {len(text)} instead")
    try:
        tree = ast.parse(text.strip(), mode="eval")
        nodes = list(ast.walk(tree))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"an expression must parse. Got {text!r} instead ({error})") from error
    for node in nodes:
        _check(node)
    return tree.body


def columns_of(text: str) -> tuple[str, ...]:
    """The columns that `text` reads, in order of appearance."""
    tree = parse_expression(text)
    names: dict[str, None] = {}
    functions = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in _in_order(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "col":
            names.setdefault(str(_literal(node.args[0])))
        elif isinstance(node, ast.Name) and id(node) not in functions:
            names.setdefault(node.id)
    return tuple(names)


def _in_order(node: ast.AST) -> list[ast.AST]:
    found = [node]
    for child in ast.iter_child_nodes(node):
        found += _in_order(child)
    return found


def _check(node: ast.AST) -> None:
    if isinstance(node, _NODES):
        return
    if isinstance(node, ast.Constant) and (node.value is None or isinstance(node.value, (bool, int, float, str))):
        return
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS:
        wanted = FUNCTIONS[node.func.id]
        if len(node.args) != wanted or node.keywords:
            raise ValueError(f"{node.func.id} must get {wanted} arguments. Got {ast.unparse(node)!r} instead")
        if node.func.id in ("col", "starts_with") and not isinstance(_literal(node.args[-1]), str):
            raise ValueError(f"{node.func.id} must get a text in quotes. Got {ast.unparse(node)!r} instead")
        return
    raise ValueError(
        "an expression must be made of columns, numbers, text, + - * /, comparisons, and, or, not and the functions "
        f"{', '.join(sorted(FUNCTIONS))}. Got '{_shown(node)}' instead"
    )


def _shown(node: ast.AST) -> str:
    return ast.unparse(node.func if isinstance(node, ast.Call) else node)[:80]


def _literal(node: ast.AST) -> object:
    return node.value if isinstance(node, ast.Constant) else None
