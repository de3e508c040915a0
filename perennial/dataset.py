"""
Which batches and labels a model learns from, is judged on, and is never trained on.

A dataset version is immutable and named by the hash of what it holds: two snapshots of the same history are one
version, in whatever order the batches came.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal, cast

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, field_validator, model_validator

from perennial.canonical import digest
from perennial.errors import DatasetTooSmall
from perennial.instance_types import check_job_type
from perennial.labels import LabelPolicy, label_cutoff
from perennial.policy import Policy, Seconds, format_duration, spelled

__all__ = [
    "BatchEntry",
    "DatasetVersion",
    "LabelsEntry",
    "Part",
    "TrainingPolicy",
    "channel_manifest",
    "freeze",
    "labels_lacking",
    "require_labelled",
]

Part = Literal["train", "holdout"]
Mode = Literal["full", "window", "replay"]
_MOST_HYPERPARAMETERS: Final = 80
_LONGEST: Final = 250
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{1,60}")
# Of a processing job, as which a model is evaluated: a training job might take four weeks, and its model then be lost.
_LONGEST_JOB_SECONDS: Final = 9 * 86_400
_PLANNED: Final = ("incremental", "ensemble", "online")


class TrainingPolicy(Policy):
    """`[training]`: what of history a model learns from, and with what means."""

    mode: Mode = "full"
    window_seconds: Seconds | None = spelled(None, "window", "window_seconds")
    replay_share: Annotated[float, Field(gt=0.0, lt=1.0)] = spelled(0.3, "replay", "replay_share")
    holdout_share: Annotated[float, Field(gt=0.0, lt=1.0)] = spelled(0.2, "holdout", "holdout_share")
    anchor_share: Annotated[float, Field(ge=0.0, le=0.5)] = spelled(0.0, "anchor", "anchor_share")
    min_batches: Annotated[int, Field(ge=2)] = 2
    min_rows: Annotated[int, Field(ge=1)] = 200
    max_source_share: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    hyperparameters: dict[str, str | int | float | bool] = Field(default_factory=dict)
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    # Trains and evaluates.
    instance_type: Annotated[str, AfterValidator(check_job_type)] = "ml.m5.large"
    volume_gb: Annotated[int, Field(ge=1, le=16384)] = 10
    spot: bool = False
    network: bool = False
    max_runtime_seconds: Annotated[Seconds, Field(ge=60, le=_LONGEST_JOB_SECONDS)] = spelled(
        3600, "max_runtime", "max_runtime_seconds"
    )

    @field_validator("mode", mode="before")
    @classmethod
    def _refuse_what_is_not_there(cls, given: Any) -> Any:
        if given in _PLANNED:
            raise ValueError(f'mode must be "full", "window" or "replay". Got "{given}" instead: not implemented yet')
        return given

    @field_validator("hyperparameters")
    @classmethod
    def _hyperparameters_fit_sagemaker(cls, given: dict[str, Any]) -> dict[str, Any]:
        """SageMaker takes 100 in all, of which some are its own and ours, each shorter than 256 characters."""
        if len(given) > _MOST_HYPERPARAMETERS:
            raise ValueError(f"hyperparameters must be at most {_MOST_HYPERPARAMETERS}. Got {len(given)} instead")
        for name, value in given.items():
            if not _NAME.fullmatch(name) or name.startswith("sagemaker_") or len(str(value)) > _LONGEST:
                raise ValueError(f"hyperparameters must be short words with short values. Got {name!r} instead")
        return given

    @model_validator(mode="after")
    def _mode_has_its_window(self) -> TrainingPolicy:
        if self.mode in ("window", "replay") and not self.window_seconds:
            raise ValueError(f'window must be given for mode "{self.mode}", such as window = "60d". Got none instead')
        if self.mode == "full" and self.window_seconds is not None:
            raise ValueError('window must be left out for mode "full". Did you mean mode = "window"?')
        return self


class BatchEntry(BaseModel):
    """An accepted batch, as the catalog knows it. `source` names who supplied it, where that is known."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    batch_id: str
    curated_key: str
    rows: int
    first_event_at: AwareDatetime
    last_event_at: AwareDatetime
    source: str | None = None


class LabelsEntry(BaseModel):
    """An accepted label file; `as_of` is the newest time it speaks of, where that is known."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    labels_id: str
    curated_key: str
    rows: int | None = None
    as_of: AwareDatetime | None = None


class DatasetVersion(BaseModel):
    """The content of `version.json`: what one learning run reads, and nothing else."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset_id: str
    run_id: str
    loop: str
    loop_digest: str | None = None
    as_of: AwareDatetime
    label_cutoff_at: AwareDatetime
    mode: Mode
    seed: int
    train: tuple[BatchEntry, ...]
    holdout: tuple[BatchEntry, ...]
    anchor: tuple[BatchEntry, ...]
    labels: tuple[LabelsEntry, ...]
    champion_version: str = "none"
    reasons: tuple[str, ...] = ()

    @property
    def batches(self) -> tuple[BatchEntry, ...]:
        """Every batch that the run reads, in the order of events."""
        return tuple(sorted({*self.train, *self.holdout, *self.anchor}, key=_order))

    @property
    def rows(self) -> int:
        """Rows of all batches, before duplicates are dropped and labels joined."""
        return sum(batch.rows for batch in self.batches)


def _order(batch: BatchEntry) -> tuple[datetime, datetime, str]:
    return (batch.first_event_at, batch.last_event_at, batch.batch_id)


def _lot(batch_id: str, seed: int | str) -> float:
    """A number in [0, 1) that only the batch and the seed decide."""
    return int.from_bytes(hashlib.sha256(f"{seed}\x1f{batch_id}".encode()).digest()[:7]) / 2**56


def freeze(
    batches: Iterable[BatchEntry],
    labels: Iterable[LabelsEntry],
    policy: TrainingPolicy,
    label_policy: LabelPolicy,
    *,
    loop: str,
    run_id: str,
    as_of: datetime,
    champion_version: str = "none",
    champion_batches: Collection[str] = (),
    loop_digest: str | None = None,
) -> DatasetVersion:
    """
    The dataset version that `policy` makes of the history known at `as_of`.

    Parameters
    ----------
    batches, labels
        All accepted ones, in any order, repetitions included.
    as_of
        The newest event time of the evidence: later batches and labels are left for the next version.
    champion_batches
        Ids of the batches the champion was trained on: they never serve to compare it with the candidate.

    Raises
    ------
    DatasetTooSmall
        Too few mature batches or rows; says how many there are and how many are needed.
    """
    cutoff = label_cutoff(as_of, label_policy)
    frozen_labels = _labels_until(labels, as_of)
    reasons: list[str] = []
    anchor, chosen = _choose(_known(batches), policy, cutoff, reasons)
    _require_enough(chosen, frozen_labels, policy, label_policy, reasons)
    train, holdout = _split(chosen, policy, champion_batches)
    train = _cap_sources(train, policy.max_source_share, reasons)
    if not train:
        raise DatasetTooSmall(f"a dataset must have batches to train on. Got none instead ({'; '.join(reasons)}).")
    parts = {"train": tuple(train), "holdout": tuple(holdout), "anchor": tuple(anchor)}
    return DatasetVersion(
        dataset_id=_identity(loop, policy, cutoff, parts, frozen_labels),
        run_id=run_id,
        loop=loop,
        loop_digest=loop_digest,
        as_of=as_of,
        label_cutoff_at=cutoff,
        mode=policy.mode,
        seed=policy.seed,
        **parts,
        labels=frozen_labels,
        champion_version=champion_version,
        reasons=tuple(reasons),
    )


def _identity(
    loop: str,
    policy: TrainingPolicy,
    cutoff: datetime,
    parts: Mapping[str, Sequence[BatchEntry]],
    labels: Sequence[LabelsEntry],
) -> str:
    """The hash of all that decides which rows and labels are read: neither the run nor the moment is part of it."""
    content = {
        "loop": loop,
        "mode": policy.mode,
        "seed": policy.seed,
        "label_cutoff_at": cutoff,
        "labels": [entry.labels_id for entry in labels],
        **{name: [batch.batch_id for batch in part] for name, part in parts.items()},
    }
    return digest(content)[:40]


def _choose(
    known: Sequence[BatchEntry], policy: TrainingPolicy, cutoff: datetime, reasons: list[str]
) -> tuple[list[BatchEntry], list[BatchEntry]]:
    """The anchor, and what the rest of history is learnt from or judged on."""
    mature = [batch for batch in known if batch.last_event_at <= cutoff]
    reasons.append(
        f"{len(mature)} of {len(known)} batches have all events up to {cutoff.isoformat()}, the label cut-off"
    )
    anchor = [batch for batch in mature if _lot(batch.batch_id, "anchor") < policy.anchor_share]
    golden = {batch.batch_id for batch in anchor}
    usable = [batch for batch in mature if batch.batch_id not in golden]
    return anchor, _cap_sources(_of_mode(usable, policy, cutoff, reasons), policy.max_source_share, reasons)


def _known(batches: Iterable[BatchEntry]) -> list[BatchEntry]:
    """Every batch with rows once, in the order of events, whatever order and how often they were given."""
    unique: dict[str, BatchEntry] = {}
    for batch in sorted(batches, key=lambda one: (one.batch_id, one.source or "")):
        if batch.rows > 0:
            unique.setdefault(batch.batch_id, batch)
    return sorted(unique.values(), key=_order)


def _labels_until(labels: Iterable[LabelsEntry], as_of: datetime) -> tuple[LabelsEntry, ...]:
    unique = {entry.labels_id: entry for entry in labels if entry.as_of is None or entry.as_of <= as_of}
    return tuple(unique[labels_id] for labels_id in sorted(unique))


def _of_mode(
    usable: Sequence[BatchEntry], policy: TrainingPolicy, cutoff: datetime, reasons: list[str]
) -> list[BatchEntry]:
    if policy.mode == "full" or policy.window_seconds is None:
        return list(usable)
    start = cutoff - timedelta(seconds=policy.window_seconds)
    recent = [batch for batch in usable if batch.last_event_at > start]
    reasons.append(f"window of {format_duration(policy.window_seconds)}: {len(recent)} batches")
    if policy.mode == "window":
        return recent
    older = [batch for batch in usable if batch.last_event_at <= start]
    wanted = sum(batch.rows for batch in recent) * policy.replay_share / (1 - policy.replay_share)
    replayed: list[BatchEntry] = []
    rows = 0
    for batch in sorted(older, key=lambda one: (_lot(one.batch_id, policy.seed), one.batch_id)):
        if rows >= wanted:
            break
        replayed.append(batch)
        rows += batch.rows
    reasons.append(f"replay: {len(replayed)} of {len(older)} older batches, drawn by seed {policy.seed}")
    return sorted([*replayed, *recent], key=_order)


def _cap_sources(chosen: list[BatchEntry], cap: float, reasons: list[str]) -> list[BatchEntry]:
    """Drop the oldest batches of whichever source supplies more than `cap` of the rows, until none does."""
    if cap >= 1.0:
        return chosen
    rows: Counter[str] = Counter()
    queues: dict[str, list[BatchEntry]] = {}
    for batch in reversed(chosen):
        rows[batch.source or ""] += batch.rows
        queues.setdefault(batch.source or "", []).append(batch)
    dropped: set[str] = set()
    while rows.total() > 0:
        source, most = max(rows.items(), key=lambda item: (item[1], item[0]))
        if most <= cap * rows.total():
            break
        oldest = queues[source].pop()
        rows[source] -= oldest.rows
        dropped.add(oldest.batch_id)
    if dropped:
        reasons.append(f"sources: {len(dropped)} batches left out so that none supplies more than {cap:.0%}")
    return [batch for batch in chosen if batch.batch_id not in dropped]


def _require_enough(
    chosen: Sequence[BatchEntry],
    labels: Sequence[LabelsEntry],
    policy: TrainingPolicy,
    label_policy: LabelPolicy,
    reasons: Sequence[str],
) -> None:
    rows = sum(batch.rows for batch in chosen)
    counts = [entry.rows for entry in labels if entry.rows is not None]
    lacking = []
    if label_policy.negative_after_seconds is None and len(counts) == len(labels) and sum(counts) < policy.min_rows:
        lacking.append(f"must have at least {policy.min_rows} labels. Got {sum(counts)} instead")
    if len(chosen) < policy.min_batches:
        lacking.append(f"must have at least {policy.min_batches} batches. Got {len(chosen)} instead")
    if rows < policy.min_rows:
        lacking.append(f"must have at least {policy.min_rows} rows. Got {rows} instead")
    if lacking:
        raise DatasetTooSmall(f"a dataset {'; '.join(lacking)} ({'; '.join(reasons)}).")


def labels_lacking(labelled: Mapping[Part, int], *, wanted: int) -> str | None:
    """
    What is missing for a version to be learnt from and judged on, given its labelled rows by part.

    >>> labels_lacking({"train": 150, "holdout": 60}, wanted=200)
    >>> labels_lacking({"train": 150, "holdout": 0}, wanted=100)
    'must have a labelled row to hold out. Got none instead'
    """
    total = sum(labelled.values())
    if total < wanted:
        return f"must have at least {wanted} labelled rows. Got {total} instead"
    for part, purpose in (("train", "to train on"), ("holdout", "to hold out")):
        if not labelled.get(cast("Part", part)):
            return f"must have a labelled row {purpose}. Got none instead"
    return None


def require_labelled(version: DatasetVersion, labelled: Mapping[Part, int], policy: TrainingPolicy) -> None:
    """
    Refuse a version whose own rows have too few labels, however many labels there are of others.

    Parameters
    ----------
    labelled
        Labelled rows by part; counting may have stopped once there were enough.

    Raises
    ------
    DatasetTooSmall
        Says how many labelled rows there are, of how many, and how the rows were chosen.
    """
    lacking = labels_lacking(labelled, wanted=policy.min_rows)
    if lacking:
        rows = sum(batch.rows for batch in (*version.train, *version.holdout))
        reasons = (f"{rows} rows in {len(version.train) + len(version.holdout)} batches", *version.reasons)
        raise DatasetTooSmall(f"a dataset {lacking} ({'; '.join(reasons)}).")


def _split(
    chosen: Sequence[BatchEntry], policy: TrainingPolicy, champion_batches: Collection[str]
) -> tuple[list[BatchEntry], list[BatchEntry]]:
    """The newest batches judge, up to the holdout's share of rows; what the champion learnt from never does."""
    seen = set(champion_batches)
    budget = policy.holdout_share * sum(batch.rows for batch in chosen)
    holdout: list[BatchEntry] = []
    rows = 0
    for batch in reversed(chosen[1:]):
        if batch.batch_id in seen:
            continue
        if holdout and rows + batch.rows > budget:
            break
        holdout.append(batch)
        rows += batch.rows
    if not holdout:
        raise DatasetTooSmall(
            "a dataset must hold a batch that the champion has not learnt from, to compare on. Got none instead."
        )
    kept = {batch.batch_id for batch in holdout}
    return [batch for batch in chosen if batch.batch_id not in kept], sorted(holdout, key=_order)


def channel_manifest(version: DatasetVersion, lake_bucket: str) -> list[Any]:
    """
    SageMaker's ManifestFile of the dataset channel: curated batches and labels, by key.

    Source: SageMaker API reference, S3DataSource, S3DataType ManifestFile.
    """
    keys = [batch.curated_key for batch in version.batches] + [entry.curated_key for entry in version.labels]
    return [{"prefix": f"s3://{lake_bucket}/"}, *keys]
