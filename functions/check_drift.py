"""
The newest window is compared with the champion's reference; the report says which columns moved and by how much.

Trigger: bus, Batch Accepted. Announces: Drift Detected. Metrics: DriftEffect (largest weighted effect),
DriftedColumns. A window that is worth a look gets a page for people beside its report.

AWS actions
-----------
- lake bucket: s3:GetObject on `profiles/*`, `reports/evaluations/*`, `reports/drift/*` and the loop's file asset;
  s3:PutObject on `reports/drift/*`; s3:ListBucket
- catalog table: dynamodb:GetItem on `live`; dynamodb:Query on `timeline`; dynamodb:GetItem, PutItem, UpdateItem on
  `evidence-drift`
- bus: events:PutEvents
- keys of those: kms:Decrypt, kms:GenerateDataKey
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from functions import _shell
from functions._shell import Shell
from perennial import keys
from perennial.aws.bus import parse_delivered
from perennial.aws.evidence import observe_window
from perennial.aws.history import PastBatch, window_ending_at
from perennial.aws.lake import ObjectGone
from perennial.aws.live import LivePointer
from perennial.aws.reference import Reference, read_reference
from perennial.drift import DriftPolicy, DriftReport, check, look_jointly, policy_for, weights_of
from perennial.drift.places import season_of
from perennial.events import BatchAccepted, DriftDetected
from perennial.profile import Profile, merge
from perennial.report import drift_page, render_drift
from perennial.trigger import Window

__all__ = ["Settings", "handler", "run"]

# Windows before this one whose evidence adds to it: drift too small for one window shows in several.
HISTORY_WINDOWS = 7


class Settings(_shell.Settings):
    """The environment of check_drift."""


def run(event: dict[str, Any], shell: Shell[Settings]) -> dict[str, Any]:
    """Window and reference from their profiles, one check, the report kept, drift announced."""
    accepted = parse_delivered(event, BatchAccepted, loop=shell.settings.loop_name)
    policy, champion = shell.loop.triggers.drift, LivePointer(shell.catalog, shell.loop.name).read().live.champion
    if policy is None or champion is None or accepted.last_event_at is None:
        return _skipped("no drift trigger" if policy is None else "no champion, so nothing to compare with", shell)
    reference = read_reference(shell.lake, champion.model_version)
    if reference.covers(accepted.last_event_at):
        return _skipped("the batch is not newer than the champion's reference", shell)
    span = HISTORY_WINDOWS + policy.window_batches
    past = window_ending_at(shell.catalog, shell.loop.name, accepted.last_event_at, accepted.batch_id, span)
    checked = _check(reference, past, policy_for(shell.loop.contract, policy), shell)
    report, key = checked.report, keys.drift_report_key(accepted.batch_id)
    kept = {
        "model_version": reference.model_version,
        "batch_ids": [batch.entry.batch_id for batch in past[-policy.window_batches :]],
        "page_key": keys.drift_page_key(accepted.batch_id) if report.worth_a_look else None,
        "report": json.loads(report.to_json()),
    }
    if report.worth_a_look:
        page = _page(checked, reference, shell).encode()
        shell.lake.put(keys.drift_page_key(accepted.batch_id), page, content_type="text/html; charset=utf-8")
    shell.lake.put_json(key, kept)
    drifted = report.verdict == "drifted"
    observe_window(
        shell.catalog,
        shell.loop.name,
        "drift",
        Window(window_id=accepted.batch_id, as_of=accepted.last_event_at, positive=drifted),
    )
    if drifted:
        _announce(accepted, report, key, shell)
    _measure(report, shell)
    shell.logger.info({"event": "drift checked", "batch_id": accepted.batch_id, "verdict": report.verdict})
    found = {"verdict": report.verdict, "columns": list(report.drifted_columns)}
    return {**found, "report_key": key, "page_key": kept["page_key"]}


def _skipped(reason: str, shell: Shell[Settings]) -> dict[str, Any]:
    shell.logger.info({"event": "drift not checked", "reason": reason})
    return {"verdict": "skipped", "reason": reason}


@dataclass(frozen=True, slots=True)
class Checked:
    """A window's report, what it was compared with, and the reports of the windows before."""

    report: DriftReport
    against: Profile
    window: Profile
    earlier: tuple[DriftReport, ...]


def _check(reference: Reference, past: Sequence[PastBatch], policy: DriftPolicy, shell: Shell[Settings]) -> Checked:
    window = past[-policy.window_batches :]
    profile = merge(Profile.from_bytes(shell.lake.get(batch.profile_key)) for batch in window)
    now = window[-1].entry.first_event_at
    season = season_of(now, policy.season)
    against = reference.seasons.get(season, reference.profile)
    earlier = _history(reference, past[:-1], shell)
    report = check(
        against,
        profile,
        calibration=reference.calibration,
        policy=policy,
        # How much each column matters to the champion's predictions; what the loop says of a column goes before.
        weights={**weights_of(_importances(reference.model_version, shell)), **policy.weights},
        history=earlier,
        now=now,
        season=season if policy.season != "none" else None,
    )
    return Checked(look_jointly(report, against, profile, seed=shell.loop.training.seed), against, profile, earlier)


def _page(checked: Checked, reference: Reference, shell: Shell[Settings]) -> str:
    """What changed, by how much and since when, for a person."""
    told = drift_page(
        checked.report,
        checked.against,
        checked.window,
        title=f"Drift check of {shell.loop.name}",
        subtitle=f"{checked.window.rows:,} rows against {checked.against.rows:,} that the champion "
        f"{reference.model_version[:8]} learnt from, up to {reference.until:%Y-%m-%d %H:%M}.",
        earlier=checked.earlier,
        notes=(f"The thresholds: {reference.calibration.reason}.",),
    )
    return render_drift(checked.report, told)


def _importances(model_version: str, shell: Shell[Settings]) -> dict[str, float]:
    """The champion's, as its evaluation measured them; none where it has no evaluation."""
    try:
        evaluation = shell.lake.get_json(f"{keys.evaluation_prefix(model_version)}evaluation.json")
    except ObjectGone:
        return {}
    return dict(evaluation.get("importances") or {})


def _history(reference: Reference, past: Sequence[PastBatch], shell: Shell[Settings]) -> tuple[DriftReport, ...]:
    """Reports of the windows since this champion's reference, oldest first; a window without one is left out."""
    found = []
    for batch in past:
        if reference.covers(batch.entry.last_event_at):
            continue
        try:
            kept = shell.lake.get_json(keys.drift_report_key(batch.entry.batch_id))
        except ObjectGone:
            continue
        if kept["model_version"] == reference.model_version:
            found.append(DriftReport.model_validate(kept["report"]))
    return tuple(found)


def _announce(accepted: BatchAccepted, report: DriftReport, key: str, shell: Shell[Settings]) -> None:
    assert accepted.last_event_at is not None
    shell.announce_once(
        keys.signal_item(shell.loop.name, "drift", accepted.batch_id),
        DriftDetected(
            loop=shell.loop.name,
            loop_digest=shell.loop.digest,
            at=shell.now(),
            batch_id=accepted.batch_id,
            as_of=accepted.last_event_at,
            columns=report.drifted_columns,
            reasons=report.reasons,
            report_key=key,
        ),
    )


def _measure(report: DriftReport, shell: Shell[Settings]) -> None:
    effects = [column.effect * column.weight for column in report.columns]
    shell.metrics.add("DriftEffect", max(effects, default=0.0), "None")
    shell.metrics.add("DriftedColumns", len(report.drifted_columns))


handler = _shell.lambda_handler(Settings, run)
