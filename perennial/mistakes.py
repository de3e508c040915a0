"""
Mistakes of a loop.toml as sentences: the line, what must hold, what was found, what was probably meant.
"""

from __future__ import annotations

import difflib
import json
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import AliasChoices, BaseModel
from pydantic_core import ErrorDetails

from perennial.toml_lines import Path

__all__ = ["Mistake", "from_pydantic", "one_of", "shown", "suggestion"]

_SHOWN: Final = 80
_BOUNDS: Final[Mapping[str, tuple[str, str]]] = {
    "greater_than": ("greater than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}
_KINDS: Final[Mapping[str, str]] = {
    "string_type": "text in quotes",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake: where in the document, and what is wrong, without its line."""

    path: Path
    sentence: str


def shown(value: object) -> str:
    """A value as the file spells it, shortened."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def suggestion(given: object, known: Iterable[str]) -> str:
    """A "Did you mean" for what resembles something known, or nothing."""
    close = difflib.get_close_matches(str(given), list(known), n=1, cutoff=0.6)
    return f" Did you mean {shown(close[0])}?" if close else ""


def one_of(key: str, given: object, known: Iterable[str]) -> str:
    """The sentence for a value outside a set."""
    names = list(known)
    return f"{key} must be one of {', '.join(names)}. Got {shown(given)} instead.{suggestion(given, names)}"


def from_pydantic(errors: Iterable[ErrorDetails], document: Mapping[str, Any], model: type[BaseModel]) -> list[Mistake]:
    """
    pydantic's errors on `document` as mistakes, one for each place.

    A value that fits no member of a union gives an error for each member: those about the value as a whole yield to
    those about something inside of it.
    """
    found: dict[Path, Mistake] = {}
    tagged: set[Path] = set()
    for error in errors:
        path, stray = _real_path(error["loc"], document, missing=error["type"] == "missing")
        mistake = _mistake(error, path, document, model)
        if stray:
            tagged.add(mistake.path)
        found.setdefault(mistake.path, mistake)
    inner = set(found)
    return [
        mistake
        for path, mistake in found.items()
        if path not in tagged or not any(len(other) > len(path) and other[: len(path)] == path for other in inner)
    ]


def _real_path(loc: tuple[str | int, ...], document: Any, *, missing: bool) -> tuple[Path, bool]:
    """The parts of pydantic's location that are in the document; whether others (names of union members) were not."""
    path: list[str | int] = []
    here, stray = document, False
    for position, part in enumerate(loc):
        inside = (isinstance(here, Mapping) and part in here) or (
            isinstance(here, list | tuple) and isinstance(part, int) and part < len(here)
        )
        if inside:
            here = here[part]
            path.append(part)
        elif missing and position == len(loc) - 1:
            path.append(part)
        else:
            stray = True
    return tuple(path), stray


def _mistake(error: ErrorDetails, path: Path, document: Mapping[str, Any], model: type[BaseModel]) -> Mistake:
    kind, given, context = error["type"], error["input"], error.get("ctx", {})
    key = _key_at(path)
    if kind == "extra_forbidden":
        known = _keys(_model_at(model, error["loc"][:-1]))
        sentence = f"{key} is not known here: a key must be one of {', '.join(known)}.{suggestion(key, known)}"
    elif kind == "missing":
        sentence = f"{key} must be given. Got nothing instead."
    elif kind == "literal_error":
        known = [part.strip().strip("'") for part in context["expected"].replace(" or ", ", ").split(", ")]
        sentence = one_of(key, given, known)
    elif kind == "value_error":
        sentence = str(context.get("error", error["msg"])).rstrip(".") + "."
        return Mistake(_named_path(sentence, path, document), _with_key(sentence, path, document))
    elif kind in _BOUNDS:
        words, bound = _BOUNDS[kind]
        sentence = f"{key} must be {words} {context[bound]}. Got {shown(given)} instead."
    elif kind in _KINDS:
        sentence = f"{key} must be {_KINDS[kind]}. Got {shown(given)} instead."
    elif kind == "string_pattern_mismatch":
        sentence = f"{key} must match {context['pattern']}. Got {shown(given)} instead."
    else:
        sentence = f"{key}: {error['msg'][0].lower()}{error['msg'][1:]}. Got {shown(given)} instead."
    return Mistake(path, sentence)


def _key_at(path: Path) -> str:
    """The key that a path ends in, with its index where it is an item of a list."""
    if len(path) > 1 and isinstance(path[-1], int):
        return f"{path[-2]}[{path[-1]}]"
    return str(path[-1]) if path else ""


def _at(document: Any, path: Path) -> Any:
    for part in path:
        document = document[part]
    return document


def _named_path(sentence: str, path: Path, document: Mapping[str, Any]) -> Path:
    """Our own validators begin with the key that they speak of: its line says more than its table's."""
    table, word = _at(document, path), sentence.split(" ", 1)[0]
    return (*path, word) if isinstance(table, Mapping) and word in table else path


def _with_key(sentence: str, path: Path, document: Mapping[str, Any]) -> str:
    """The sentence, told which key it is about unless it says so itself."""
    if not path or isinstance(_at(document, path), Mapping) or sentence.startswith(f"{path[-1]} "):
        return sentence
    return f"{path[-1]}: {sentence}"


def _model_at(model: type[BaseModel], loc: tuple[str | int, ...]) -> type[BaseModel]:
    """The model that describes the table at `loc`, past parts that name no field: keys of tables, union members."""
    here: type[BaseModel] = model
    waiting: list[type[BaseModel]] = []
    for part in loc:
        field = next((f for name, f in here.model_fields.items() if part in _spellings(name, f.validation_alias)), None)
        if field is not None:
            waiting = _models_in(field.annotation)
        if waiting:
            named = [one for one in waiting if one.__name__ == part]
            here = named[0] if named else waiting[0]
    return here


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if typing.get_origin(annotation) is None and not isinstance(annotation, types.UnionType):
        return []
    return [model for part in typing.get_args(annotation) for model in _models_in(part)]


def _spellings(name: str, alias: object) -> tuple[str, ...]:
    if isinstance(alias, AliasChoices):
        return tuple(str(choice) for choice in alias.choices)
    return (name,)


def _keys(model: type[BaseModel]) -> list[str]:
    """How the keys of a model are spelled in a file: the shortest spelling of each."""
    return sorted(min(_spellings(name, f.validation_alias), key=len) for name, f in model.model_fields.items())
