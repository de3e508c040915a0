"""A script of named steps: each is good, bad or skipped; what must be cleaned up is, whatever happens."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal

__all__ = ["Bad", "Outcome", "Script", "Skipped", "Step"]

Verdict = Literal["good", "bad", "skipped"]
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Bad(Exception):
    """A step did not show what it must; the message says what was found instead."""


class Skipped(Exception):
    """A step can't be done here; the message says why."""


@dataclass(frozen=True, slots=True)
class Step:
    """
    One thing to show.

    Attributes
    ----------
    name
        What must hold, as a sentence.
    action
        Does it and says in a sentence what was seen; raises `Bad` or `Skipped`.
    needs
        Names of steps without which it makes no sense.
    always
        Done whatever happened before, and not interrupted: it cleans up.
    """

    name: str
    action: Callable[[], str]
    needs: tuple[str, ...] = ()
    always: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a step."""

    name: str
    verdict: Verdict
    sentence: str
    seconds: float


class Script:
    """
    Runs steps one after the other.

    Parameters
    ----------
    told
        Called with each outcome as soon as it is known.
    limit_seconds
        After so long no further step begins, but for those that clean up.
    clock
        Seconds that only grow.
    """

    def __init__(
        self, told: Callable[[Outcome], None], *, limit_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._told, self._limit_seconds, self._clock = told, limit_seconds, clock
        self._began = clock()
        self._broken_off = ""
        self.outcomes: list[Outcome] = []

    def run(self, steps: Sequence[Step]) -> None:
        """Do all that can be done; returns when everything that cleans up has been tried."""
        with suppress(KeyboardInterrupt), self._breakable():
            for step in steps:
                if not step.always:
                    self._keep(self._attempt(step))
        for step in steps:
            if step.always:
                with _uninterrupted():
                    self._keep(self._attempt(step))

    @contextmanager
    def _breakable(self) -> Iterator[None]:
        """Ctrl-C, a closed terminal and a cancelled CI job end the present step and let no other begin."""

        def break_off(*_: object) -> None:
            self._broken_off = "somebody broke it off"
            raise KeyboardInterrupt

        before = {number: signal.signal(number, break_off) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @property
    def time_is_up(self) -> bool:
        """Whether the script has lasted as long as it may."""
        return self._clock() - self._began >= self._limit_seconds

    @property
    def good(self) -> bool:
        """Everything was shown."""
        return all(outcome.verdict == "good" for outcome in self.outcomes)

    def _keep(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self._told(outcome)

    def _attempt(self, step: Step) -> Outcome:
        why = "" if step.always else self._not_now(step)
        if why:
            return Outcome(step.name, "skipped", why, 0.0)
        began = self._clock()
        try:
            verdict, sentence = self._done(step)
        except KeyboardInterrupt:
            verdict, sentence = "bad", "interrupted"
        return Outcome(step.name, verdict, sentence, self._clock() - began)

    @staticmethod
    def _done(step: Step) -> tuple[Verdict, str]:
        try:
            return "good", step.action()
        except Skipped as error:
            return "skipped", str(error)
        except Bad as error:
            return "bad", str(error)
        except Exception as error:  # noqa: BLE001 - whatever AWS or the network may raise is what the log is for
            return "bad", f"{type(error).__name__}: {error}"

    def _not_now(self, step: Step) -> str:
        if self._broken_off:
            return self._broken_off
        if self.time_is_up:
            return f"the script may last {self._limit_seconds / 60:.0f} minutes, which are over"
        failed = [one.name for one in self.outcomes if one.name in step.needs and one.verdict != "good"]
        return f"it takes what did not succeed: {', '.join(failed)}" if failed else ""


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Nobody's Ctrl-C keeps us from cleaning up; who insists can still kill the process."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
