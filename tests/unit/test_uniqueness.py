"""Which earlier batches a batch is held against: a function of the log alone."""

import random
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from perennial.uniqueness import LogEntry, earlier
from tests.builders import day


def make_entry(position, *, batch_id=None, first=1, days=1, within_days=7):
    name = batch_id or f"b{position}"
    return LogEntry(
        position=position,
        batch_id=name,
        ids_key=f"ids/{name}",
        ids_count=100,
        first_event_at=day(first),
        last_event_at=day(first + days),
        within_seconds=within_days * 86_400,
    )


ENTRIES = st.lists(
    st.builds(make_entry, st.integers(1, 30), first=st.integers(1, 60), days=st.integers(0, 30)),
    max_size=12,
    unique_by=lambda entry: entry.position,
)


@given(ENTRIES, st.integers(1, 30), st.integers(1, 60), st.integers(0, 30))
def test_only_lower_positions_count_so_that_no_two_batches_take_an_id_from_each_other(entries, position, first, within):
    mine = make_entry(position, batch_id="mine", first=first, within_days=within)
    found = earlier(mine, entries)
    assert all(other.position < position for other in found)
    near = {
        other.position
        for other in entries
        if other.position < position
        and max(other.first_event_at, mine.first_event_at) - min(other.last_event_at, mine.last_event_at)
        <= timedelta(days=within)
    }
    assert near == {other.position for other in found}


@given(ENTRIES, st.randoms(use_true_random=False))
def test_the_order_in_which_entries_are_read_changes_nothing(entries, chance):
    mine = make_entry(31)
    shuffled = random.Random(chance.random()).sample(entries, len(entries))
    assert earlier(mine, entries) == earlier(mine, shuffled)


def test_what_lands_later_changes_nothing_of_what_a_batch_was_held_against():
    mine, before = make_entry(5), [make_entry(2), make_entry(4)]
    assert earlier(mine, before) == earlier(mine, [*before, make_entry(6), make_entry(7)])


def test_a_batch_is_not_held_against_an_earlier_entry_of_itself():
    assert earlier(make_entry(5, batch_id="same"), [make_entry(2, batch_id="same")]) == ()
