"""How much faster than AWS the local cloud lets time pass, where something only waits."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scales:
    """
    Divisors of time; 1 is AWS's own pace.

    Parameters
    ----------
    waits
        Step Functions: Wait states, retry intervals and the polling of `.sync` tasks.
    alarms
        CloudWatch: alarm periods and the evaluation interval.
    schedules
        EventBridge rules and EventBridge Scheduler: rate and cron.

    >>> Scales(waits=60).wait(1800)
    30.0
    """

    waits: float = 1.0
    alarms: float = 1.0
    schedules: float = 1.0

    def __post_init__(self) -> None:
        for name in ("waits", "alarms", "schedules"):
            value = getattr(self, name)
            if not value > 0:
                raise ValueError(f"time scale {name} must be above 0. Got {value} instead")

    def wait(self, seconds: float) -> float:
        """Real seconds that a wait of `seconds` takes."""
        return seconds / self.waits

    def alarm(self, seconds: float) -> float:
        """Real seconds that an alarm period of `seconds` takes."""
        return seconds / self.alarms

    def schedule(self, seconds: float) -> float:
        """Real seconds between two firings that are `seconds` apart on AWS."""
        return seconds / self.schedules
