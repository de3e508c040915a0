"""Validation of one landed file, in one pass: checked, split, profiled."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from perennial.contract import Column, Contract
from perennial.profile.columns import to_datetime
from perennial.validation.blocks import Block, FileRejected, Reader
from perennial.validation.csv_reader import CsvReader
from perennial.validation.curated import curated_rows
from perennial.validation.in_order import in_order
from perennial.validation.jsonl_reader import JsonlReader
from perennial.validation.outcome import Limits, Outcome, Violation
from perennial.validation.parquet_reader import ParquetReader
from perennial.validation.processing import BlockProcessor, Processed
from perennial.validation.recent_ids import RecentIds
from perennial.validation.sources import ByteStream, digest_of, file_kind

__all__ = ["label_contract", "validate_file", "validate_labels"]

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
    optional = frozenset([contract.label]) if contract.label else frozenset[str]()
    run = _Run(contract, limits or Limits(), recent_ids, optional, workers)
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
    labels = label_contract(contract)
    run = _Run(labels, limits or Limits(), None, frozenset(["labeled_at"]), workers)
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
        self, contract: Contract, limits: Limits, recent: RecentIds | None, optional: frozenset[str], workers: int
    ) -> None:
        if workers < 1:
            raise ValueError(f"workers must be at least 1. Got {workers} instead")
        self._contract, self._limits, self._recent, self._optional = contract, limits, recent, optional
        self._workers = workers
        self._landed = self._accepted = self._refused = self._blank = 0
        self._nulls: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._event_ranges: list[tuple[int, int]] = []
        self._reader: Reader | None = None
        self._stream: ByteStream | None = None

    def validate(
        self, source: Any, key: str, size: int, curated: Any, quarantine: Any, now: datetime | None, *, digest: bool
    ) -> Outcome:
        violations: list[Violation] = []
        processor = BlockProcessor(self._contract, self._limits, self._recent, self._optional, keep=curated is not None)
        with ExitStack() as stack:
            good = stack.enter_context(curated_rows(curated, self._contract))
            bad = stack.enter_context(_lines_writer(quarantine))
            try:
                self._reader = reader = self._open(source, key, size, digest=digest)
                parts = reader.parts(workers=self._workers)
                for done in stack.enter_context(closing(in_order(parts, processor.process, self._workers))):
                    self._take(done, good, bad)
            except FileRejected as rejected:
                violations.append(rejected.violation)
        violations += self._file_rules(now)
        found = ""
        if digest:
            found = self._stream.digest() if self._stream is not None else digest_of(source)
        return self._outcome(violations, processor, found)

    def _open(self, source: Any, key: str, size: int, *, digest: bool) -> Reader:
        kind = file_kind(key, self._contract)
        if kind.format == "parquet":
            return ParquetReader(source, self._contract, self._limits, self._optional)
        self._stream = ByteStream(source, kind, size, self._limits, digest=digest)
        text_reader = CsvReader if kind.format == "csv" else JsonlReader
        return text_reader(self._stream, self._contract, self._limits, self._optional)

    def _take(self, done: Processed, good: Any, bad: Any) -> None:
        block, first = done.block, self._landed
        self._landed += block.landed
        self._blank += block.blank
        self._accepted += done.accepted
        self._refused += len(block.refused) + block.batch.num_rows - done.accepted
        self._nulls.update(done.null_counts)
        self._event_ranges += [done.event_range] if done.event_range else []
        for refused in block.refused:
            self._reasons[refused.reason] += 1
            bad(first + refused.row + 1, [refused.reason], refused.text)
        for flags, reason in done.flagged:
            self._reasons[reason] += int(np.count_nonzero(flags))
        if done.flagged:
            self._quarantine(block, done.flagged, first, bad)
        good(done.curated)
        limit = self._contract.quality.max_rows
        if limit is not None and self._landed - self._blank > limit:
            raise FileRejected("too_many_rows", f"a file must have at most {limit} rows. Got more instead")
        if block.settle is not None:
            block.settle()

    def _quarantine(self, block: Block, flagged: list[tuple[Any, str]], first: int, bad: Any) -> None:
        """Some thousand rows at a time: a block in which every row is bad must not become as many Python objects."""
        rows = np.flatnonzero(np.logical_or.reduce([flags for flags, _ in flagged]))
        for i in range(0, len(rows), _QUARANTINE_ROWS):
            part = rows[i : i + _QUARANTINE_ROWS]
            places = part if block.places is None else block.places[part]
            for row, place, text in zip(part.tolist(), places.tolist(), block.text(part), strict=True):
                bad(first + place + 1, [reason for flags, reason in flagged if flags[row]], text)

    def _file_rules(self, now: datetime | None) -> Iterator[Violation]:
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
        age, last = quality.max_age_seconds, self._event_times()[1]
        if age is not None and now is not None and last is not None and (now - last).total_seconds() > age:
            yield Violation(
                "too_old",
                f"the newest event must be at most {age:g} seconds old. Got {(now - last).total_seconds():.0f} instead",
            )

    def _event_times(self) -> tuple[datetime | None, datetime | None]:
        if not self._event_ranges:
            return None, None
        first, last = zip(*self._event_ranges, strict=True)
        return to_datetime(min(first)), to_datetime(max(last))

    def _outcome(self, violations: list[Violation], processor: BlockProcessor, digest: str) -> Outcome:
        accepted = not violations
        first, last = self._event_times()
        return Outcome(
            accepted=accepted,
            reasons=tuple(violations),
            rows_landed=self._landed,
            rows_accepted=self._accepted if accepted else 0,
            rows_quarantined=self._refused if accepted else self._landed - self._blank,
            rows_blank=self._blank,
            reason_counts=dict(sorted(self._reasons.items(), key=lambda item: (-item[1], item[0]))),
            profile=processor.profile() if accepted else None,
            first_event_at=first,
            last_event_at=last,
            schema_change=self._reader.schema_change if self._reader else None,
            content_digest=digest,
            ids=processor.record_ids if accepted else None,
        )


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
