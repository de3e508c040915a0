"""A clock that goes as fast as the machine does: what AWS limits in seconds isn't over because a laptop is busy."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable

__all__ = ["LOOK_SECONDS", "Pace", "measured_share"]

LOOK_SECONDS = 0.5
# To hash so much takes a few milliseconds, long enough for others to get their turns, and holds no lock of Python's.
_PROBE = bytes(2 << 20)
# Who isn't woken for so long was asleep or starved: that time is nobody's.
_LONGEST_SECONDS = 4 * LOOK_SECONDS


def measured_share() -> float:
    """The share of a core that a busy thread of this process gets now: about 1 on a machine with a core to spare."""
    worked_from, began = time.thread_time(), time.perf_counter()
    hashlib.sha256(_PROBE).digest()
    worked, took = time.thread_time() - worked_from, time.perf_counter() - began
    return min(1.0, worked / took)


class Pace:
    """
    Seconds since it was made, each as long as the machine needs for a second's work.

    It goes on only while somebody looks: who waits by it must `look` now and then, or have it looked at.

    Parameters
    ----------
    wall
        Seconds of a clock that never goes back.
    share
        Gives the share of a core that work gets, above 0 and at most 1.

    >>> moments = iter([0.0, 1.0, 1.0, 2.0])
    >>> pace = Pace(wall=lambda: next(moments), share=lambda: 0.25)
    >>> pace.look()  # a second has passed, and from here on everybody gets a quarter
    >>> pace.now()
    1.0
    >>> pace.now()
    1.25
    """

    def __init__(
        self, *, wall: Callable[[], float] = time.monotonic, share: Callable[[], float] = measured_share
    ) -> None:
        self._wall, self._measure = wall, share
        self._lock = threading.Lock()
        self._seconds, self._looked_at, self._share = 0.0, wall(), 1.0

    def now(self) -> float:
        """Seconds so far; never less than before."""
        with self._lock:
            return self._read(self._wall())

    def look(self) -> None:
        """See how fast the machine goes now."""
        share = self._measure()
        with self._lock:
            at = self._wall()
            self._seconds, self._looked_at, self._share = self._read(at), at, share

    def real(self, seconds: float) -> float:
        """Seconds of the wall clock that `seconds` of this one take, as it goes now."""
        with self._lock:
            return seconds / self._share

    def _read(self, at: float) -> float:
        return self._seconds + min(at - self._looked_at, _LONGEST_SECONDS) * self._share
