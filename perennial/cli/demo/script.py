"""The demo's acts: weeks of a real stream, and three accidents that the loop must survive."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from perennial import keys
from perennial.canonical import digest as digest_of
from perennial.cli.activity import Hope
from perennial.cli.demo.feed import Feed
from perennial.cli.demo.stream import Stream, rows_of
from perennial.cli.demo.traffic import Traffic
from perennial.cli.deployment import Deployment
from perennial.cli.landing import put_bytes
from perennial.cli.operate import ask_retraining
from perennial.errors import PerennialError
from perennial.events import (
    BatchAccepted,
    BatchRejected,
    CandidateJudged,
    Event,
    LabelsJoined,
    LabelsRejected,
    LearningConcluded,
    ModelPromoted,
    ModelRolledBack,
    RetrainingRequested,
    RolloutAdvanced,
    RolloutHeld,
)

__all__ = ["Accident", "Demo", "DemoStalled", "by_schedule"]

# Several turns of the demo's schedule; where none comes, the next week is landed and the wait begins anew.
SCHEDULE_SECONDS = 40.0
_FLIPPED_WEEKS = 12
_WEEKS_MEANWHILE = 3
_NEW_WEATHER = "5"
_TRIES = 4


class DemoStalled(PerennialError):
    """Something that must happen can't happen any more."""


@dataclass(frozen=True, slots=True)
class Accident:
    """One provoked accident and how the loop met it."""

    name: str
    provoked: str
    survived: bool
    sentence: str


@dataclass
class Demo:
    """One showing: the stream's position, and what has come of it so far."""

    deployment: Deployment
    stream: Stream
    feed: Feed
    traffic: Traffic
    say: Callable[[str], None]
    hope: Hope
    next_week: int = 0
    landed: int = 0
    provoked: str = ""
    accidents: list[Accident] = field(default_factory=list)

    # --- what happened so far ----------------------------------------------------------------------------------

    def count(self, kind: type[Event], test: Callable[[Any], bool] = lambda event: True) -> int:
        """How many events of `kind` pass `test` so far."""
        return sum(isinstance(event, kind) and test(event) for event in self.feed.events)

    def canary_promotions(self) -> int:
        """Promotions of a challenger that took traffic beside a champion."""
        return self.count(ModelPromoted, lambda event: event.previous_version is not None)

    def _await(self, what: str, test: Callable[[Event], bool], *, since: int) -> Event:
        self.hope.renew()
        why: list[str] = []
        event = self.feed.wait_for(test, lost=lambda: self._lost(why), since=since)
        if event is None:
            raise DemoStalled(f"{what} must come. It can't any more: {why[-1]}.")
        return event

    def _lost(self, why: list[str]) -> bool:
        why.extend(filter(None, [self.hope.lost()]))
        return bool(why)

    # --- acts --------------------------------------------------------------------------------------------------

    def first_model(self, weeks: int) -> None:
        """Land history at once; the loop notices that it has enough to learn from."""
        self.say(f"{weeks} weeks of history land at once, their labels with them")
        since = len(self.feed.events)
        self._land_at_once(weeks)
        self._await("the first model", lambda e: isinstance(e, ModelPromoted), since=since)
        self._settle()

    def live_week(self) -> None:
        """One week as it goes in production: traffic first, then its file, and a day later its labels."""
        week = self.stream.week(self.next_week)
        rows = rows_of(week.batch_csv())
        self.traffic.serve(rows)
        since = len(self.feed.events)
        self._land(keys.BATCHES_PREFIX, week.batch_name, week.batch_csv())
        self._await(f"a verdict on {week.batch_name}", _about(week.batch_name), since=since)
        self._land(keys.LABELS_PREFIX, week.labels_name, week.labels_csv())
        self._await(f"a verdict on {week.labels_name}", _about(week.labels_name), since=since)
        self.next_week += 1
        self.landed += 1
        self._settle()

    def poisoned_batch(self) -> None:
        """A supplier's broken export lands; the right file comes afterwards."""
        week = self.stream.week(self.next_week)
        self._provoke("a supplier's broken export lands (temperatures in Fahrenheit, humidity as text)")
        since = len(self.feed.events)
        self._land(keys.BATCHES_PREFIX, week.batch_name, _poison(week.batch_csv()))
        event = self._await("a verdict on the broken export", _about(week.batch_name), since=since)
        refused = isinstance(event, BatchRejected)
        self._accident(
            "poisoned batch", refused, "quarantined whole, nothing learnt from it" if refused else "accepted"
        )

    def flipped_labels(self) -> None:
        """A broken labelling job says busy for quiet; whoever learns from it must not be served."""
        self._provoke(f"a broken labelling job flips the labels of {_FLIPPED_WEEKS} weeks, and somebody retrains")
        first = self.next_week - _FLIPPED_WEEKS
        since = len(self.feed.events)
        self._labels(first, flipped=True, delay=_days(3))
        with self._traffic_goes_on():
            judged = self._retrained_on_nonsense(since)
        stopped = isinstance(judged, CandidateJudged) and judged.verdict != "passed"
        self._accident(
            "challenger trained on flipped labels", stopped, _first(judged) if stopped else "passed the gate"
        )
        self.say("the labelling job is mended and delivers the right labels again")
        self._labels(first, delay=_days(6))

    def _retrained_on_nonsense(self, since: int) -> Event:
        run = self._retrain("labels look different; an engineer retrains by hand", {})
        judged = self._judged(run, since)
        self._ended(run, since)
        return judged

    def failure_in_service(self) -> None:
        """A challenger that is good on all history meets a weather code that history never held."""
        self._provoke("a challenger that can't take a new weather code, which then appears in live traffic")
        for _ in range(_TRIES):
            since = len(self.feed.events)
            run = self._retrain("an engineer turns strict categories on", {"unknown_category": "error"})
            with self._traffic_goes_on():
                if self._judged(run, since).verdict == "passed":
                    self._fail_in_service(run, since)
                    return
                self._ended(run, since)
            self.say("the gate stopped this one; another week lands, and the engineer tries again")
            self.live_week()
        self._accident("challenger that fails in service", False, "the gate never let one through")

    def _fail_in_service(self, run: str, since: int) -> None:
        errors_before = dict(self.traffic.errors)
        self._await("the canary's second step", _takes_half(run), since=since)
        self.traffic.change = _new_weather
        try:
            rolled_back = self._await(
                "the roll-back",
                lambda e: isinstance(e, ModelRolledBack | ModelPromoted),
                since=since,
            )
        finally:
            self.traffic.change = None
        self._ended(run, since)
        self._judge_roll_back(rolled_back, errors_before)

    def _judge_roll_back(self, event: Event, errors_before: Mapping[str, int]) -> None:
        failed = {
            slot: count - errors_before.get(slot, 0)
            for slot, count in self.traffic.errors.items()
            if count > errors_before.get(slot, 0)
        }
        rolled_back = isinstance(event, ModelRolledBack)
        words = ", ".join(f"{slot} {count} errors" for slot, count in failed.items()) or "no errors seen by clients"
        cause = event.cause if isinstance(event, ModelRolledBack) else "promoted"
        self._accident(
            "challenger that fails in service", rolled_back and len(failed) == 1,
            f"rolled back by {cause}; {words}; the other slot answered every request",
        )  # fmt: skip

    def scheduled_retraining(self) -> None:
        """
        Weeks land while a run is on, which lets no signal start another; then nothing lands until the schedule's turn.

        Left to chance the schedule would wait long: it passes between one week and the next, and where weeks differ as
        much as these, drift asks as soon as the cooldown lets it.
        """
        self.say(f"{_WEEKS_MEANWHILE} weeks land while a model is learnt by hand; then all is quiet, and it is time")
        since = len(self.feed.events)
        with self._traffic_goes_on():
            run = self._retrain("an engineer retrains before the quarter ends", {})
            self._land_at_once(_WEEKS_MEANWHILE)
            self._ended(run, since)
            hope = Hope(self.deployment, quiet_seconds=SCHEDULE_SECONDS)
            self.feed.wait_for(by_schedule, lost=hope.lost, since=since)
        self._settle()

    # --- pieces ------------------------------------------------------------------------------------------------

    def _land(self, prefix: str, name: str, body: bytes) -> None:
        put_bytes(self.deployment, prefix, name, body)

    def _land_at_once(self, weeks: int) -> None:
        """The next weeks, their labels with them."""
        coming = list(self.stream.weeks(self.next_week, self.next_week + weeks))
        for week in coming:
            self._land(keys.BATCHES_PREFIX, week.batch_name, week.batch_csv())
        for week in coming:
            self._land(keys.LABELS_PREFIX, week.labels_name, week.labels_csv())
        self.next_week += weeks
        self.landed += weeks

    def _labels(self, first: int, **changes: Any) -> None:
        """Label all of those weeks again, in one file."""
        since = len(self.feed.events)
        files = [week.labels_csv(**changes) for week in self.stream.weeks(first, first + _FLIPPED_WEEKS)]
        header = files[0].splitlines(keepends=True)[0]
        name = f"again-{digest_of(files[0].decode())[:8]}.csv"
        self._land(keys.LABELS_PREFIX, name, header + b"".join(file.removeprefix(header) for file in files))
        self._await(f"a verdict on {name}", _about(name), since=since)

    def _retrain(self, reason: str, hyperparameters: Mapping[str, str]) -> str:
        """Ask until no other run is in the way."""
        self.hope.renew()
        while not (decision := ask_retraining(self.deployment, reason, hyperparameters))["fired"]:
            if why := self.hope.lost():
                raise DemoStalled(f"a retraining asked for by hand must start. Got {decision} instead, and {why}.")
            time.sleep(1.0)
        return str(decision["run_id"])

    def _judged(self, run: str, since: int) -> CandidateJudged:
        event = self._await(
            "the gate's verdict",
            lambda e: isinstance(e, CandidateJudged) and e.run_id == run,
            since=since,
        )
        assert isinstance(event, CandidateJudged)
        return event

    def _ended(self, run: str, since: int) -> LearningConcluded:
        event = self._await(
            "the end of the learning run",
            lambda e: isinstance(e, LearningConcluded) and e.run_id == run, since=since,
        )  # fmt: skip
        assert isinstance(event, LearningConcluded)
        return event

    def _settle(self) -> None:
        """While a learning run is on, traffic goes on; come back when none is."""
        with self._traffic_goes_on():
            while running := self._running():
                self._ended(running, 0)

    def _running(self) -> str | None:
        over = {e.run_id for e in self.feed.events if isinstance(e, LearningConcluded)}
        started = [e.run_id for e in self.feed.events if isinstance(e, RetrainingRequested)]
        return next((run for run in started if run not in over), None)

    def _traffic_goes_on(self) -> _Going:
        return _Going(self.traffic)

    def _provoke(self, what: str) -> None:
        self.provoked = what
        self.say(f"accident {len(self.accidents) + 1}: {what}")

    def _accident(self, name: str, survived: bool, sentence: str) -> None:
        self.accidents.append(Accident(name, self.provoked, survived, sentence))
        self.say(("survived: " if survived else "NOT survived: ") + f"{name}: {sentence}")


@dataclass
class _Going:
    traffic: Traffic

    def __enter__(self) -> None:
        self.traffic.keep_going = True

    def __exit__(self, *_: object) -> None:
        self.traffic.keep_going = False


def by_schedule(event: Event) -> bool:
    """Whether the schedule started a learning run."""
    return isinstance(event, RetrainingRequested) and event.signal == "schedule"


def _about(name: str) -> Callable[[Event], bool]:
    kinds = BatchAccepted | BatchRejected | LabelsJoined | LabelsRejected
    return lambda event: isinstance(event, kinds) and event.key.endswith("/" + name)


def _takes_half(run: str) -> Callable[[Event], bool]:
    """The challenger takes half of the traffic, or waits for it so long that it needn't; or it is over already."""
    held = 0

    def test(event: Event) -> bool:
        nonlocal held
        held += isinstance(event, RolloutHeld) and event.rollout_id == run
        advanced = isinstance(event, RolloutAdvanced) and event.rollout_id == run and event.traffic_share >= 0.5
        return advanced or held >= 3 or isinstance(event, ModelRolledBack | ModelPromoted)

    return test


def _first(event: Event) -> str:
    return event.reasons[0] if isinstance(event, CandidateJudged) and event.reasons else ""


def _days(count: int) -> Any:
    from datetime import timedelta

    return timedelta(days=count)


def _new_weather(row: Mapping[str, Any], asked: int) -> Mapping[str, Any]:
    """Every other request carries the new weather code."""
    return {**row, "weathersit": _NEW_WEATHER} if asked % 2 else row


def _poison(batch: bytes) -> bytes:
    """The batch as a broken export writes it: Fahrenheit instead of a share, words instead of humidity."""
    header, *lines = batch.decode().splitlines()
    names = header.split(",")
    temp, hum = names.index("temp"), names.index("hum")
    broken = []
    for line in lines:
        cells = line.split(",")
        cells[temp] = f"{float(cells[temp]) * 41 * 1.8 + 32:.1f}"
        cells[hum] = "humid"
        broken.append(",".join(cells))
    return ("\n".join([header, *broken]) + "\n").encode()
