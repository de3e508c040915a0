"""
Finds landed files whose event never came, and puts one into their queue.

S3 tells of every object at least once, but a rule can be switched off, a queue's policy changed. What landed in the
last days, is an hour old and has no landing on record is sent again; twice does no harm.

Trigger: EventBridge Scheduler, daily. Metrics: LandingsMissed.

AWS actions
-----------
- landing bucket: s3:ListBucketVersions
- lake bucket: s3:GetObject on the loop's file asset
- catalog table: dynamodb:GetItem on `landings`
- queues of batches and labels: sqs:SendMessage
- keys of those: kms:Decrypt
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from functions import _shell
from functions._shell import Shell
from perennial import keys
from perennial.aws.arrivals import Arrival, arrival_message
from perennial.aws.lake import ObjectHead

__all__ = ["Settings", "handler", "run"]

# Younger ones may still be on their way; older ones were looked at on the days before.
GRACE, LOOKED_BACK = timedelta(hours=1), timedelta(days=3)


class Settings(_shell.Settings):
    """The environment of reconcile_landings."""

    landing_bucket: str
    batches_queue_url: str
    labels_queue_url: str


def run(event: Any, shell: Shell[Settings]) -> dict[str, Any]:
    """Look at what landed lately, send what nobody knows of."""
    settings, now = shell.settings, shell.now()
    looked_at = sent = 0
    for prefix, queue_url in (
        (keys.BATCHES_PREFIX, settings.batches_queue_url),
        (keys.LABELS_PREFIX, settings.labels_queue_url),
    ):
        for version in shell.bucket(settings.landing_bucket).versions(prefix):
            if not now - LOOKED_BACK <= version.last_modified_at <= now - GRACE:
                continue
            looked_at += 1
            if _unknown(version, shell):
                arrival = Arrival(settings.landing_bucket, version.key, version.version_id, version.etag)
                shell.queue(queue_url).send(arrival_message(arrival))
                sent += 1
    shell.metrics.add("LandingsMissed", sent)
    shell.logger.info({"event": "landings reconciled", "looked_at": looked_at, "sent": sent})
    return {"looked_at": looked_at, "sent": sent}


def _unknown(version: ObjectHead, shell: Shell[Settings]) -> bool:
    settings = shell.settings
    item = keys.landing_item(settings.loop_name, settings.landing_bucket, version.key, version.version_id)
    return shell.catalog.get(item) is None


handler = _shell.lambda_handler(Settings, run)
