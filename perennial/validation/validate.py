"""Validation of one landed file, in one pass: checked, split, profiled."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from perennial.contract import Column, Contract
from perennial.profile import Profile, ProfileBuilder
from perennial.validation.blocks import Block, FileRejected, Reader
from perennial.validation.columns import curated_schema
from perennial.validation.csv_reader import CsvReader
from perennial.validation.jsonl_reader import JsonlReader
from perennial.validation.outcome import Limits, Outcome, Violation
from perennial.validation.parquet_reader import ParquetReader
from perennial.validation.recent_ids import RecentIds
from perennial.validation.rows import CheckedBlock, RowChecker
from perennial.validation.sources import ByteStream, digest_of, file_kind

__all__ = ["label_contract", "validate_file", "validate_labels"]

_GROUP_ROWS = 1 << 17
_QUARANTINE_ROWS = 1 << 12


def validate_file(
    source: Any,
    *,
    contract: Contract,
    key: str,
    size_bytes: int,
    curated: Any = None,
    quarantine: Any = None,
    limits: Limits | None = None,
    recent_ids: RecentIds | None = None,
    now: datetime | None = None,
    digest: bool = True,
    workers: int = 1,
) -> Outcome:
    """
    The verdict on a landed batch; its good rows go to `curated`, the others to `quarantine`.

    Parameters
    ----------
    source
        Path or seekable binary file. Never held in memory as a whole.
    key
        Its landing key: the suffix tells format and compression. Never used as a path.
    size_bytes
        Size as landed, for the cap on the ratio of compression.
    curated, quarantine
        Path or binary file, or None to write nothing: Parquet (zstd) with the schema of `curated_schema`, and JSON
        lines `{"row", "reasons", "text"}`; rows count from 1 without a header. After a rejection `curated` is void.
    recent_ids
        Ids of recent batches that must not come again.
    now
        For the contract's `max_age`; without it age is not checked.
    digest
        Whether to compute the SHA-256 of the landed bytes.
    workers
        How many threads may work on the file at once. Whatever their number, the outcome is the same.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1. Got {workers} instead")
    optional = frozenset([contract.label]) if contract.label else frozenset[str]()
    run = _Run(contract, limits or Limits(), recent_ids, optional, profiled=True)
    return run.validate(source, key, size_bytes, curated, quarantine, now, digest=digest)


def validate_labels(
    source: Any,
    *,
    contract: Contract,
    key: str,
    size_bytes: int,
    curated: Any = None,
    quarantine: Any = None,
    limits: Limits | None = None,
    now: datetime | None = None,
    digest: bool = True,
    workers: int = 1,
) -> Outcome:
    """The verdict on a landed label file (record id, label and, if there, `labeled_at`), as of `validate_file`."""
    if workers < 1:
        raise ValueError(f"workers must be at least 1. Got {workers} instead")
    labels = label_contract(contract)
    run = _Run(labels, limits or Limits(), None, frozenset(["labeled_at"]), profiled=True)
    return run.validate(source, key, size_bytes, curated, quarantine, now, digest=digest)


def label_contract(contract: Contract) -> Contract:
    """The contract of label files: a record may be labelled again, so its id need not be unique."""
    if contract.label is None:
        raise ValueError("a contract must name its label before label files can be validated")
    identity = contract.columns[contract.record_id].model_copy(update={"unique": False})
    label = contract.columns[contract.label].model_copy(update={"nullable": False, "max_null_rate": None})
    quality = contract.quality.model_copy(update={"checks": (), "max_rows": None, "max_age_seconds": None})
    return Contract(
        format=contract.format,
        record_id=contract.record_id,
        event_time="labeled_at",
        label=contract.label,
        columns={
            contract.record_id: identity,
            contract.label: label,
            "labeled_at": Column(type="timestamp", nullable=True, drift=False),
        },
        quality=quality,
    )


class _Run:
    """One file's validation: tallies that are kept whatever happens to the file."""

    def __init__(
        self, contract: Contract, limits: Limits, recent: RecentIds | None, optional: frozenset[str], *, profiled: bool
    ) -> None:
        self._contract, self._limits, self._recent, self._optional = contract, limits, recent, optional
        self._profile = ProfileBuilder(contract) if profiled else None
        self._landed = self._accepted = self._refused = self._blank = 0
        self._nulls: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._reader: Reader | None = None
        self._checker: RowChecker | None = None

    def validate(
        self, source: Any, key: str, size: int, curated: Any, quarantine: Any, now: datetime | None, *, digest: bool
    ) -> Outcome:
        violations: list[Violation] = []
        profile: Profile | None = None
        stream: ByteStream | None = None
        with ExitStack() as stack:
            good = stack.enter_context(_rows_writer(curated, curated_schema(self._contract)))
            bad = stack.enter_context(_lines_writer(quarantine))
            try:
                kind = file_kind(key, self._contract)
                if kind.format == "parquet":
                    reader: Reader = ParquetReader(source, self._contract, self._limits, self._optional)
                else:
                    stream = ByteStream(source, kind, size, self._limits, digest=digest)
                    text_reader = CsvReader if kind.format == "csv" else JsonlReader
                    reader = text_reader(stream, self._contract, self._limits, self._optional)
                self._reader = reader
                self._checker = RowChecker(self._contract, self._limits, self._recent, self._optional)
                for block in reader.blocks():
                    self._take(block, good, bad)
            except FileRejected as rejected:
                violations.append(rejected.violation)
            profile = self._profile.build() if self._profile else None
            violations += self._file_rules(profile, now)
        found = ""
        if digest:
            found = stream.digest() if stream is not None else digest_of(source)
        return self._outcome(violations, profile, found)

    def _take(self, block: Block, good: Any, bad: Any) -> None:
        assert self._checker is not None
        checked = self._checker.check(block)
        first = self._landed
        self._landed += block.landed
        self._blank += block.blank
        self._accepted += checked.good.num_rows
        self._refused += len(block.refused) + block.batch.num_rows - checked.good.num_rows
        self._nulls.update(checked.null_counts)
        for refused in block.refused:
            self._reasons[refused.reason] += 1
            bad(first + refused.row + 1, [refused.reason], refused.text)
        for flags, reason in checked.flagged:
            self._reasons[reason] += int(np.count_nonzero(flags))
        if checked.flagged:
            self._quarantine(block, checked, first, bad)
        good(checked.good)
        if self._profile is not None:
            self._profile.add(checked.good, seen=checked.seen, ids=checked.ids)
        limit = self._contract.quality.max_rows
        if limit is not None and self._landed - self._blank > limit:
            raise FileRejected("too_many_rows", f"a file must have at most {limit} rows. Got more instead")

    def _quarantine(self, block: Block, checked: CheckedBlock, first: int, bad: Any) -> None:
        """Some thousand rows at a time: a block in which every row is bad must not become as many Python objects."""
        rows = np.flatnonzero(np.logical_or.reduce([flags for flags, _ in checked.flagged]))
        for i in range(0, len(rows), _QUARANTINE_ROWS):
            part = rows[i : i + _QUARANTINE_ROWS]
            places = part if block.places is None else block.places[part]
            for row, place, text in zip(part.tolist(), places.tolist(), block.text(part), strict=True):
                bad(first + place + 1, [reason for flags, reason in checked.flagged if flags[row]], text)

    def _file_rules(self, profile: Profile | None, now: datetime | None) -> Iterator[Violation]:
        quality, rows = self._contract.quality, self._landed - self._blank
        if rows < quality.min_rows:
            yield Violation("too_few_rows", f"a file must have at least {quality.min_rows} rows. Got {rows} instead")
        if rows and self._refused / rows > quality.max_invalid_rate:
            worst = self._reasons.most_common(1)[0]
            yield Violation(
                "too_many_invalid",
                f"at most {quality.max_invalid_rate:.2%} of rows may be invalid. Got {self._refused} of {rows} "
                f"({self._refused / rows:.2%}) instead; most often: {worst[0]} ({worst[1]} rows)",
            )
        for name, column in self._contract.columns.items():
            share = self._nulls[name] / rows if rows else 0.0
            if column.max_null_rate is not None and share > column.max_null_rate and name not in self._optional:
                yield Violation(
                    "too_many_nulls",
                    f"at most {column.max_null_rate:.2%} of {name} may be empty. Got {share:.2%} instead",
                )
        age, last = quality.max_age_seconds, _event_times(self._contract, profile)[1]
        if age is not None and now is not None and last is not None and (now - last).total_seconds() > age:
            yield Violation(
                "too_old",
                f"the newest event must be at most {age:g} seconds old. Got {(now - last).total_seconds():.0f} instead",
            )

    def _outcome(self, violations: list[Violation], profile: Profile | None, digest: str) -> Outcome:
        accepted = not violations
        first, last = _event_times(self._contract, profile)
        return Outcome(
            accepted=accepted,
            reasons=tuple(violations),
            rows_landed=self._landed,
            rows_accepted=self._accepted if accepted else 0,
            rows_quarantined=self._refused if accepted else self._landed - self._blank,
            rows_blank=self._blank,
            reason_counts=dict(sorted(self._reasons.items(), key=lambda item: (-item[1], item[0]))),
            profile=profile if accepted else None,
            first_event_at=first,
            last_event_at=last,
            schema_change=self._reader.schema_change if self._reader else None,
            content_digest=digest,
            ids=self._checker.record_ids if accepted and self._checker else None,
        )


def _event_times(contract: Contract, profile: Profile | None) -> tuple[datetime | None, datetime | None]:
    if profile is None:
        return None, None
    column = profile.columns[contract.event_time]
    return column.first_at, column.last_at


@contextmanager
def _rows_writer(target: Any, schema: Any) -> Iterator[Any]:
    """A function that takes record batches; they are written in groups of about 128,000 rows."""
    if target is None:
        yield lambda batch: None
        return
    held: list[Any] = []
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:

        def flush() -> None:
            if held:
                writer.write_table(pa.Table.from_batches(held, schema))
                held.clear()

        def take(batch: Any) -> None:
            if batch.num_rows:
                arrays = [batch.column(f.name).cast(f.type) for f in schema]
                held.append(pa.RecordBatch.from_arrays(arrays, schema=schema))
            if sum(b.num_rows for b in held) >= _GROUP_ROWS:
                flush()

        yield take
        flush()


@contextmanager
def _lines_writer(target: Any) -> Iterator[Any]:
    """A function that writes one quarantined row as a JSON line."""
    if target is None:
        yield lambda row, reasons, text: None
        return
    with ExitStack() as stack:
        file = target if hasattr(target, "write") else stack.enter_context(Path(target).open("wb"))

        def write(row: int, reasons: list[str], text: str) -> None:
            # ASCII only: no reader may take a line separator of Unicode for the end of a line.
            file.write(json.dumps({"row": row, "reasons": reasons, "text": text}).encode() + b"\n")

        yield write
