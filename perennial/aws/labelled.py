"""
How many rows of a dataset version have labels, looked up before a job is paid to find out that too few do.

A label file doesn't say which batch its records are in, so ids are compared: those of the newest batches with the
newest label files first, and no further than it takes to know that there is enough.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq

from perennial.aws.lake import Lake
from perennial.contract import Contract
from perennial.dataset import BatchEntry, DatasetVersion, LabelsEntry, Part, labels_lacking
from perennial.labels import Label, LabelPolicy, join

__all__ = ["labelled_rows"]

# Enough batches to hold this many times the rows that need labels are looked at before all are.
_SAMPLE = 5


def labelled_rows(
    lake: Lake, version: DatasetVersion, contract: Contract, policy: LabelPolicy, *, wanted: int
) -> dict[Part, int]:
    """
    Rows with a label that counts, by part; no more are counted once `wanted` rows with labels are found.

    Which label counts is `perennial.labels.join`'s decision, as in training: neither one made before its record's event
    nor one made after the version's `as_of`.
    """
    found: dict[Part, int] = {}
    for most_rows in (_SAMPLE * wanted, None):
        batches = {part: _newest(getattr(version, part), most_rows) for part in ("train", "holdout")}
        found = _count(
            lake, version, {_part(name): chosen for name, chosen in batches.items()}, contract, policy, wanted
        )
        whole = all(len(batches[part]) == len(getattr(version, part)) for part in batches)
        if whole or not labels_lacking(found, wanted=wanted):
            break
    return found


def _part(name: str) -> Part:
    return "train" if name == "train" else "holdout"


def _newest(batches: Sequence[BatchEntry], most_rows: int | None) -> list[BatchEntry]:
    """The newest batches, as many as it takes to have that many rows."""
    chosen: list[BatchEntry] = []
    for batch in reversed(batches):
        if most_rows is not None and sum(one.rows for one in chosen) >= most_rows:
            break
        chosen.append(batch)
    return chosen


def _count(
    lake: Lake,
    version: DatasetVersion,
    batches: Mapping[Part, Sequence[BatchEntry]],
    contract: Contract,
    policy: LabelPolicy,
    wanted: int,
) -> dict[Part, int]:
    """Labelled rows of these batches, label file by label file, the newest first."""
    records: dict[Part, dict[str, datetime]] = {
        part: {
            record_id: at
            for batch in chosen
            for record_id, at in _records(lake, batch, contract)
            if at <= version.label_cutoff_at
        }
        for part, chosen in batches.items()
    }
    labels: list[Label] = []

    def count() -> dict[Part, int]:
        joins = {part: join(rows, labels, policy, as_of=version.as_of) for part, rows in records.items()}
        return {part: len(joined.labels) for part, joined in joins.items()}

    known = frozenset().union(*records.values())
    found = count()
    for file in sorted(version.labels, key=_age, reverse=True):
        if not labels_lacking(found, wanted=wanted):
            break
        matching = list(_labels(lake, file, contract, known))
        if matching:
            labels += matching
            found = count()
    return found


def _age(file: LabelsEntry) -> tuple[str, str]:
    return (file.as_of.isoformat() if file.as_of else "", file.labels_id)


def _records(lake: Lake, batch: BatchEntry, contract: Contract) -> Iterator[tuple[str, datetime]]:
    table = _columns(lake, batch.curated_key, [contract.record_id, contract.event_time])
    moments = table[contract.event_time].cast(pa.timestamp("us", tz="UTC")).to_pylist()
    return zip(map(str, table[contract.record_id].to_pylist()), moments, strict=True)


def _labels(lake: Lake, file: LabelsEntry, contract: Contract, known: frozenset[str]) -> Iterator[Label]:
    """Labels of known records; what the label says doesn't matter here."""
    table = _columns(lake, file.curated_key, [contract.record_id, "labeled_at"])
    made = [None] * table.num_rows
    if "labeled_at" in table.column_names:
        made = table["labeled_at"].cast(pa.timestamp("us", tz="UTC")).to_pylist()
    for record_id, labeled_at in zip(map(str, table[contract.record_id].to_pylist()), made, strict=True):
        if record_id in known:
            yield Label(record_id, True, file.labels_id, labeled_at)


def _columns(lake: Lake, key: str, names: Sequence[str]) -> pa.Table:
    source = pq.ParquetFile(pa.BufferReader(lake.get(key)), pre_buffer=False)
    present = [name for name in names if name in source.schema_arrow.names]
    return source.read(columns=present, use_threads=False)
