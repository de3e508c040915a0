"""A wait ends with its outcome or when nothing moves, never because it has lasted long."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from localcloud.pace import LOOK_SECONDS, Pace, measured_share


class Clock:
    """A wall clock that a test moves."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at

    def pass_by(self, seconds: float, pace: Pace) -> None:
        """Let time pass while somebody looks."""
        for _ in range(round(seconds / LOOK_SECONDS)):
            self.at += LOOK_SECONDS
            pace.look()


@pytest.mark.parametrize("share", [1.0, 0.2])
def test_a_second_of_a_machine_that_gives_a_fifth_takes_five(share: float):
    clock = Clock()
    pace = Pace(wall=clock, share=lambda: share)
    pace.look()
    clock.pass_by(100, pace)
    assert pace.now() == pytest.approx(100 * share)
    assert pace.real(10) == pytest.approx(10 / share)


def test_the_clock_never_goes_back_when_the_machine_gets_busy():
    clock, shares = Clock(), itertools.cycle([1.0, 0.1, 0.5])
    pace = Pace(wall=clock, share=lambda: next(shares))
    seen = []
    for _ in range(30):
        clock.at += 0.2
        seen.append(pace.now())
        pace.look()
        seen.append(pace.now())
    assert seen == sorted(seen)


def test_a_night_in_which_the_machine_slept_does_not_count():
    clock = Clock()
    pace = Pace(wall=clock, share=lambda: 1.0)
    clock.at += 8 * 3600
    assert pace.now() <= 4 * LOOK_SECONDS


def test_the_share_of_this_machine_is_a_share():
    assert 0 < measured_share() <= 1


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """Waiting costs no time: the wall clock moves with each pause."""
    from tests import waiting

    clock = Clock()

    class Time:
        monotonic = staticmethod(clock)

        @staticmethod
        def sleep(seconds: float) -> None:
            clock.at += seconds

    monkeypatch.setattr(waiting, "time", Time)
    yield clock


def test_what_moves_is_waited_for_however_long_it_takes(waits: Clock):
    from tests.waiting import until

    looks = itertools.count()
    pace = Pace(wall=waits, share=lambda: 1.0)
    found = until(
        lambda: waits.at > 3600, progress=lambda: next(looks), stall_seconds=10, pause_seconds=0.25, pace=pace
    )
    assert found


def test_what_does_not_move_fails_and_says_what_was_there(waits: Clock):
    from tests.waiting import until

    pace = Pace(wall=waits, share=lambda: 1.0)
    with pytest.raises(AssertionError, match=r"a model must come\. Nothing has moved: \[\], 'still 3'"):
        until(list, what="a model", progress=lambda: "still 3", stall_seconds=10, pause_seconds=0.25, pace=pace)
    assert 10 <= waits.at < 12


def test_a_busy_machine_is_waited_for_longer(waits: Clock):
    from tests.waiting import until

    pace = Pace(wall=waits, share=lambda: 0.1)
    with pytest.raises(AssertionError):
        until(list, stall_seconds=10, pause_seconds=0.25, pace=pace)
    assert waits.at > 90
