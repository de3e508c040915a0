"""JSONPath as AWS reads it: a path that finds nothing fails the state, where ministack gives null."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from ministack.services import stepfunctions as sf

from localcloud.context import Context
from localcloud.extension import replace, require
from localcloud.states.errors import RUNTIME, StateFailed

_VARIABLE = re.compile(r"\$([A-Za-z_]\w*)(.*)", re.DOTALL)
variables: ContextVar[Mapping[str, Any]] = ContextVar("variables", default={})  # noqa: B039 - never written to


class PathFoundNothing(StateFailed):  # type: ignore[misc]
    """A definite path selects nothing."""


def install(context: Context) -> None:
    """Make every use of a path in ministack's evaluators strict."""
    require(sf, "_parse_jsonpath_tokens", "_resolve_path_or_ctx", "_resolve_params_obj", "_evaluate_intrinsic")
    replace(sf, "_resolve_path", resolve)


def resolve(path: str, data: Any) -> Any:
    """
    What `path` selects in `data`; a list when it has a wildcard.

    Raises
    ------
    PathFoundNothing
        It has no wildcard and selects nothing.

    >>> resolve("$.a[1].b", {"a": [{}, {"b": 3}]})
    3
    >>> resolve("$.a.b", {"a": {}})
    Traceback (most recent call last):
    ...
    localcloud.states.paths.PathFoundNothing: States.Runtime: The JSONPath '$.a.b' could not be found in ...
    """
    if not path or path == "$" or not path.startswith("$"):
        return data
    root = data
    variable = _VARIABLE.match(path)
    if variable:
        if variable[1] not in variables.get():
            raise StateFailed(RUNTIME, f"The variable '${variable[1]}' has no value")
        root, path = variables.get()[variable[1]], f"${variable[2]}"
        if path == "$":
            return root
    tokens = sf._parse_jsonpath_tokens(path)
    if tokens is None:
        raise StateFailed(RUNTIME, f"Invalid path '{path}': the local cloud reads fields, indexes and wildcards only")
    values = [root]
    for kind, key in tokens:
        values = [found for value in values for found in _step(kind, key, value)]
    if any(kind == "wildcard" for kind, _ in tokens):
        return values
    if not values:
        text = json.dumps(data, default=str)
        raise PathFoundNothing(RUNTIME, f"The JSONPath '{path}' could not be found in the input '{text[:1000]}'")
    return values[0]


def _step(kind: str, key: Any, value: Any) -> list[Any]:
    if kind == "field":
        return [value[key]] if isinstance(value, dict) and key in value else []
    if kind == "index":
        return [value[key]] if isinstance(value, list) and key < len(value) else []
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list) else []
