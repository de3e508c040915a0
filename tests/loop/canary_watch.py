"""Clients of the endpoint, and an observer of its weights and alarms: what was seen, and when."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from botocore.exceptions import BotoCoreError, ClientError

from localcloud.pace import LOOK_SECONDS, Pace
from perennial.cli.inference import ask
from tests.loop.journey import Journey

__all__ = ["Call", "Callers", "Seen", "Watch"]

_PAUSE_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Call:
    """One request to the endpoint, and when it ended by a clock that goes as fast as the machine does."""

    ended_at: float
    variant: str | None
    error: str | None
    targeted: bool = False


class Callers:
    """
    Clients that ask the endpoint row after row, until stopped.

    Parameters
    ----------
    per_second
        Requests of all clients together, where the machine gives so many.

    Attributes
    ----------
    change
        Changes every other row.
    target
        The variant that half of the changed rows are sent to; all others go where the weights send them.
    """

    def __init__(
        self, journey: Journey, rows: Sequence[Mapping[str, Any]], *, clients: int = 3, per_second: float
    ) -> None:
        self._journey, self._rows, self._pause = journey, itertools.cycle(rows), clients / per_second
        self._stopping, self._clock = threading.Event(), Pace()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._client, daemon=True) for _ in range(clients)]
        self.change: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None
        self.target: str | None = None
        self.calls: list[Call] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        threading.Thread(target=self._look, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _look(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            self._clock.look()

    def _client(self) -> None:
        while not self._stopping.is_set():
            started = time.monotonic()
            with self._lock:
                row = next(self._rows)
                number = len(self.calls)
            change, target = self.change, self.target if number % 4 == 1 else None
            if change and number % 2:
                row = change(row)
            try:
                answered = ask(self._journey.deployment, [row], target_variant=target)
                call = Call(self._clock.now(), answered.variant, answered.error, target is not None)
            except BotoCoreError as error:
                call = Call(self._clock.now(), None, repr(error), target is not None)
            with self._lock:
                self.calls.append(call)
            self._stopping.wait(max(0.0, self._pause - (time.monotonic() - started)))


@dataclass(frozen=True, slots=True)
class Seen:
    """One look: the endpoint's status, current weights by variant, and the alarms' states by name."""

    at: float
    status: str
    weights: Mapping[str, float]
    alarms: Mapping[str, str]


@dataclass
class Watch:
    """Looks at the endpoint and the loop's alarms, several times a second, until stopped."""

    journey: Journey
    seen: list[Seen] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    @property
    def weights(self) -> list[Mapping[str, float]]:
        """The weights in service, each change once, in order."""
        settled = [one.weights for one in self.seen if one.status == "InService"]
        return [weights for weights, _ in itertools.groupby(settled)]

    def states_of(self, alarm: str) -> list[str]:
        """The states that an alarm went through."""
        return [state for state, _ in itertools.groupby(one.alarms[alarm] for one in self.seen)]

    def _look(self) -> None:
        while not self._stopping.wait(_PAUSE_SECONDS):
            try:
                endpoint = self.journey.endpoint()
            except ClientError:
                continue  # not created yet
            alarms = self.journey.client("cloudwatch").describe_alarms(AlarmTypes=["MetricAlarm", "CompositeAlarm"])
            described = [*alarms["MetricAlarms"], *alarms["CompositeAlarms"]]
            self.seen.append(
                Seen(
                    at=time.monotonic(),
                    status=endpoint["EndpointStatus"],
                    weights={one["VariantName"]: one["CurrentWeight"] for one in endpoint["ProductionVariants"]},
                    alarms={one["AlarmName"]: one["StateValue"] for one in described},
                )
            )
