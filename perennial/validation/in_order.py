"""
Work on the parts of a file by several threads, whose results come in the order of the parts.

Arrow's and numpy's loops let go of the interpreter's lock, so that threads of one process use all cores.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from perennial.validation.blocks import FileRejected

__all__ = ["Turns", "in_order"]

#: Parts that wait beyond those that are worked on: enough that nobody idles while one part takes longer.
_AHEAD = 1


class Turns:
    """Lets numbered parties pass one after the other, from 0 on."""

    def __init__(self) -> None:
        self._next = 0
        self._changed = threading.Condition()

    @contextmanager
    def turn(self, number: int) -> Iterator[None]:
        """Wait for all smaller numbers; whoever has had its turn, or failed, lets the next one pass."""
        with self._changed:
            self._changed.wait_for(lambda: self._next >= number)
        try:
            yield
        finally:
            self.passed(number)

    def passed(self, number: int) -> None:
        """Say that a number needs no turn any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._next >= number)
            self._next = max(self._next, number + 1)
            self._changed.notify_all()


def in_order[Part, Result](
    parts: Iterator[Part], work: Callable[[int, Part], Result], workers: int
) -> Generator[Result]:
    """
    `work(number, part)` of each part, in order, by `workers` threads; by the caller's own where there is one.

    The caller's thread takes parts from the iterator, and never more of them than are being worked on and one
    more: what this holds at a time is bounded. A rejection, by the iterator too, comes after the results before it.

    >>> list(in_order(iter("abc"), lambda number, part: part * number, workers=2))
    ['', 'b', 'cc']
    """
    if workers == 1:
        yield from (work(number, part) for number, part in enumerate(parts))
        return
    with ThreadPoolExecutor(workers, "perennial-validation") as pool:
        waiting: deque[Future[Result]] = deque()
        error: FileRejected | None = None
        number = 0
        try:
            while True:
                try:
                    part = next(parts)
                except StopIteration:
                    break
                except FileRejected as found:
                    error = found
                    break
                waiting.append(pool.submit(work, number, part))
                number += 1
                if len(waiting) >= workers + _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
            if error is not None:
                raise error
        finally:
            for future in waiting:
                future.cancel()
