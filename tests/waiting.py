"""How tests wait: for the outcome, as long as the machine needs for it, until nothing moves any more."""

from __future__ import annotations

import time
from collections.abc import Callable

from localcloud.pace import LOOK_SECONDS, Pace

__all__ = ["STALL_SECONDS", "until"]

# By a clock that goes slower on a busy machine; what a test waits for takes a hundredth of it on a quiet one.
STALL_SECONDS = 120.0


def until[T](
    look: Callable[[], T],
    *,
    what: str = "the outcome",
    progress: Callable[[], object] = lambda: None,
    stall_seconds: float = STALL_SECONDS,
    pause_seconds: float = 0.03,
    pace: Pace | None = None,
) -> T:
    """
    What `look` gives as soon as that is true.

    Parameters
    ----------
    progress
        Anything that changes while the system works on the outcome.
    stall_seconds
        The test fails when for so long neither that nor what `look` gave has changed.
    """
    pace = pace or Pace()
    seen, seen_at, looked_at = ("", ""), pace.now(), time.monotonic()
    while not (found := look()):
        if time.monotonic() - looked_at >= LOOK_SECONDS:
            pace.look()
            looked_at = time.monotonic()
            if (now := (repr(found), repr(progress()))) != seen:
                seen, seen_at = now, pace.now()
            assert pace.now() - seen_at <= stall_seconds, f"{what} must come. Nothing has moved: {found!r}, {seen[1]}."
        time.sleep(pause_seconds)
    return found
