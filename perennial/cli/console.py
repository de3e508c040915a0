"""What every command shares: output for people or for scripts, and exit codes."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pydantic import BaseModel
from rich.console import Console

from perennial.errors import LoopInvalid, PerennialError

__all__ = ["ANSWER_IS_NO", "GOOD", "INPUT_IS_WRONG", "emit_json", "err", "out", "reported"]

GOOD: Final = 0
ANSWER_IS_NO: Final = 1
INPUT_IS_WRONG: Final = 2

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def _plain(value: object) -> object:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return str(value)


def emit_json(value: object) -> None:
    """One JSON document on standard output, for scripts."""
    sys.stdout.write(json.dumps(value, default=_plain, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def reported() -> Iterator[None]:
    """Turn our errors into sentences on standard error and exit code 2; anything else is a defect and stays loud."""
    try:
        yield
    except LoopInvalid as error:
        for mistake in error.mistakes:
            err.print(mistake, style="red", markup=False, soft_wrap=True)
        raise SystemExit(INPUT_IS_WRONG) from None
    except PerennialError as error:
        err.print(str(error), style="red", markup=False, soft_wrap=True)
        raise SystemExit(INPUT_IS_WRONG) from None
