"""
Whether a signal leads to a learning run: never on a hunch, never twice, never beyond its budget.

Cooldowns and caps count in data time (`as_of`, the newest event time of the evidence), so that a replay of history
decides as the live loop did. Money counts in wall time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator

from perennial.drift.policy import DriftPolicy
from perennial.keys import short_id
from perennial.performance import BusinessPolicy, PerformancePolicy
from perennial.policy import Policy, Seconds, format_duration, spelled, whole_seconds
from perennial.schedule import check_schedule

__all__ = [
    "History",
    "NewDataPolicy",
    "Signal",
    "SignalKind",
    "Streak",
    "TriggerDecision",
    "TriggerPolicy",
    "TriggerState",
    "Window",
    "decide",
    "observe",
    "run_id",
]

SignalKind = Literal["drift", "performance", "business", "schedule", "new data", "manual"]
MONTH: Final = timedelta(days=30)
# A producer's clock may be ahead by this much; evidence from further ahead would block every later signal.
_CLOCK_SKEW: Final = timedelta(hours=1)
_REMEMBERED: Final = 64


class NewDataPolicy(Policy):
    """`[triggers.new_data]`: refit when history has grown by `growth` since the last fit, by at least `min_batches`."""

    growth: Annotated[float, Field(gt=1.0)] = 1.5
    min_batches: Annotated[int, Field(ge=1)] = 1


class TriggerPolicy(Policy):
    """`[triggers]`: what may start a learning run, and how often."""

    schedule: str | None = "rate(30 days)"
    drift: DriftPolicy | None = DriftPolicy.model_validate({})
    performance: PerformancePolicy | None = PerformancePolicy()
    business: BusinessPolicy | None = None
    new_data: NewDataPolicy | None = NewDataPolicy()
    first_batches: Annotated[int, Field(ge=2)] = 4
    first_labelled: Annotated[int, Field(ge=1)] = 200
    confirm: Annotated[int, Field(ge=1, le=_REMEMBERED)] = 1
    cooldown_seconds: Seconds = spelled(86400, "cooldown", "cooldown_seconds")
    max_per_month: Annotated[int, Field(ge=1, le=1000)] = 10
    monthly_budget_usd: Annotated[float, Field(gt=0.0)] | None = spelled(None, "budget", "monthly_budget_usd")

    @field_validator("drift", "performance", "new_data", mode="before")
    @classmethod
    def _false_switches_off(cls, given: object) -> object:
        return None if given is False else given

    @field_validator("schedule", mode="before")
    @classmethod
    def _schedule_is_an_expression(cls, given: object) -> object:
        """A duration, or an EventBridge Scheduler expression; false or "never" for none."""
        if given is None or given is False or given == "never":
            return None
        if isinstance(given, str) and "(" in given:
            return check_schedule(given)
        minutes, rest = divmod(whole_seconds(given), 60)
        if rest or minutes == 0:
            raise ValueError(f'schedule must be whole minutes, such as "7d", or cron(...). Got {given!r} instead')
        for unit, size in (("day", 1440), ("hour", 60), ("minute", 1)):
            if minutes % size == 0:
                count = minutes // size
                return f"rate({count} {unit}{'s' if count != 1 else ''})"
        return given


@dataclass(frozen=True, slots=True)
class History:
    """What there is to learn from: accepted batches, their rows, and the labels known."""

    batches: int = 0
    rows: int = 0
    labelled: int = 0


@dataclass(frozen=True, slots=True)
class Signal:
    """
    Something that may call for a new model.

    Attributes
    ----------
    signal_id
        What it is made from (a batch id, a labels id, a schedule's time): the same evidence twice is one signal.
    streak
        Consecutive windows that show it, this one included (see `observe`).
    """

    kind: SignalKind
    as_of: datetime
    reasons: tuple[str, ...]
    signal_id: str
    history: History = field(default_factory=History)
    streak: int = 1


class TriggerState(BaseModel):
    """What the trigger remembers between signals; kept in the catalog, so caps survive restarts."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    fired_as_of: tuple[AwareDatetime, ...] = ()
    fired_signals: tuple[str, ...] = ()
    rows_at_last_fit: int = 0
    batches_at_last_fit: int = 0
    suppressed: dict[str, int] = {}
    paused: bool = False
    paused_reason: str | None = None

    @property
    def last_fired_as_of(self) -> datetime | None:
        """Data time of the last firing."""
        return max(self.fired_as_of, default=None)

    def clock(self, as_of: datetime) -> datetime:
        """Data time at `as_of`, which never runs backwards: old evidence can't reopen a month that is spent."""
        return max(as_of, *self.fired_as_of) if self.fired_as_of else as_of


@dataclass(frozen=True, slots=True)
class TriggerDecision:
    """Whether to start a learning run, why, and what to remember. Save `state` after the run was started."""

    fire: bool
    reasons: tuple[str, ...]
    state: TriggerState


def run_id(loop: str, signal: Signal, attempt: int = 0) -> str:
    """The name of the learning run that `signal` starts: the same signal always names the same run."""
    return short_id(loop, signal.kind, signal.signal_id, str(attempt))


def decide(
    signal: Signal,
    state: TriggerState,
    policy: TriggerPolicy,
    *,
    champion_exists: bool,
    running: bool,
    spent_usd: float,
    now: datetime,
    run_cost_usd: float = 0.0,
) -> TriggerDecision:
    """
    Whether `signal` starts a learning run.

    Parameters
    ----------
    running
        Whether another learning run or a rollout is under way.
    spent_usd
        What learning cost this calendar month, in wall time; `run_cost_usd` is what this run is expected to add.
    """
    key = f"{signal.kind}:{signal.signal_id}"
    if key in state.fired_signals:
        return TriggerDecision(False, (f"{signal.kind}: this very signal already started a run",), state)
    against = (
        _blocked(signal, state, running=running, now=now)
        or _unready(signal, policy, champion_exists=champion_exists)
        or _unconvincing(signal, state, policy, champion_exists=champion_exists)
        or _too_often(signal, state, policy)
        or _too_dear(policy, spent_usd=spent_usd, run_cost_usd=run_cost_usd)
    )
    if against is not None:
        counts = {**state.suppressed, signal.kind: state.suppressed.get(signal.kind, 0) + 1}
        return TriggerDecision(False, (against,), state.model_copy(update={"suppressed": counts}))
    reasons = signal.reasons if champion_exists else ("first model: there is no champion yet", *signal.reasons)
    return TriggerDecision(True, reasons, _after(signal, state, key))


def _after(signal: Signal, state: TriggerState, key: str) -> TriggerState:
    present = state.clock(signal.as_of)
    return state.model_copy(
        update={
            "fired_as_of": (*(at for at in state.fired_as_of if at > present - MONTH), present),
            "fired_signals": (*state.fired_signals, key)[-_REMEMBERED:],
            "rows_at_last_fit": signal.history.rows,
            "batches_at_last_fit": signal.history.batches,
            "suppressed": {},
        }
    )


def _blocked(signal: Signal, state: TriggerState, *, running: bool, now: datetime) -> str | None:
    if state.paused:
        return f"paused: {state.paused_reason or 'by a person'}; resume the loop first"
    if running:
        return "running: a learning run or a rollout is under way"
    if signal.as_of > now + _CLOCK_SKEW:
        return f"clock: evidence of {signal.as_of.isoformat()} lies in the future"
    return None


def _unready(signal: Signal, policy: TriggerPolicy, *, champion_exists: bool) -> str | None:
    history = signal.history
    if champion_exists:
        return None
    if history.batches < policy.first_batches:
        return f"first model: {history.batches} batches, {policy.first_batches} are needed"
    if history.labelled < policy.first_labelled:
        return f"first model: {history.labelled} labelled rows, {policy.first_labelled} are needed"
    return None


def _unconvincing(signal: Signal, state: TriggerState, policy: TriggerPolicy, *, champion_exists: bool) -> str | None:
    if signal.kind == "manual" or not champion_exists:
        return None
    switched: Mapping[str, object] = {
        "drift": policy.drift,
        "performance": policy.performance,
        "business": policy.business,
        "schedule": policy.schedule,
        "new data": policy.new_data,
    }
    if switched[signal.kind] is None:
        return f"{signal.kind}: not among this loop's triggers"
    if signal.kind == "schedule":
        if signal.history.batches <= state.batches_at_last_fit:
            return "schedule: nothing landed since the last fit"
        return None
    if signal.kind == "new data":
        return _grown(signal.history, state, policy.new_data or NewDataPolicy())
    if signal.streak < policy.confirm:
        return f"{signal.kind}: seen in {signal.streak} consecutive windows, {policy.confirm} are needed"
    return None


def _grown(history: History, state: TriggerState, policy: NewDataPolicy) -> str | None:
    fresh = history.batches - state.batches_at_last_fit
    if fresh < policy.min_batches:
        return f"new data: {fresh} new batches, {policy.min_batches} are needed"
    if history.rows < policy.growth * state.rows_at_last_fit:
        growth = history.rows / state.rows_at_last_fit
        return f"new data: history is {growth:.2f} times that of the last fit, {policy.growth:.2f} is needed"
    return None


def _too_often(signal: Signal, state: TriggerState, policy: TriggerPolicy) -> str | None:
    last = state.last_fired_as_of
    if last is None:
        return None
    left = last + timedelta(seconds=policy.cooldown_seconds) - signal.as_of
    if left > timedelta(0) and signal.kind != "manual":
        return f"cooldown: {format_duration(left.total_seconds())} left"
    month = [at for at in state.fired_as_of if at > state.clock(signal.as_of) - MONTH]
    if len(month) >= policy.max_per_month:
        return f"cap: {len(month)} runs in 30 days, at most {policy.max_per_month} are allowed"
    return None


def _too_dear(policy: TriggerPolicy, *, spent_usd: float, run_cost_usd: float) -> str | None:
    limit = policy.monthly_budget_usd
    if limit is not None and not spent_usd + run_cost_usd <= limit:
        return f"budget: {spent_usd:.2f} USD spent this month and {run_cost_usd:.2f} for a run exceed {limit:.2f} USD"
    return None


class Window(BaseModel):
    """Whether one window showed a kind of evidence."""

    model_config = ConfigDict(frozen=True)

    window_id: str
    as_of: AwareDatetime
    positive: bool


class Streak(BaseModel):
    """The latest windows of one kind of evidence, in the order of their data time."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    windows: tuple[Window, ...] = ()

    @property
    def length(self) -> int:
        """How many of the latest windows, in a row, were positive."""
        count = 0
        for window in reversed(self.windows):
            if not window.positive:
                break
            count += 1
        return count


def observe(streak: Streak, window: Window) -> Streak:
    """
    The streak with one more window: repeated and late windows change nothing but their own place.

    >>> from datetime import UTC
    >>> day = lambda n, positive: Window(window_id=str(n), as_of=datetime(2026, 1, n, tzinfo=UTC), positive=positive)
    >>> late = observe(observe(observe(Streak(), day(1, True)), day(3, True)), day(2, False))
    >>> late.length, observe(late, day(3, True)).length
    (1, 1)
    """
    kept = {one.window_id: one for one in (*streak.windows, window)}
    return Streak(windows=tuple(sorted(kept.values(), key=lambda one: (one.as_of, one.window_id)))[-_REMEMBERED:])
