"""
What the sections of a loop.toml must agree on with each other, asked of the document as it stands.

The document may be wrong elsewhere: each question looks only at what it needs and is silent when that isn't there, so
that all mistakes are told at once.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, get_args

from perennial.metrics import METRICS, Task, default_metric, direction, metrics_of
from perennial.mistakes import Mistake, one_of, shown

__all__ = ["inconsistencies"]

Document = Mapping[str, Any]
_NUMERIC: Final = ("number", "integer")


def inconsistencies(document: Document, *, folder_name: str | None = None) -> list[Mistake]:
    """Every disagreement between parts of the document."""
    found = [mistake for ask in _QUESTIONS for mistake in ask(document)]
    name = _section(document, "loop").get("name")
    if folder_name is not None and isinstance(name, str) and name != folder_name:
        found.append(Mistake(("loop", "name"), f"name must be the folder's, {folder_name!r}. Got {name!r} instead."))
    return found


def _section(document: Document, *path: str) -> Document:
    here: Any = document
    for part in path:
        here = here.get(part) if isinstance(here, Mapping) else None
    return here if isinstance(here, Mapping) else {}


def _nfc(name: object) -> str:
    return unicodedata.normalize("NFC", str(name))


def _columns(document: Document) -> dict[str, Any]:
    data = _section(document, "data")
    named = {_nfc(name): column for name, column in _section(data, "columns").items()}
    roles = [_nfc(data[role]) for role in ("record_id", "event_time") if isinstance(data.get(role), str)]
    return {**dict.fromkeys(roles), **named}


def _roles_name_columns(document: Document) -> Iterator[Mistake]:
    data, columns = _section(document, "data"), _columns(document)
    if not _section(data, "columns"):
        return
    if "label" not in data:
        yield Mistake(("data", "label"), "label must name the column that is to be predicted. Got nothing instead.")
    for role in ("label", "entity", "value"):
        if isinstance(data.get(role), str) and _nfc(data[role]) not in columns:
            yield Mistake(("data", role), one_of(role, data[role], columns))
    for role in ("segments", "sensitive"):
        names = data.get(role)
        for index, name in enumerate(names if isinstance(names, list) else ()):
            if _nfc(name) not in columns:
                yield Mistake(("data", role, index), one_of(f"each of {role}", name, columns))


def _label_fits_task(document: Document) -> Iterator[Mistake]:
    label, task = _section(document, "data").get("label"), _section(document, "loop").get("task")
    column = _columns(document).get(_nfc(label))
    kind = column.get("type") if isinstance(column, Mapping) else None
    if task == "regression" and isinstance(kind, str) and kind not in _NUMERIC:
        told = f'the label {shown(label)} must be a number for task "regression". Got type {shown(kind)} instead.'
        yield Mistake(("data", "label"), told)


def _metrics_fit_task(document: Document) -> Iterator[Mistake]:
    given_task = _section(document, "loop").get("task")
    task = given_task if given_task in get_args(Task) else None
    known = metrics_of(task) if task else tuple(METRICS)
    whose = f'a task "{task}"' if task else "any task"
    gate = _section(document, "gate")
    performance = _section(document, "triggers", "performance")
    places = [(("gate", "metric"), gate), (("triggers", "performance", "metric"), performance)]
    for path, table in places:
        if isinstance(table.get("metric"), str) and table["metric"] not in known:
            yield Mistake(path, one_of(f"metric of {whose}", table["metric"], known))
    for name in _section(gate, "floors"):
        if name not in known:
            yield Mistake(("gate", "floors", name), one_of(f"a floor of {whose}", name, known))
    metric = gate.get("metric", default_metric(task) if task else None)
    given = gate.get("direction")
    if metric in METRICS and given in ("higher", "lower") and given != direction(metric):
        told = f"direction must be {shown(direction(metric))} for {metric}. Got {shown(given)} instead."
        yield Mistake(("gate", "direction"), told)


def _forgetting_has_anchors(document: Document) -> Iterator[Mistake]:
    training = _section(document, "training")
    if "max_forgetting" in _section(document, "gate") and not (training.get("anchor") or training.get("anchor_share")):
        told = "max_forgetting must have an anchor set to be measured on: set anchor = 0.05, say, in [training]."
        yield Mistake(("gate", "max_forgetting"), told)


def _business_has_value(document: Document) -> Iterator[Mistake]:
    if "business" not in _section(document, "triggers"):
        return
    data = _section(document, "data")
    if "value" not in data:
        yield Mistake(("triggers", "business"), "business must have a value per record: name its column in [data].")
        return
    columns = data.get("columns")
    column = columns.get(data["value"]) if isinstance(columns, dict) else None
    kind = column.get("type") if isinstance(column, dict) else None
    if kind is not None and kind not in ("number", "integer"):
        yield Mistake(("data", "value"), f"value must name a column of numbers. Got one of type {shown(kind)} instead.")


def _silence_has_a_class(document: Document) -> Iterator[Mistake]:
    task = _section(document, "loop").get("task")
    if task in ("multiclass", "regression") and "negative_after" in _section(document, "labels"):
        told = f'negative_after must be left out for task "{task}": it has no negative class.'
        yield Mistake(("labels", "negative_after"), told)


_QUESTIONS: Final[tuple[Callable[[Document], Iterator[Mistake]], ...]] = (
    _roles_name_columns,
    _label_fits_task,
    _metrics_fit_task,
    _forgetting_has_anchors,
    _business_has_value,
    _silence_has_a_class,
)
