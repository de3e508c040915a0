"""Clients of the endpoint: a steady stream of prediction requests, counted by variant."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from perennial.cli.deployment import Deployment
from perennial.cli.inference import Answered, ask

__all__ = ["Traffic"]

Row = Mapping[str, Any]
_PAUSE_SECONDS = 0.05
_TOGETHER = 12


class Traffic:
    """
    Requests from a few client threads, until stopped.

    Rows are asked once in order (`serve`), several in a request; then again and again, one in a request, while
    `keep_going` is on, as live traffic does during a rollout. What came back is counted by variant, errors apart.
    """

    def __init__(self, deployment: Deployment, *, record_id: str, clients: int = 2, per_second: float = 45.0) -> None:
        self._deployment, self._record_id = deployment, record_id
        self._pause = clients / per_second
        self._lock = threading.Lock()
        self._rows: Sequence[Row] = ()
        self._queue: Iterator[list[Row]] = iter(())
        self._busy = 0
        self._stopping = threading.Event()
        self.keep_going = False
        self.change: Callable[[Row, int], Row] | None = None
        self.answered: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.last_error: str | None = None
        self._asked = 0
        self._threads = [threading.Thread(target=self._client, daemon=True) for _ in range(clients)]

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(timeout=30)

    def serve(self, rows: Sequence[Row], *, wait: bool = True) -> None:
        """Send each of `rows` once; with `wait`, come back when all are answered."""
        with self._lock:
            self._rows = rows
            self._queue = iter([list(rows[at : at + _TOGETHER]) for at in range(0, len(rows), _TOGETHER)])
        while wait and not self._idle():
            time.sleep(_PAUSE_SECONDS)

    def counts(self) -> dict[str, tuple[int, int]]:
        """By variant: requests answered, requests failed."""
        with self._lock:
            return {name: (self.answered[name], self.errors[name]) for name in {*self.answered, *self.errors}}

    def _idle(self) -> bool:
        with self._lock:
            if self._busy:
                return False
            rows = next(self._queue, None)
            if rows is None:
                return True
            self._queue = iter([rows, *self._queue])
            return False

    def _next(self) -> list[Row] | None:
        with self._lock:
            rows = next(self._queue, None)
            if rows is None and self.keep_going and self._rows:
                self._queue = iter([[row] for row in self._rows])
                rows = next(self._queue, None)
            if rows is None:
                return None
            self._busy += 1
            self._asked += 1
            return [self.change(row, self._asked) for row in rows] if self.change else rows

    def _client(self) -> None:
        while not self._stopping.is_set():
            rows = self._next()
            if rows is None:
                time.sleep(_PAUSE_SECONDS)
                continue
            started = time.monotonic()
            answered = ask(self._deployment, rows, inference_id=str(rows[0][self._record_id])[:64])
            self._count(answered)
            time.sleep(max(0.0, self._pause - (time.monotonic() - started)))

    def _count(self, answered: Answered) -> None:
        with self._lock:
            self._busy -= 1
            name = answered.variant or "nobody"
            if answered.error:
                self.errors[name] += 1
                self.last_error = answered.error
            else:
                self.answered[name] += 1
