"""The data that a loop ships for its demo: `loops/<name>/stream.py` cuts it into what would land."""

from __future__ import annotations

import csv
import importlib.util
import io
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, cast

from perennial.errors import EnvironmentLacking

__all__ = ["Stream", "Week", "load_stream", "rows_of"]


class Week(Protocol):
    """One landed file's worth of records and the labels that follow it."""

    number: int
    rows: int
    batch_name: str
    labels_name: str
    last_event_at: datetime

    def batch_csv(self, **changes: Any) -> bytes:
        """The batch as a file."""

    def labels_csv(self, **changes: Any) -> bytes:
        """Its labels as a file."""


class Stream(Protocol):
    """A loop's `stream.py`."""

    WEEKS: int

    def week(self, number: int) -> Week:
        """The week of that number."""

    def weeks(self, first: int, last: int) -> Iterator[Week]:
        """The weeks `first` up to, not including, `last`."""


def load_stream(folder: Path) -> Stream:
    """
    The stream of the loop in `folder`.

    Raises
    ------
    EnvironmentLacking
        The loop ships none, so it can't be demonstrated.
    """
    path = folder / "stream.py"
    if not path.is_file():
        able = sorted(other.parent.name for other in folder.parent.glob("*/stream.py"))
        raise EnvironmentLacking(
            f"the loop must ship stream.py for a demo. Got none in {folder.name}; these do: {able}."
        )
    name = f"perennial_demo_stream_{folder.name}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return cast(Stream, module)


def rows_of(batch: bytes) -> list[dict[str, str]]:
    """The rows of a batch file as the endpoint takes them."""
    return list(csv.DictReader(io.StringIO(batch.decode())))
