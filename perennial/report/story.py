"""
What a report tells: plain facts, gathered by whoever knows them, drawn by `perennial.report.pages`.

>>> story = Story(title="bikeshare", summary=(SummaryRow("Batches landed", "24"),))
>>> Story.from_json(story.to_json()) == story
True
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import TypeAdapter

__all__ = [
    "Accident",
    "DriftCell",
    "DriftPage",
    "HistogramPair",
    "Marker",
    "ModelRow",
    "Moment",
    "QualityPoint",
    "QualitySeries",
    "RolloutShare",
    "RolloutStory",
    "Story",
    "SummaryRow",
    "Tone",
]

Tone = Literal["neutral", "good", "warning", "bad"]
MarkerKind = Literal["drift", "retraining", "rejected", "promoted", "rolled back"]


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """One line of the summary: what, how much, and a note if it needs one."""

    name: str
    value: str
    note: str = ""
    tone: Tone = "neutral"


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened; `kind` is an event's detail type or any short word."""

    at: datetime
    kind: str
    sentence: str
    tone: Tone = "neutral"


@dataclass(frozen=True, slots=True)
class QualityPoint:
    """A model's score on one batch, once its labels came."""

    batch: str
    value: float
    rows: int = 0


@dataclass(frozen=True, slots=True)
class QualitySeries:
    """The scores of one model version, batch by batch."""

    model_version: str
    points: tuple[QualityPoint, ...]


@dataclass(frozen=True, slots=True)
class Marker:
    """What happened at a batch, drawn into the quality chart."""

    batch: str
    kind: MarkerKind
    sentence: str


@dataclass(frozen=True, slots=True)
class DriftCell:
    """How far one column of one batch lay from the reference: 0 to 1, and whether that was drift."""

    batch: str
    column: str
    effect: float
    drifted: bool = False


@dataclass(frozen=True, slots=True)
class RolloutShare:
    """One decision of a rollout: the challenger's share of traffic after it, and why."""

    share: float
    sentence: str
    at: datetime | None = None
    held: bool = False


@dataclass(frozen=True, slots=True)
class RolloutStory:
    """One rollout from its first step to its end."""

    model_version: str
    outcome: Literal["promoted", "rolled back", "in progress"]
    steps: tuple[RolloutShare, ...]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Accident:
    """Something that was made to go wrong, and what became of it."""

    title: str
    provoked: str
    outcome: str
    survived: bool
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One model version: why it was trained, how it was judged, what became of it."""

    model_version: str
    signal: str
    rows: int | None = None
    candidate: float | None = None
    champion: float | None = None
    verdict: str = ""
    status: str = ""
    tone: Tone = "neutral"


@dataclass(frozen=True, slots=True)
class Story:
    """
    Everything a report shows; every part may be empty.

    `batches` gives the order of the batches on the horizontal axes; without it, they are taken in the order in which
    the series and the drift cells name them. `metric` names what the quality series measure.
    """

    title: str
    subtitle: str = ""
    metric: str = "accuracy"
    summary: tuple[SummaryRow, ...] = ()
    timeline: tuple[Moment, ...] = ()
    batches: tuple[str, ...] = ()
    quality: tuple[QualitySeries, ...] = ()
    markers: tuple[Marker, ...] = ()
    drift: tuple[DriftCell, ...] = ()
    rollouts: tuple[RolloutStory, ...] = ()
    accidents: tuple[Accident, ...] = ()
    models: tuple[ModelRow, ...] = ()

    def to_json(self) -> str:
        """The whole story as JSON."""
        return TypeAdapter(Story).dump_json(self).decode()

    @classmethod
    def from_json(cls, text: str) -> Story:
        """The story of `to_json`."""
        return TypeAdapter(Story).validate_json(text)


@dataclass(frozen=True, slots=True)
class HistogramPair:
    """
    One column's distribution, reference beside window.

    Parameters
    ----------
    labels
        A name for each group: a category, a number or a range of numbers.
    reference, window
        Shares of rows in each group, 0 to 1.
    kind
        Numbers are drawn from left to right, categories one below the other.
    """

    column: str
    labels: tuple[str, ...]
    reference: tuple[float, ...]
    window: tuple[float, ...]
    kind: Literal["number", "category"] = "category"


@dataclass(frozen=True, slots=True)
class DriftPage:
    """
    One drift check for people: what the report itself doesn't hold.

    Parameters
    ----------
    subtitle
        What was compared with what.
    histograms
        Of the columns that are shown one by one.
    history
        Effects in the windows since the reference, oldest first, the checked one last.
    window
        The checked window's name among `history`.
    notes
        Sentences on how the check was made.
    """

    title: str
    subtitle: str = ""
    histograms: tuple[HistogramPair, ...] = ()
    history: tuple[DriftCell, ...] = ()
    window: str = ""
    notes: tuple[str, ...] = ()
