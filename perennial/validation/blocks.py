"""What readers hand to the checks: rows with the contract's types, and the rows that did not get that far."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from perennial.validation.outcome import SchemaChange, Violation

__all__ = ["Block", "FileRejected", "Reader", "Refused", "shown"]

Flags = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that could not be read: `row` counts landed rows of its block from 0."""

    row: int
    reason: str
    text: str


@dataclass(frozen=True)
class Block:
    """
    `landed` rows of a file: those of `batch`, `refused` ones, and `blank` ones.

    `places[i]` is the landed row (from 0 in this block) of row i of the batch; None where they are the same.
    `failures` are columns whose flagged cells could not be parsed, with the reason; `text` gives the original text of
    rows of the batch. `settle`, if given, is called when this block and all before it have been taken; it may raise
    FileRejected.
    """

    batch: Any
    landed: int
    text: Callable[[Ints], list[str]]
    refused: tuple[Refused, ...] = ()
    blank: int = 0
    places: Ints | None = None
    failures: tuple[tuple[str, Flags, str], ...] = ()
    settle: Callable[[], None] | None = None


class Reader(Protocol):
    """
    A format: cuts a file into parts, and knows how the file's columns differ from the contract's.

    `parts` yields, in order, what reads one block each. Several workers may call them later, from any thread and in any
    order; one must call each before it asks for the next.
    """

    schema_change: SchemaChange | None

    def parts(self, *, workers: int) -> Iterator[Callable[[], Block]]:
        """Every row of the file, once."""


class FileRejected(Exception):
    """Reading can't go on, or must not; `violation` says why. Never leaves perennial.validation."""

    def __init__(self, code: str, message: str) -> None:
        self.violation = Violation(code, message)
        super().__init__(message)


def shown(text: bytes | str | dict[str, Any], limit: int) -> str:
    """A row's original text for the quarantine: escapes where it is no UTF-8, cut at `limit` characters."""
    if isinstance(text, bytes):
        text = text[: 4 * limit].rstrip(b"\r\n").decode("utf-8", "backslashreplace")
    elif not isinstance(text, str):
        text = json.dumps(text, default=str, ensure_ascii=False)
    return text if len(text) <= limit else text[:limit] + "…"
