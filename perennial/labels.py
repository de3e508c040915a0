"""
When labels come, when they are enough, and which one counts.

A label belongs to a record by its id and to a time by the record's event time, whenever it arrives. The newest label of
a record wins; a dataset version that is already frozen never sees it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from pydantic import Field

from perennial.policy import Policy, Seconds, Share, spelled

__all__ = [
    "Joined",
    "JoinedLabel",
    "Label",
    "LabelPolicy",
    "Maturity",
    "first",
    "join",
    "judge_maturity",
    "label_cutoff",
    "newest",
]

LabelValue = str | int | float | bool
_NEVER = datetime.min.replace(tzinfo=UTC)


class LabelPolicy(Policy):
    """`[labels]`: how late labels are, and what their absence means."""

    latency_seconds: Seconds = spelled(0, "latency", "latency_seconds")
    maturity_share: Share = spelled(0.8, "maturity", "maturity_share")
    negative_after_seconds: Seconds | None = spelled(None, "negative_after", "negative_after_seconds")
    negative_value: LabelValue = Field(
        default=0, description="The label that silence stands for after `negative_after`."
    )


@dataclass(frozen=True, slots=True)
class Label:
    """One label as it came: for which record, from which label file, and when it was made (if the file says so)."""

    record_id: str
    value: LabelValue
    labels_id: str
    labeled_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class JoinedLabel:
    """The label that counts for a record, and whether somebody gave it or silence implied it."""

    value: LabelValue
    origin: Literal["given", "silence"]


@dataclass(frozen=True, slots=True)
class Joined:
    """
    Records with their labels.

    Attributes
    ----------
    labels
        The label that counts, by record id.
    pending
        Records whose label may still come.
    impossible
        Records whose label was made before the record's own event: a leak, so it is not used.
    unknown
        Record ids that have a label but are not among the records.
    """

    labels: Mapping[str, JoinedLabel]
    pending: tuple[str, ...]
    impossible: tuple[str, ...]
    unknown: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Maturity:
    """Whether enough of a window is labelled for its score to mean anything."""

    mature: bool
    share: float
    reasons: tuple[str, ...]


def _rank(label: Label) -> tuple[datetime, str, str]:
    return (label.labeled_at or _NEVER, label.labels_id, repr(label.value))


def newest(labels: Iterable[Label]) -> dict[str, Label]:
    """
    The label that counts for each record: the latest made, ties going to the larger labels id.

    The order in which labels are given makes no difference.

    >>> old, new = Label("r", 0, "f1"), Label("r", 1, "f2")
    >>> newest([new, old])["r"].value, newest([old, new])["r"].value
    (1, 1)
    """
    chosen: dict[str, Label] = {}
    for label in labels:
        held = chosen.get(label.record_id)
        if held is None or _rank(label) > _rank(held):
            chosen[label.record_id] = label
    return chosen


def first(labels: Iterable[Label]) -> dict[str, Label]:
    """
    The label that was made first for each record, ties going to the smaller labels id: what is frozen once it is known.

    >>> old, new = Label("r", 0, "f1"), Label("r", 1, "f2")
    >>> first([new, old])["r"].value
    0
    """
    chosen: dict[str, Label] = {}
    for label in labels:
        held = chosen.get(label.record_id)
        if held is None or _rank(label) < _rank(held):
            chosen[label.record_id] = label
    return chosen


def label_cutoff(as_of: datetime, policy: LabelPolicy) -> datetime:
    """The newest event time whose label must have come by `as_of`, if labels keep to their latency."""
    return as_of - timedelta(seconds=max(policy.latency_seconds, policy.negative_after_seconds or 0))


def join(
    records: Mapping[str, datetime],
    labels: Iterable[Label],
    policy: LabelPolicy,
    *,
    as_of: datetime,
    frozen: Collection[str] = (),
) -> Joined:
    """
    The records with the labels that count at `as_of`.

    Parameters
    ----------
    records
        Event time by record id.
    labels
        All labels known, in any order; those made after `as_of` are not looked at.
    as_of
        The data's present: a label from its future would be a leak in a replay.
    frozen
        Records whose first label counts for ever (anchors): whoever relabels history must not move the measure of
        what was always true.
    """
    seen = [label for label in labels if label.labeled_at is None or label.labeled_at <= as_of]
    known = newest(seen) | first(label for label in seen if label.record_id in frozen)
    joined: dict[str, JoinedLabel] = {}
    pending: list[str] = []
    impossible: list[str] = []
    silence = timedelta(seconds=policy.negative_after_seconds) if policy.negative_after_seconds is not None else None
    for record_id, event_at in sorted(records.items()):
        label = known.get(record_id)
        if label is not None and label.labeled_at is not None and label.labeled_at < event_at:
            impossible.append(record_id)
        elif label is not None:
            joined[record_id] = JoinedLabel(label.value, "given")
        elif silence is not None and event_at + silence <= as_of:
            joined[record_id] = JoinedLabel(policy.negative_value, "silence")
        else:
            pending.append(record_id)
    return Joined(joined, tuple(pending), tuple(impossible), tuple(sorted(known.keys() - records.keys())))


def judge_maturity(*, labelled_count: int, record_count: int, policy: LabelPolicy) -> Maturity:
    """
    Whether a window with `labelled_count` of `record_count` records labelled may be scored.

    An early, partial set of labels is rarely a fair sample (fast answers differ from slow ones), so a window below the
    policy's share stays unscored instead of being scored wrongly.
    """
    share = labelled_count / record_count if record_count else 0.0
    if record_count == 0:
        return Maturity(False, 0.0, ("labels: no records in the window",))
    if share < policy.maturity_share:
        return Maturity(
            False, share, (f"labels: {share:.0%} of the window has labels, {policy.maturity_share:.0%} are needed",)
        )
    return Maturity(True, share, (f"labels: {share:.0%} of the window has labels",))
