"""One execution while it runs: its history, how long it may take, and who ended it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from ministack.services import stepfunctions as sf

from localcloud.context import Context
from localcloud.states.errors import Interrupted

_LONGEST_SLEEP_SECONDS = 0.5


class Run:
    """
    A running execution.

    Attributes
    ----------
    execution
        ministack's record of it, which the API reads.
    role
        ARN of the role that its calls are made as.
    """

    def __init__(
        self, context: Context, execution: dict[str, Any], *, role: str, timeout_seconds: float | None
    ) -> None:
        self.context = context
        self.execution = execution
        self.role = role
        self._changed = threading.Condition()
        self._ended = ""
        self._deadline = context.pace.now() + timeout_seconds if timeout_seconds else None
        self.timeout_seconds = timeout_seconds

    def now(self) -> float:
        """The clock that limits and waits go by."""
        return self.context.pace.now()

    @property
    def ended(self) -> str:
        """Why it must let go: "stopped", "timed out", "suspended"; nothing while it may go on."""
        if not self._ended and self._deadline is not None and self.now() >= self._deadline:
            self._ended = "timed out"
        return self._ended

    def end(self, why: str) -> None:
        """Make whoever waits in this execution let go."""
        with self._changed:
            self._ended = self._ended or why
            self._changed.notify_all()

    def changed(self) -> None:
        """Let whoever waits look again at what it waits for."""
        with self._changed:
            self._changed.notify_all()

    def wait(self, ready: Callable[[], bool], seconds: float | None, scope: Scope) -> bool:
        """
        Wait until `ready()`, `seconds` at most: whether it is.

        Raises
        ------
        Interrupted
            The execution ended, or the branch was given up, in the meantime.
        """
        until = None if seconds is None else self.now() + seconds
        with self._changed:
            while True:
                scope.check()
                if ready():
                    return True
                limits = [limit - self.now() for limit in (until, self._deadline) if limit is not None]
                if until is not None and self.now() >= until:
                    return False
                # The clock may change its pace meanwhile, so nobody sleeps by it for long.
                self._changed.wait(min(_LONGEST_SLEEP_SECONDS, max(0.0, min(limits))) if limits else None)

    def call(self, work: Callable[[], Any], seconds: float | None, scope: Scope) -> Future[Any]:
        """Run `work` in a thread of its own, and wait for it as `wait` does; the future may not be done."""
        future: Future[Any] = Future()

        def run() -> None:
            try:
                with self.context.scope():
                    future.set_result(work())
            except BaseException as error:  # noqa: BLE001 - handed to whoever waits
                future.set_exception(error)
            self.changed()

        threading.Thread(target=run, name="localcloud-task", daemon=True).start()
        self.wait(future.done, seconds, scope)
        return future

    def record(self, kind: str, details: Mapping[str, Any] | None = None) -> int:
        """Add an event to the history, with its details under the name that AWS gives them: its number."""
        key = kind[0].lower() + kind[1:] + "EventDetails"
        if kind.endswith(("StateEntered", "StateExited")):
            key = f"state{kind[-len('Entered') :] if kind.endswith('Entered') else 'Exited'}EventDetails"
        with self._changed:
            event = sf._add_event(self.execution, kind, {key: dict(details)} if details else None)
            event["previousEventId"] = event["id"] - 1
        self.context.changed()
        return int(event["id"])


class Scope:
    """A part of a run that can be given up on its own: a branch of Parallel, an iteration of Map."""

    def __init__(self, run: Run, parent: Scope | None = None) -> None:
        self.run = run
        self._parent = parent
        self._given_up = False

    def give_up(self) -> None:
        """Make whoever works in this scope let go."""
        self._given_up = True
        self.run.changed()

    @property
    def over(self) -> bool:
        """Whether work in this scope has lost its purpose."""
        return self._given_up or bool(self.run.ended) or (self._parent is not None and self._parent.over)

    def check(self) -> None:
        """Raise Interrupted when the scope is over."""
        if self.over:
            raise Interrupted(self.run.ended or "given up")
