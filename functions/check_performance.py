"""
Predictions meet their labels: every serving version is scored, and a fall of the champion is announced.

Trigger: bus, Labels Joined. Announces: Performance Fell. Metrics: Quality (loop; loop and variant),
LabelledPredictions.

AWS actions
-----------
- lake bucket: s3:GetObject on `curated/labels/*`, `predictions/*`, `reports/evaluations/*` and the loop's file
  asset;
  s3:ListBucket
- catalog table: dynamodb:GetItem on `live`; dynamodb:Query on `labels`, `predictions`; dynamodb:GetItem, PutItem on
  `scores`; dynamodb:GetItem, PutItem, UpdateItem on `evidence-performance`
- bus: events:PutEvents
- keys of those: kms:Decrypt, kms:GenerateDataKey
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from functions import _shell
from functions._shell import Shell
from perennial import keys
from perennial.aws.bus import parse_delivered
from perennial.aws.catalog import Item
from perennial.aws.evidence import observe_window
from perennial.aws.history import labels_until
from perennial.aws.live import LivePointer
from perennial.dataset import LabelsEntry
from perennial.evaluation import Evaluation
from perennial.events import LabelsJoined, PerformanceFell
from perennial.labels import judge_maturity
from perennial.performance import PerformanceDecision, PerformancePolicy, Score, decide
from perennial.prequential import Joined, Known, Said, join, scorable_metric, score
from perennial.trigger import Window

__all__ = ["Settings", "handler", "run"]

# A window of label files grows back in time until it has this many times the policy's rows, or this many files.
ROWS_WANTED = 2
MOST_LABEL_FILES = 60


class Settings(_shell.Settings):
    """The environment of check_performance."""

    # A check reads at most this many prediction files, newest first, so that its cost has a bound.
    max_prediction_files: int = 2000


def run(event: dict[str, Any], shell: Shell[Settings]) -> dict[str, Any]:
    """Join what was said with what is known, score every version that served, decide about the champion."""
    joined, loop = parse_delivered(event, LabelsJoined, loop=shell.settings.loop_name), shell.loop
    policy = loop.triggers.performance or PerformancePolicy.model_validate({})
    metric = scorable_metric(policy.metric or loop.gate.metric, loop.task)
    files = _window(joined, policy, shell)
    known = _known(files, shell)
    said = _said(known, shell)
    scores = {version: _score(join(said.said, known, version), metric, shell) for version in said.variants}
    for version, (found, rows) in scores.items():
        _keep(joined, version, said.variants[version], found, rows, shell)
    champion = LivePointer(shell.catalog, loop.name).read().live.champion
    version = champion.model_version if champion else None
    if version is None or version not in scores or loop.triggers.performance is None:
        return {"outcome": "skipped", "scored": sorted(scores)}
    decision, expected = _decide(version, *scores[version], metric, policy, shell)
    observe_window(
        shell.catalog,
        loop.name,
        "performance",
        Window(window_id=joined.labels_id, as_of=joined.as_of, positive=decision.fell),
    )
    if decision.fell and expected is not None:
        _announce(joined, version, scores[version][0], expected, decision, shell)
    shell.metrics.add("LabelledPredictions", scores[version][0].rows)
    shell.logger.info({"event": "performance checked", "labels_id": joined.labels_id, "outcome": decision.outcome})
    return {"outcome": decision.outcome, "scored": sorted(scores), "reasons": list(decision.reasons)}


def _window(joined: LabelsJoined, policy: PerformancePolicy, shell: Shell[Settings]) -> list[LabelsEntry]:
    """This label file and those just before it, as many as it takes to have enough rows; oldest first."""
    entries = list(labels_until(shell.catalog, shell.settings.loop_name, joined.as_of))
    past = sorted((entry for entry in entries if entry.labels_id != joined.labels_id), key=_place)
    own = next((entry for entry in entries if entry.labels_id == joined.labels_id), None)
    chosen = [own] if own is not None else []
    rows = own.rows or 0 if own is not None else 0
    for entry in reversed(past):
        if rows >= ROWS_WANTED * policy.min_rows or len(chosen) >= MOST_LABEL_FILES:
            break
        chosen.append(entry)
        rows += entry.rows or 0
    return sorted(chosen, key=_place)


def _place(entry: LabelsEntry) -> tuple[str, str]:
    return (entry.as_of.isoformat() if entry.as_of else "", entry.labels_id)


def _known(files: Sequence[LabelsEntry], shell: Shell[Settings]) -> Known:
    """The label that counts for each record: newest by the time it was made, then by the file's id."""
    contract = shell.loop.contract
    ids: list[Any] = []
    labels: list[Any] = []
    ranks: list[tuple[str, str]] = []
    for entry in files:
        table = _read(entry.curated_key, shell)
        made = table["labeled_at"].to_pylist() if "labeled_at" in table.column_names else [None] * table.num_rows
        ids += [str(value) for value in table[contract.record_id].to_pylist()]
        labels += table[str(contract.label)].to_pylist()
        ranks += [(keys.sortable(_aware(at)) if at is not None else "", entry.labels_id) for at in made]
    order = sorted(range(len(ids)), key=ranks.__getitem__)
    return Known.of([ids[place] for place in order], np.asarray([labels[place] for place in order]))


def _aware(at: Any) -> datetime:
    moment = at if isinstance(at, datetime) else datetime.fromisoformat(str(at))
    return moment if moment.tzinfo else moment.astimezone()


class _Predictions:
    """Captured predictions of the newest files, and the variant that last served each version."""

    def __init__(self, tables: Sequence[pa.Table]) -> None:
        table = pa.concat_tables(tables) if tables else None
        columns = {name: table[name].to_pylist() if table is not None else [] for name in _COLUMNS}
        self.said = Said.of(*(columns[name] for name in _COLUMNS[:5]))
        self.variants = dict(zip(columns["model_version"], columns["variant"], strict=True))


_COLUMNS = ("record_id", "prediction", "score", "model_version", "predicted_at", "variant")


def _said(known: Known, shell: Shell[Settings]) -> _Predictions:
    """
    Predictions that may belong to these labels: recent ones, in files whose record ids overlap.

    Captures are ingested in wall time; labels come `latency` after their events, so what is older than a few
    latencies can't wait for a label of today.
    """
    latency = timedelta(seconds=shell.loop.labels.latency_seconds)
    since = shell.now() - max(4 * latency, timedelta(days=7))
    newest = shell.catalog.query(
        keys.predictions_partition(shell.loop.name),
        first=keys.sortable(since),
        newest_first=True,
        limit=shell.settings.max_prediction_files,
    )
    kept = [item["predictions_key"] for _, item in newest if item.get("rows") and _may_hold(item, known)]
    return _Predictions([_read(key, shell) for key in reversed(kept)])


def _may_hold(item: Item, known: Known) -> bool:
    """Whether a file's record ids, from its first to its last, reach those of the labels."""
    if not len(known.record_ids):
        return False
    first, last = item.get("first_record_id"), item.get("last_record_id")
    if first is None or last is None:
        return True
    return str(first) <= str(known.record_ids[-1]) and str(last) >= str(known.record_ids[0])


def _read(key: str, shell: Shell[Settings]) -> pa.Table:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "table.parquet"
        shell.lake.download(key, path)
        return pq.read_table(path)


def _score(joined: Joined, metric: str, shell: Shell[Settings]) -> tuple[Score, int]:
    contract = shell.loop.contract
    return score(joined, metric, contract.columns[str(contract.label)]), joined.predicted


def _keep(
    joined: LabelsJoined, version: str, variant: str, found: Score, predicted: int, shell: Shell[Settings]
) -> None:
    """One item for a label file and a version: scoring the same again replaces it by the same."""
    if found.rows == 0:
        return
    item = {
        "metric": found.metric,
        "value": found.value,
        "low": found.low,
        "high": found.high,
        "rows": found.rows,
        "predicted": predicted,
        "variant": variant,
        "as_of": joined.as_of.isoformat(),
    }
    finite = {name: value for name, value in item.items() if value == value}
    shell.catalog.put(keys.score_item(shell.loop.name, joined.labels_id, version), finite)
    if "value" in finite:
        shell.metrics.add("Quality", found.value, "None", variant=variant)


def _decide(
    version: str, found: Score, predicted: int, metric: str, policy: PerformancePolicy, shell: Shell[Settings]
) -> tuple[PerformanceDecision, Score | None]:
    """The rule, with what the gate measured of this version as what is expected of it."""
    key = f"{keys.evaluation_prefix(version)}evaluation.json"
    measured = Evaluation.model_validate_json(shell.lake.get(key)).candidate.overall.get(metric)
    if measured is None or measured.value is None:
        return PerformanceDecision("inconclusive", (f"performance: {metric} was not measured by the gate",)), None
    low, high = (bound if bound is not None else measured.value for bound in (measured.low, measured.high))
    expected = Score(metric, measured.value, low, high, measured.rows)
    maturity = judge_maturity(labelled_count=found.rows, record_count=predicted, policy=shell.loop.labels)
    if found.rows and found.value == found.value:
        shell.metrics.add("Quality", found.value, "None")
    return decide(found, expected, policy, maturity=maturity), expected


def _announce(
    joined: LabelsJoined,
    version: str,
    found: Score,
    expected: Score,
    decision: PerformanceDecision,
    shell: Shell[Settings],
) -> None:
    shell.announce_once(
        keys.signal_item(shell.loop.name, "performance", joined.labels_id, version),
        PerformanceFell(
            loop=shell.loop.name,
            loop_digest=shell.loop.digest,
            at=shell.now(),
            model_version=version,
            as_of=joined.as_of,
            metric=found.metric,
            value=found.value,
            expected=expected.value,
            rows=found.rows,
            reasons=decision.reasons,
        ),
    )


handler = _shell.lambda_handler(Settings, run)
