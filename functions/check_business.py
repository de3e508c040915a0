"""
The business value per record of the newest batches, against that of the batches the champion learnt from.

Trigger: bus, Batch Accepted; deployed for loops with `[triggers.business]` only. Announces: Business Fell. Metrics:
BusinessValue (mean per record).

AWS actions
-----------
- lake bucket: s3:GetObject on `profiles/*` and the loop's file asset; s3:ListBucket
- catalog table: dynamodb:GetItem on `live`; dynamodb:Query on `timeline`; dynamodb:GetItem, PutItem, UpdateItem on
  `evidence-business`
- bus: events:PutEvents
- keys of those: kms:Decrypt, kms:GenerateDataKey
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from functions import _shell
from functions._shell import Shell
from perennial import keys
from perennial.aws.bus import parse_delivered
from perennial.aws.evidence import observe_window
from perennial.aws.history import PastBatch, window_ending_at
from perennial.aws.live import LivePointer
from perennial.aws.reference import Reference, read_reference
from perennial.events import BatchAccepted, BusinessFell
from perennial.performance import BusinessPolicy, PerformanceDecision, WindowValue, decide_business
from perennial.profile import Profile, merge
from perennial.trigger import Window

__all__ = ["Settings", "handler", "run"]

# A window of batches grows back in time until it has the policy's rows, or this many batches.
MOST_BATCHES = 30


class Settings(_shell.Settings):
    """The environment of check_business."""


def run(event: dict[str, Any], shell: Shell[Settings]) -> dict[str, Any]:
    """Both values from stored profiles, one decision, a fall announced."""
    accepted = parse_delivered(event, BatchAccepted, loop=shell.settings.loop_name)
    policy, column = shell.loop.triggers.business, shell.loop.contract.value
    champion = LivePointer(shell.catalog, shell.loop.name).read().live.champion
    if policy is None or column is None:
        return _skipped("no business trigger", shell)
    if champion is None or accepted.last_event_at is None:
        return _skipped("no champion, so nothing is expected", shell)
    reference = read_reference(shell.lake, champion.model_version)
    if reference.covers(accepted.last_event_at):
        return _skipped("the batch is not newer than the champion's reference", shell)
    window = _window(accepted, reference, policy, shell)
    found = _value(merge(Profile.from_bytes(shell.lake.get(batch.profile_key)) for batch in window), column)
    expected = _value(reference.profile, column)
    decision = decide_business(found, expected, policy)
    positive = Window(window_id=accepted.batch_id, as_of=accepted.last_event_at, positive=decision.fell)
    observe_window(shell.catalog, shell.loop.name, "business", positive)
    if decision.fell:
        _announce(accepted, champion.model_version, found, expected, decision, shell)
    if found.rows:
        shell.metrics.add("BusinessValue", found.mean, "None")
    shell.logger.info({"event": "business checked", "batch_id": accepted.batch_id, "outcome": decision.outcome})
    return {"outcome": decision.outcome, "reasons": list(decision.reasons)}


def _skipped(reason: str, shell: Shell[Settings]) -> dict[str, Any]:
    shell.logger.info({"event": "business not checked", "reason": reason})
    return {"outcome": "skipped", "reason": reason}


def _window(
    accepted: BatchAccepted, reference: Reference, policy: BusinessPolicy, shell: Shell[Settings]
) -> Sequence[PastBatch]:
    """The newest batch and those before it that the champion didn't learn from, as many as it takes."""
    assert accepted.last_event_at is not None
    past = window_ending_at(shell.catalog, shell.loop.name, accepted.last_event_at, accepted.batch_id, MOST_BATCHES)
    chosen: list[PastBatch] = []
    for batch in reversed([one for one in past if not reference.covers(one.entry.last_event_at)]):
        if sum(one.entry.rows for one in chosen) >= policy.min_rows:
            break
        chosen.append(batch)
    return chosen[::-1]


def _value(profile: Profile, column: str) -> WindowValue:
    moments = profile.columns[column].moments
    if moments is None:
        return WindowValue(float("nan"), float("nan"), 0)
    return WindowValue(moments.mean, moments.std, moments.count)


def _announce(
    accepted: BatchAccepted,
    version: str,
    found: WindowValue,
    expected: WindowValue,
    decision: PerformanceDecision,
    shell: Shell[Settings],
) -> None:
    assert accepted.last_event_at is not None
    shell.announce_once(
        keys.signal_item(shell.loop.name, "business", accepted.batch_id, version),
        BusinessFell(
            loop=shell.loop.name,
            loop_digest=shell.loop.digest,
            at=shell.now(),
            batch_id=accepted.batch_id,
            model_version=version,
            as_of=accepted.last_event_at,
            value=found.mean,
            expected=expected.mean,
            rows=found.rows,
            reasons=decision.reasons,
        ),
    )


handler = _shell.lambda_handler(Settings, run)
