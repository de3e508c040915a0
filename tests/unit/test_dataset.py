import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from perennial.dataset import DatasetVersion, LabelsEntry, TrainingPolicy, channel_manifest, require_labelled
from perennial.errors import DatasetTooSmall
from perennial.labels import LabelPolicy
from tests.builders import day, make_batch, make_batches, make_dataset_version, make_labels

SMALL = {"min_rows": 1, "min_batches": 2}


def _training(**changes):
    return TrainingPolicy.model_validate({**SMALL, **changes})


def _ids(batches):
    return [batch.batch_id for batch in batches]


BATCHES = st.lists(
    st.builds(make_batch, st.integers(1, 40), rows=st.integers(1, 500), source=st.sampled_from(["a", "b", "c"])),
    min_size=2,
    max_size=30,
    unique_by=lambda batch: batch.batch_id,
)


@given(
    BATCHES,
    st.randoms(),
    st.sampled_from([{}, {"mode": "window", "window": "30d"}, {"mode": "replay", "window": "9d"}]),
)
def test_order_and_repetition_of_batches_give_one_version(batches, chance, mode):
    """P3, P11: two snapshots of the same history, however they were read, are one dataset version."""
    shuffled = [*batches, *batches[:2]]
    chance.shuffle(shuffled)
    labels = [make_labels(1), make_labels(2)]
    try:
        one = make_dataset_version(batches, labels, training=_training(**mode))
    except DatasetTooSmall:
        with pytest.raises(DatasetTooSmall):
            make_dataset_version(shuffled, labels, training=_training(**mode))
        return
    other = make_dataset_version(shuffled, list(reversed(labels)), training=_training(**mode), run_id="another run")
    assert one.dataset_id == other.dataset_id
    assert (one.train, one.holdout, one.anchor, one.labels) == (other.train, other.holdout, other.anchor, other.labels)


@given(BATCHES, st.integers(0, 10))
def test_train_holdout_and_anchor_never_share_a_batch_and_nothing_is_invented(batches, tenths):
    try:
        version = make_dataset_version(batches, training=_training(anchor=tenths / 20))
    except DatasetTooSmall:
        return
    parts = [set(_ids(part)) for part in (version.train, version.holdout, version.anchor)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == len(batches)
    assert parts[0] and parts[1]


@given(BATCHES, st.integers(0, 40))
def test_no_batch_reaches_beyond_the_label_cut_off(batches, latency_days):
    """P19: labels of a batch after the cut-off may still come; it waits for the next version."""
    policy = LabelPolicy.model_validate({"latency": f"{latency_days}d"})
    try:
        version = make_dataset_version(batches, training=_training(), label_policy=policy, as_of=day(41))
    except DatasetTooSmall:
        return
    assert all(batch.last_event_at <= version.label_cutoff_at for batch in version.batches)
    expected = {batch.batch_id for batch in batches if batch.last_event_at <= version.label_cutoff_at}
    assert expected == set(_ids(version.batches))


def test_what_lands_after_as_of_changes_nothing():
    before = make_dataset_version(as_of=day(11), labels=[make_labels(1)])
    late_labels = [make_labels(1), make_labels(2, as_of=day(12))]
    after = make_dataset_version([*make_batches(), make_batch(11)], late_labels, as_of=day(11))
    assert before.dataset_id == after.dataset_id


def test_another_label_file_is_another_version():
    assert (
        make_dataset_version(labels=[make_labels(1)]).dataset_id
        != make_dataset_version(labels=[make_labels(1), make_labels(2)]).dataset_id
    )


@given(BATCHES)
def test_the_anchor_never_changes_and_is_never_trained_on_as_history_grows(batches):
    """P41: a batch is golden or not by its identity alone, so no later version learns from it."""
    policy = _training(anchor=0.3)
    golden, learnt = set(), set()
    for count in range(2, len(batches) + 1):
        try:
            version = make_dataset_version(batches[:count], training=policy)
        except DatasetTooSmall:
            continue
        golden |= set(_ids(version.anchor))
        learnt |= set(_ids(version.train)) | set(_ids(version.holdout))
    assert not golden & learnt


@given(BATCHES, st.integers(34, 99))
def test_no_source_supplies_more_than_its_share_of_what_is_trained_on(batches, percent):
    """P40."""
    cap = percent / 100
    try:
        version = make_dataset_version(batches, training=_training(max_source_share=cap))
    except DatasetTooSmall:
        return
    rows = {source: sum(b.rows for b in version.train if b.source == source) for source in "abc"}
    assert max(rows.values()) <= cap * sum(rows.values())


def test_a_source_above_its_share_loses_its_oldest_batches():
    batches = [make_batch(n, source="loud" if n <= 8 else "quiet") for n in range(1, 13)]
    version = make_dataset_version(batches, training=_training(max_source_share=0.6))
    kept = {batch.batch_id for batch in version.batches}
    assert make_batch(1).batch_id not in kept
    assert make_batch(8).batch_id in kept
    assert any("none supplies more than 60%" in reason for reason in version.reasons)


def test_the_newest_batches_judge():
    version = make_dataset_version()
    assert [make_batch(9).batch_id, make_batch(10).batch_id] == _ids(version.holdout)
    assert _ids(make_batches(8)) == _ids(version.train)


def test_what_the_champion_learnt_from_never_judges():
    learnt = _ids([make_batch(9), make_batch(10)])
    version = make_dataset_version(champion_batches=learnt)
    assert not set(learnt) & set(_ids(version.holdout))
    assert version.holdout


def test_a_history_the_champion_knows_by_heart_can_not_judge():
    with pytest.raises(DatasetTooSmall, match="champion has not learnt from"):
        make_dataset_version(champion_batches=_ids(make_batches()))


def test_a_window_leaves_out_what_is_older():
    version = make_dataset_version(make_batches(30), training=_training(mode="window", window="7d"), as_of=day(31))
    assert set(_ids(make_batches(30)[23:])) == set(_ids(version.batches))


def test_replay_adds_its_share_of_older_batches_drawn_by_the_seed():
    policy = {"mode": "replay", "window": "7d", "replay": 0.3}
    version = make_dataset_version(make_batches(30), training=_training(**policy), as_of=day(31))
    other = make_dataset_version(make_batches(30), training=_training(**policy, seed=1), as_of=day(31))
    older = [batch for batch in version.batches if batch.last_event_at < day(24)]
    assert len(older) == 3  # 3 of 10 is the smallest number of whole batches with at least 30%
    assert len(version.batches) - len(older) == 7
    assert _ids(version.batches) != _ids(other.batches)


@pytest.mark.parametrize(
    ("batches", "labels", "told"),
    [
        ([], [make_labels()], "at least 2 batches. Got 0 instead"),
        (make_batches(1), [make_labels()], "at least 2 batches. Got 1 instead"),
        (make_batches(3, rows=10), [make_labels()], "at least 200 rows. Got 30 instead"),
        (make_batches(3), [make_labels(rows=5)], "at least 200 labels. Got 5 instead"),
        (make_batches(3), [], "at least 200 labels. Got 0 instead"),
        (make_batches(3, rows=0), [make_labels()], "at least 2 batches. Got 0 instead"),
    ],
)
def test_too_little_to_learn_from_is_refused_with_the_numbers(batches, labels, told):
    with pytest.raises(DatasetTooSmall, match=told):
        make_dataset_version(batches, labels)


def test_where_silence_is_a_label_few_labels_are_enough():
    policy = LabelPolicy.model_validate({"negative_after": "1d"})
    assert make_dataset_version(labels=[make_labels(rows=3)], label_policy=policy).train


@pytest.mark.parametrize(
    ("labelled", "told"),
    [
        ({"train": 150, "holdout": 49}, "at least 200 labelled rows. Got 199 instead (300 rows in 3 batches"),
        ({"train": 0, "holdout": 300}, "a labelled row to train on. Got none instead"),
        ({"train": 300, "holdout": 0}, "a labelled row to hold out. Got none instead"),
        ({}, "at least 200 labelled rows. Got 0 instead"),
    ],
)
def test_a_version_whose_own_rows_lack_labels_is_refused(labelled, told):
    version = make_dataset_version(make_batches(3))
    with pytest.raises(DatasetTooSmall, match=re.escape(told)):
        require_labelled(version, labelled, TrainingPolicy())
    require_labelled(version, {"train": 199, "holdout": 1}, TrainingPolicy())


def test_the_version_is_written_and_read_back_unchanged():
    version = make_dataset_version()
    assert version == DatasetVersion.model_validate_json(version.model_dump_json())


def test_the_manifest_names_every_batch_and_label_file_once():
    version = make_dataset_version(training=_training(anchor=0.3))
    prefix, *names = channel_manifest(version, "lake")
    assert prefix == {"prefix": "s3://lake/"}
    assert sorted(names) == sorted({batch.curated_key for batch in make_batches()} | {make_labels().curated_key})


@pytest.mark.parametrize("name", ["c", "sagemaker_program", "with space", "x" * 80])
def test_hyperparameters_that_sagemaker_would_not_pass_on_are_refused(name):
    with pytest.raises(ValidationError, match="hyperparameters must be short words"):
        TrainingPolicy(hyperparameters={name: 1})
    with pytest.raises(ValidationError, match=r"at most 80\. Got 81"):
        TrainingPolicy(hyperparameters={f"h{number}": 1 for number in range(81)})


def test_label_files_of_unknown_size_are_not_counted_against_the_dataset():
    entry = LabelsEntry(labels_id="f", curated_key="curated/labels/f.parquet")
    assert make_dataset_version(labels=[entry]).labels == (entry,)
