"""Several workers at once, one AWS call at a time, in an order that a test chooses; any of them may be killed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from tests.faults.seam import SERVICES, Killed
from tests.functions.world import World

#: A barrier that nobody reaches for so long is a deadlock of the test itself, on however slow a machine.
PATIENCE_SECONDS = 3600.0


@dataclass
class Worker:
    """One delivery under way in a thread of its own; it waits before each AWS call until it is let go."""

    work: Callable[[], Any]
    killed: bool = False
    done: bool = False
    go: threading.Event = field(default_factory=threading.Event)
    stopped: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Run up to the first call."""
        threading.Thread(target=self._run, daemon=True).start()
        self._await()

    def step(self) -> None:
        """Make the call that it waits before, and run up to the next."""
        self.stopped.clear()
        self.go.set()
        self._await()

    def _await(self) -> None:
        assert self.stopped.wait(PATIENCE_SECONDS), "a worker must come to its next call"

    def _run(self) -> None:
        _OWN.worker = self
        # Whatever ends a delivery: it comes again.
        with suppress(Killed, Exception):
            self.work()
        self.done = True
        self.stopped.set()

    def pause(self) -> None:
        """Called before each AWS call, in the worker's own thread."""
        self.stopped.set()
        assert self.go.wait(PATIENCE_SECONDS), "a worker must be let go"
        self.go.clear()
        if self.killed:
            raise Killed


_OWN = threading.local()


@contextmanager
def _paused(world: World) -> Iterator[None]:
    def hook(**_: Any) -> None:
        worker = getattr(_OWN, "worker", None)
        if worker is not None:
            worker.pause()

    clients = [getattr(world.clients, service) for service in SERVICES]
    for client in clients:
        client.meta.events.register("before-call.*", hook)
    try:
        yield
    finally:
        for client in clients:
            client.meta.events.unregister("before-call.*", hook)


def interleave(world: World, work: Sequence[Callable[[], Any]], order: Sequence[int], kills: Sequence[int]) -> None:
    """
    Runs all of `work` at once, one call at a time.

    Parameters
    ----------
    order
        Which worker makes the next call, counted among those that are left; when it is used up, each runs to its end.
    kills
        At which steps the worker whose turn it is dies instead, as by kill -9.
    """
    with _paused(world):
        workers = [Worker(one) for one in work]
        for worker in workers:
            worker.start()
        steps = iter(order)
        number = 0
        while left := [worker for worker in workers if not worker.done]:
            worker = left[next(steps, 0) % len(left)]
            worker.killed = number in kills
            worker.step()
            number += 1
