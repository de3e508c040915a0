"""Which rows a frozen version gives to training, to the holdout and to the anchors."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest

from perennial.dataset import DatasetVersion
from perennial.errors import DatasetTooSmall, DataUnreadable
from tests.training.builders import bikeshare, make_batch, make_labels, make_version
from training.dataset import Dataset, read_dataset
from training.rehearsal import CuratedBatch, CuratedLabels, Rehearsal

WEEKS = range(4, 12)


def read(
    folder: Path, batches: list[CuratedBatch], labels: list[CuratedLabels], version: DatasetVersion | None = None
) -> Dataset:
    version = version or make_version(batches, labels)
    Rehearsal(folder).lay_out(version, bikeshare(), batches, labels)
    return read_dataset(folder / "ml" / "input" / "data" / "dataset", version, bikeshare())


def batches_and_labels() -> tuple[list[CuratedBatch], list[CuratedLabels]]:
    return [make_batch(week) for week in WEEKS], [make_labels(week) for week in WEEKS]


def labels_by_record(dataset: Dataset) -> dict[str, int]:
    return {
        record_id: label
        for rows in dataset.parts.values()
        for record_id, label in zip(rows.record_ids, rows.labels, strict=True)
    }


def test_every_labelled_record_is_in_exactly_one_part(tmp_path: Path) -> None:
    batches, labels = batches_and_labels()
    dataset = read(tmp_path, batches, labels)
    ids = [record_id for rows in dataset.parts.values() for record_id in rows.record_ids]
    assert len(ids) == len(set(ids)) == sum(len(batch.rows) for batch in batches)
    assert set(dataset.dropped.values()) == {0}


def test_a_record_that_lands_twice_is_taken_from_its_first_batch(tmp_path: Path) -> None:
    batches, labels = batches_and_labels()
    copied = batches[0].rows.head(30).assign(temp=0.999)
    again = dataclasses.replace(
        batches[3], rows=pd.concat([batches[3].rows, copied], ignore_index=True), landed=b"week 7 with old rows"
    )
    # Its first event is as old as that of the first batch; the smaller last event decides.
    dataset = read(tmp_path, [*batches[:3], again, *batches[4:]], labels)
    assert dataset.dropped["repeated"] == 30
    temps = {
        record_id: temp
        for rows in dataset.parts.values()
        for record_id, temp in zip(rows.record_ids, rows.features["temp"], strict=True)
    }
    assert 0.999 not in {temps[record_id] for record_id in copied["record_id"]}


def test_the_newest_label_of_a_record_counts_in_whatever_order_files_are_listed(tmp_path: Path) -> None:
    batches, labels = batches_and_labels()
    corrected = make_labels(5, flipped=True, delay=timedelta(hours=2))
    plain = labels_by_record(read(tmp_path / "plain", batches, labels))
    first = labels_by_record(read(tmp_path / "first", batches, [corrected, *labels]))
    last = labels_by_record(read(tmp_path / "last", batches, [*labels, corrected]))
    assert first == last
    turned = {record_id for record_id in plain if plain[record_id] != first[record_id]}
    assert turned == set(make_batch(5).rows["record_id"])


def test_records_without_a_label_are_left_out_and_counted(tmp_path: Path) -> None:
    batches, labels = batches_and_labels()
    dataset = read(tmp_path, batches, labels[1:])
    assert dataset.dropped["unlabelled"] == len(batches[0].rows)


def test_a_label_made_before_its_event_is_a_leak_and_is_not_used(tmp_path: Path) -> None:
    batches, labels = batches_and_labels()
    early = make_labels(4, delay=timedelta(days=-3))
    assert read(tmp_path, batches, [early, *labels[1:]]).dropped["labelled_before_event"] == len(batches[0].rows)


def test_events_after_the_label_cut_off_are_not_learnt_from(tmp_path: Path) -> None:
    batches, labels = batches_and_labels()
    version = make_version(batches, labels)
    cut = version.model_copy(update={"label_cutoff_at": version.label_cutoff_at - timedelta(hours=5)})
    assert read(tmp_path, batches, labels, cut).dropped["after_cutoff"] == 5


def test_the_order_of_batches_in_the_version_makes_no_difference(tmp_path: Path) -> None:
    batches, labels = batches_and_labels()
    version = make_version(batches, labels)
    turned = version.model_copy(update={"train": version.train[::-1], "labels": version.labels[::-1]})
    one, other = read(tmp_path / "a", batches, labels, version), read(tmp_path / "b", batches, labels, turned)
    assert one.parts["train"].digest() == other.parts["train"].digest()


def test_a_file_that_is_not_parquet_is_named(tmp_path: Path) -> None:
    batches, labels = batches_and_labels()
    version = make_version(batches, labels)
    read(tmp_path, batches, labels, version)
    folder = tmp_path / "ml" / "input" / "data" / "dataset"
    (folder / version.train[0].curated_key).write_bytes(b"no parquet")
    with pytest.raises(DataUnreadable, match=version.train[0].curated_key):
        read_dataset(folder, version, bikeshare())


def test_a_holdout_without_labels_is_too_small(tmp_path: Path) -> None:
    batches, labels = batches_and_labels()
    version = make_version(batches, labels)
    held = {entry.batch_id for entry in version.holdout}
    kept = [each for week, each in zip(WEEKS, labels, strict=True) if make_batch(week).entry.batch_id not in held]
    listed = {each.entry.labels_id for each in kept}
    lacking = version.model_copy(
        update={"labels": tuple(entry for entry in version.labels if entry.labels_id in listed)}
    )
    with pytest.raises(DatasetTooSmall, match="holdout part"):
        read(tmp_path, batches, kept, lacking)
