from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.labels import JoinedLabel, Label, LabelPolicy, join, judge_maturity, label_cutoff, newest
from tests.builders import NOW, day, make_label

LABELS = st.lists(
    st.builds(
        make_label,
        record_id=st.sampled_from(["r1", "r2", "r3"]),
        value=st.integers(0, 1),
        labels_id=st.sampled_from(["f1", "f2", "f3"]),
        labeled_at=st.none() | st.integers(1, 9).map(day),
    ),
    max_size=12,
)


def test_the_latest_label_of_a_record_counts():
    early, late = make_label(value=0, labeled_at=day(2)), make_label(value=1, labeled_at=day(3))
    assert newest([late, early])["r1"] == late


def test_labels_made_at_the_same_time_go_by_the_larger_file_id():
    one, other = make_label(value=0, labels_id="f1"), make_label(value=1, labels_id="f2")
    assert newest([other, one])["r1"].value == newest([one, other])["r1"].value == 1


@given(LABELS, st.randoms())
def test_the_order_and_repetition_of_labels_change_nothing(labels, chance):
    shuffled = [*labels, *labels[:3]]
    chance.shuffle(shuffled)
    records = {"r1": day(1), "r2": day(4), "r9": day(1)}
    policy = LabelPolicy(negative_after_seconds=86400)
    assert newest(labels) == newest(shuffled)
    assert join(records, labels, policy, as_of=day(5)) == join(records, shuffled, policy, as_of=day(5))


@given(LABELS)
def test_a_label_made_later_never_changes_what_was_joined_before(labels):
    """P19: the join of a sealed version is the same whatever arrives afterwards."""
    records = {"r1": day(1), "r2": day(1)}
    later = [make_label("r1", 7, labels_id="f9", labeled_at=day(20)), make_label("r2", 7, labeled_at=day(6))]
    sealed = join(records, labels, LabelPolicy(), as_of=day(5))
    assert sealed.labels == join(records, [*labels, *later], LabelPolicy(), as_of=day(5)).labels


@given(LABELS, st.dictionaries(st.sampled_from(["r1", "r2", "r3"]), st.integers(1, 9).map(day)))
def test_no_label_is_older_than_its_record(labels, records):
    """P20: a label made before its own event is a leak, and is told instead of used."""
    joined = join(records, labels, LabelPolicy(), as_of=NOW)
    for record_id in joined.labels:
        made = newest(labels)[record_id].labeled_at
        assert made is None or made >= records[record_id]
    assert {*joined.labels, *joined.pending, *joined.impossible} == set(records)


def test_silence_means_the_negative_class_only_after_its_time():
    policy = LabelPolicy(negative_after_seconds=86400)
    records = {"old": day(1), "young": day(4.5), "labelled": day(1)}
    joined = join(records, [make_label("labelled", 1)], policy, as_of=day(5))
    expected = {"labelled": JoinedLabel(1, "given"), "old": JoinedLabel(0, "silence")}
    assert (expected, ("young",)) == (joined.labels, joined.pending)


def test_labels_of_unknown_records_are_told():
    assert join({"r1": day(1)}, [make_label("r9")], LabelPolicy(), as_of=NOW).unknown == ("r9",)


@pytest.mark.parametrize(("labelled", "mature"), [(0, False), (79, False), (80, True), (100, True)])
def test_a_window_is_scored_only_once_its_share_of_labels_is_there(labelled, mature):
    found = judge_maturity(labelled_count=labelled, record_count=100, policy=LabelPolicy())
    assert mature == found.mature
    assert "of the window has labels" in found.reasons[0]


def test_a_window_without_records_is_never_mature():
    policy = LabelPolicy.model_validate({"maturity": 0.0})
    assert not judge_maturity(labelled_count=0, record_count=0, policy=policy).mature


def test_the_cut_off_waits_for_the_slower_of_latency_and_silence():
    policy = LabelPolicy.model_validate({"latency": "1d", "negative_after": "7d"})
    assert NOW - timedelta(days=7) == label_cutoff(NOW, policy)
    assert NOW - timedelta(days=1) == label_cutoff(NOW, LabelPolicy.model_validate({"latency": "1d"}))


def test_a_frozen_record_keeps_its_first_label_whoever_relabels_it():
    policy = LabelPolicy()
    early = datetime(2026, 1, 2, tzinfo=UTC)
    records = {"anchor": datetime(2026, 1, 1, tzinfo=UTC), "other": datetime(2026, 1, 1, tzinfo=UTC)}
    labels = [
        Label(record_id, value, f"file-{value}", early + timedelta(days=value))
        for record_id in records
        for value in (0, 1)
    ]
    joined = join(records, labels, policy, as_of=datetime(2026, 2, 1, tzinfo=UTC), frozen={"anchor"})
    assert {record_id: label.value for record_id, label in joined.labels.items()} == {"anchor": 0, "other": 1}
