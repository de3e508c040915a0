"""Reports for people: one self-contained HTML page from plain facts."""

from perennial.report.drift_page import drift_page, render_drift
from perennial.report.pages import render_story
from perennial.report.story import (
    Accident,
    DriftCell,
    DriftPage,
    HistogramPair,
    Marker,
    ModelRow,
    Moment,
    QualityPoint,
    QualitySeries,
    RolloutShare,
    RolloutStory,
    Story,
    SummaryRow,
)

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
    "drift_page",
    "render_drift",
    "render_story",
]
