"""Schedules are those that EventBridge Scheduler takes (user guide, "Schedule types", read 2026-12)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.schedule import check_schedule


@pytest.mark.parametrize(
    "expression",
    [
        *("rate(1 minute)", "rate(5 minutes)", "rate(1 hour)", "rate(30 days)"),
        *("cron(0 3 * * ? *)", "cron(0/15 * ? * MON-FRI 2026-2030)", "cron(30 8 L * ? *)", "cron(0 9 ? * 2#1 *)"),
        *("cron(0 0 1,15 JAN,JUL ? *)", "cron(*/10 8-17 ? * sun *)", "cron(0 12 15W * ? *)", "cron(0 1 ? * 6L *)"),
    ],
)
def test_what_the_scheduler_takes_is_taken(expression: str):
    assert check_schedule(expression) == expression


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("cron(0 3 * * *)", "six fields"),
        ("cron(0 3 * * * *)", "have ? as its day"),
        ("cron(0 3 ? * ? *)", "not as both"),
        ("cron(60 3 * * ? *)", "0 to 59"),
        ("cron(0 24 * * ? *)", "0 to 23"),
        ("cron(0 3 0 * ? *)", "1 to 31"),
        ("cron(0 3 * 13 ? *)", "JAN to DEC"),
        ("cron(0 3 ? * MOO *)", "SUN to SAT"),
        ("cron(0 3 ? * 0 *)", "1 to 7"),
        ("cron(0 3 * * ? 1960)", "1970 to 2199"),
        ("cron(0 3 * * ? *", "six fields"),
        ("cron(*/0 3 * * ? *)", "minutes"),
        ("cron(0, 3 * * ? *)", "minutes"),
        ("rate(1 days)", "rate(1 day)"),
        ("rate(2 day)", "rate(2 days)"),
        ("rate(0 minutes)", "rate(1 minute)"),
        ("rate(1.5 days)", "rate(7 days)"),
        ("rate(1 week)", "rate(7 days)"),
        ("at(2026-12-01T00:00:00)", "rate(7 days)"),
        ("cron(٣ 3 * * ? *)", "minutes"),
        ("rate(٣ days)", "rate(7 days)"),
    ],
)
def test_what_it_refuses_is_refused_with_what_would_be_right(expression: str, said: str):
    with pytest.raises(ValueError) as error:
        check_schedule(expression)
    assert said in str(error.value)


@given(st.text("0123456789*?,-/LW#MONJA() cronrate", max_size=40))
def test_anything_is_taken_or_refused_in_a_sentence(text: str):
    try:
        assert check_schedule(text) == text
    except ValueError as error:
        assert str(error).startswith("schedule must")
