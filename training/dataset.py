"""
The rows of a frozen dataset version, read from SageMaker's channels.

The version says which batches train, hold out and anchor, and which label files count. A record that landed twice is
taken from its first batch, and an anchor's record is never trained on. The label that counts is the newest that was
known when the version was frozen; an anchor's is its first, so that relabelled history can't move the measure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
from pyarrow import ArrowException, parquet

from perennial.contract import Column, Contract
from perennial.dataset import BatchEntry, DatasetVersion
from perennial.errors import DatasetTooSmall, DataUnreadable
from perennial.labels import Label, join
from perennial.project import Loop
from training.frame import conform

__all__ = ["Dataset", "Part", "Rows", "read_dataset", "read_loop", "read_version"]

Part = Literal["train", "holdout", "anchor"]


@dataclass(frozen=True, slots=True)
class Rows:
    """
    Labelled rows of one part, in time order of their batches.

    Attributes
    ----------
    features
        The contract's features, typed as `training.frame` says.
    labels
        One for each row.
    record_ids
        One for each row.
    """

    features: pd.DataFrame
    labels: pd.Series
    record_ids: pd.Series

    def __len__(self) -> int:
        return len(self.labels)

    def digest(self) -> str:
        """SHA-256 of every value: equal for equal rows in equal order."""
        whole = self.features.assign(_label=self.labels.to_numpy(), _record_id=self.record_ids.to_numpy())
        return hashlib.sha256(pd.util.hash_pandas_object(whole, index=False).to_numpy().tobytes()).hexdigest()


@dataclass(frozen=True, slots=True)
class Dataset:
    """The three parts, and how many rows were left out of them and why."""

    parts: dict[Part, Rows]
    dropped: dict[str, int]


def read_version(version_dir: Path) -> DatasetVersion:
    """version.json of the version channel."""
    return DatasetVersion.model_validate_json((version_dir / "version.json").read_text(encoding="utf-8"))


def read_loop(version_dir: Path) -> Loop:
    """loop.json of the version channel: the loop as it was when the version was frozen."""
    return Loop.from_json((version_dir / "loop.json").read_text(encoding="utf-8"))


def read_dataset(dataset_dir: Path, version: DatasetVersion, loop: Loop) -> Dataset:
    """
    All labelled rows of a dataset version.

    Raises
    ------
    DataUnreadable
        A file of the version isn't in the channel, or isn't Parquet with the contract's columns.
    DatasetTooSmall
        No labelled row is left to train on, or none to hold out.
    """
    contract = loop.contract
    if contract.label is None:
        raise DataUnreadable("the contract must name a label to train on. It names none.")
    landed = _landed(dataset_dir, version, contract)
    first = landed.drop_duplicates(contract.record_id, keep="first")
    known = first[first[contract.event_time] <= pd.Timestamp(version.label_cutoff_at)]
    records = dict(
        zip(known[contract.record_id], (at.to_pydatetime() for at in known[contract.event_time]), strict=True)
    )
    anchors = set(known.loc[known["_part"] == "anchor", contract.record_id])
    labels = _labels(dataset_dir, version, contract)
    joined = join(records, labels, loop.labels, as_of=version.as_of, frozen=anchors)
    labelled = known[known[contract.record_id].isin(joined.labels.keys())]
    values = pd.Series([joined.labels[i].value for i in labelled[contract.record_id]], index=labelled.index)
    values = _typed(values, contract.columns[contract.label])
    parts: dict[Part, Rows] = {}
    for part in ("train", "holdout", "anchor"):
        chosen = labelled[labelled["_part"] == part]
        parts[part] = Rows(
            conform(chosen, contract, contract.features),
            values[chosen.index].reset_index(drop=True),
            chosen[contract.record_id].reset_index(drop=True),
        )
        if part != "anchor" and not len(chosen):
            raise DatasetTooSmall(f"the {part} part of dataset version {version.dataset_id} has no labelled row.")
    dropped = {
        "repeated": len(landed) - len(first),
        "after_cutoff": len(first) - len(known),
        "unlabelled": len(joined.pending),
        "labelled_before_event": len(joined.impossible),
    }
    return Dataset(parts, dropped)


def _landed(dataset_dir: Path, version: DatasetVersion, contract: Contract) -> pd.DataFrame:
    """Every row of every batch, anchors first so that they claim their records, then in time order."""
    part_of: dict[BatchEntry, Part] = dict.fromkeys(version.train, "train")
    part_of |= dict.fromkeys(version.holdout, "holdout") | dict.fromkeys(version.anchor, "anchor")
    # `batches` is in the order of events; sorting is stable.
    wanted = sorted(version.batches, key=lambda batch: part_of[batch] != "anchor")
    names = [contract.record_id, contract.event_time, *contract.features]
    frames = []
    for batch in wanted:
        frame = conform(_read(dataset_dir, batch.curated_key, names), contract, names)
        frame[contract.record_id] = frame[contract.record_id].astype(str)
        frames.append(frame.assign(_part=part_of[batch]))
    if not frames:
        raise DatasetTooSmall(f"dataset version {version.dataset_id} has no batch.")
    return pd.concat(frames, ignore_index=True)


def _labels(dataset_dir: Path, version: DatasetVersion, contract: Contract) -> Iterable[Label]:
    assert contract.label is not None
    for file in version.labels:
        table = _read(dataset_dir, file.curated_key, [contract.record_id, contract.label], maybe=["labeled_at"])
        ids = table[contract.record_id].astype(str)
        values = _typed(table[contract.label], contract.columns[contract.label]).tolist()
        if "labeled_at" in table:
            moments = pd.to_datetime(table["labeled_at"], utc=True)
            made = [None if pd.isna(moment) else moment.to_pydatetime() for moment in moments]
        else:
            made = [None] * len(table)
        for record_id, value, labeled_at in zip(ids, values, made, strict=True):
            yield Label(record_id, value, file.labels_id, labeled_at)


def _typed(values: pd.Series, column: Column) -> pd.Series:
    """Labels are never null, so an integer stays whole and a boolean stays true or false."""
    kind = {"integer": "int64", "boolean": "bool", "number": "float64"}.get(column.type)
    return values.astype(kind) if kind else values.astype(str).astype(object)


def _read(dataset_dir: Path, key: str, names: list[str], maybe: Iterable[str] = ()) -> pd.DataFrame:
    path = dataset_dir / key
    if not path.is_file():
        # A channel of a single prefix is flattened: keys are content digests, so the file name alone is unique.
        path = next(iter(sorted(dataset_dir.rglob(Path(key).name))), path)
    try:
        present = parquet.read_schema(path).names
        table = parquet.read_table(path, columns=[*names, *(name for name in maybe if name in present)])
    except FileNotFoundError as error:
        raise DataUnreadable(f"{key} must be in the dataset channel. It is not.") from error
    except (ArrowException, OSError) as error:
        raise DataUnreadable(f"{key} must be Parquet. Got an error instead ({type(error).__name__}).") from error
    lacking = [name for name in names if name not in table.column_names]
    if lacking:
        raise DataUnreadable(f"{key} must have the columns {', '.join(names)}. It lacks {', '.join(lacking)}.")
    return table.to_pandas()
