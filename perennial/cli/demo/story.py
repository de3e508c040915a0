"""What happened in a demo, as the report's facts: from the ledger's events, the scores and the drift reports."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from perennial import events as happened
from perennial import keys
from perennial.cli.deployment import Deployment
from perennial.events import Event
from perennial.narration import tell
from perennial.report import (
    Accident,
    DriftCell,
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
from perennial.report.story import MarkerKind, Tone

if TYPE_CHECKING:
    from perennial.cli.demo.script import Demo

__all__ = ["story_of"]

_TONES: dict[type[Event], Tone] = {
    happened.BatchRejected: "warning",
    happened.LabelsRejected: "warning",
    happened.DriftDetected: "warning",
    happened.PerformanceFell: "warning",
    happened.BusinessFell: "warning",
    happened.ModelPromoted: "good",
    happened.ModelRolledBack: "bad",
}
_MARKERS: dict[type[Event], MarkerKind] = {
    happened.BatchRejected: "rejected",
    happened.DriftDetected: "drift",
    happened.RetrainingRequested: "retraining",
    happened.ModelPromoted: "promoted",
    happened.ModelRolledBack: "rolled back",
}
_VERDICT_TONES: dict[str, Tone] = {"passed": "good", "failed": "bad", "inconclusive": "warning"}


def story_of(demo: Demo, lines: Sequence[tuple[datetime, str, str]], summary: Iterable[tuple[str, bool, str]]) -> Story:
    """The story of a demo, `lines` being what it said itself."""
    told = list(demo.feed.events)
    batches = [_day(event.key) for event in told if isinstance(event, happened.BatchAccepted)]
    batches = sorted(dict.fromkeys(batches))
    said = [Moment(at, kind, sentence) for at, kind, sentence in lines if kind == "demo"]
    moments = [Moment(e.at, e.detail_type, tell(e), _TONES.get(type(e), "neutral")) for e in told if _shown(e)]
    return Story(
        title=f"Loop {demo.deployment.loop}",
        subtitle="What the loop did on the local cloud, from its own ledger",
        summary=(
            *(SummaryRow(name, figure, tone="good" if held else "bad") for name, held, figure in summary),
            *(_survival(accident.name, accident.survived) for accident in demo.accidents),
        ),
        timeline=tuple(sorted([*said, *moments], key=lambda moment: moment.at)),
        batches=tuple(batches),
        quality=_quality(demo.deployment, told),
        markers=_markers(told, batches),
        drift=_drift(demo.deployment, told),
        rollouts=_rollouts(told),
        accidents=tuple(Accident(a.name, a.provoked, a.sentence, a.survived) for a in demo.accidents),
        models=_models(told),
    )


def _survival(name: str, survived: bool) -> SummaryRow:
    return SummaryRow(name, "survived" if survived else "not survived", tone="good" if survived else "bad")


def _shown(event: Event) -> bool:
    return not isinstance(event, happened.LabelsJoined | happened.RetrainingDeclined)


def _day(key: str) -> str:
    return key.rsplit("/", 1)[-1].split(".", 1)[0]


def _quality(deployment: Deployment, told: Sequence[Event]) -> tuple[QualitySeries, ...]:
    days = {event.labels_id: _day(event.key) for event in told if isinstance(event, happened.LabelsJoined)}
    series: dict[str, dict[str, QualityPoint]] = {}
    for sort, item in deployment.catalog.query(keys.scores_partition(deployment.loop)):
        labels_id, _, version = sort.partition("#")
        day = days.get(labels_id)
        if day is not None and "value" in item:
            point = QualityPoint(day, float(item["value"]), int(item.get("rows", 0)))
            series.setdefault(version, {})[day] = point
    return tuple(
        QualitySeries(version, tuple(points[day] for day in sorted(points))) for version, points in series.items()
    )


def _markers(told: Sequence[Event], batches: Sequence[str]) -> tuple[Marker, ...]:
    """Events on the axis of batches: each at the newest batch that had landed when it happened."""
    markers, newest = [], batches[0] if batches else ""
    for event in told:
        if isinstance(event, happened.BatchAccepted):
            newest = max(newest, _day(event.key))
        if type(event) in _MARKERS:
            markers.append(Marker(newest, _MARKERS[type(event)], tell(event)))
    return tuple(markers)


def _drift(deployment: Deployment, told: Sequence[Event]) -> tuple[DriftCell, ...]:
    cells = []
    for event in told:
        if not isinstance(event, happened.BatchAccepted):
            continue
        for column in _report(deployment, event.batch_id).get("columns", []):
            cells.append(DriftCell(_day(event.key), column["name"], float(column["effect"]), bool(column["drifted"])))
    return tuple(cells)


def _report(deployment: Deployment, batch_id: str) -> dict[str, Any]:
    try:
        body = deployment.s3.get_object(Bucket=deployment["LakeBucket"], Key=keys.drift_report_key(batch_id))["Body"]
    except ClientError as error:
        if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
            return {}  # landed before there was a champion to compare with
        raise
    found = json.loads(body.read())
    return dict(found["report"])


def _rollouts(told: Sequence[Event]) -> tuple[RolloutStory, ...]:
    stories = []
    for start in (event for event in told if isinstance(event, happened.RolloutStarted)):
        steps, outcome, reason = [], "in progress", ""
        for event in told:
            if getattr(event, "rollout_id", None) != start.rollout_id:
                continue
            if isinstance(event, happened.RolloutAdvanced | happened.RolloutHeld):
                held = isinstance(event, happened.RolloutHeld)
                steps.append(RolloutShare(event.traffic_share, tell(event), event.at, held))
            elif isinstance(event, happened.ModelPromoted):
                outcome, reason = "promoted", "; ".join(event.reasons)
                steps.append(RolloutShare(1.0, tell(event), event.at))
            elif isinstance(event, happened.ModelRolledBack):
                outcome, reason = "rolled back", "; ".join(event.reasons)
                steps.append(RolloutShare(0.0, tell(event), event.at))
        stories.append(RolloutStory(start.model_version, outcome, tuple(steps), reason))  # type: ignore[arg-type]
    return tuple(stories)


def _models(told: Sequence[Event]) -> tuple[ModelRow, ...]:
    rows = []
    for asked in (event for event in told if isinstance(event, happened.RetrainingRequested)):
        of_run = [event for event in told if getattr(event, "run_id", None) == asked.run_id]
        judged = next((event for event in of_run if isinstance(event, happened.CandidateJudged)), None)
        frozen = next((event for event in of_run if isinstance(event, happened.DatasetFrozen)), None)
        ended = next((event for event in of_run if isinstance(event, happened.LearningConcluded)), None)
        rows.append(
            ModelRow(
                model_version=asked.run_id,
                signal=asked.signal,
                rows=frozen.rows if frozen else None,
                candidate=judged.candidate if judged else None,
                champion=judged.champion if judged else None,
                verdict=judged.verdict if judged else "",
                status=ended.outcome if ended else "in progress",
                tone=_VERDICT_TONES.get(judged.verdict, "neutral") if judged else "neutral",
            )
        )
    return tuple(rows)
