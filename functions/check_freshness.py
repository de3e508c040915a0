"""
Says once when data has stayed away longer than the contract allows.

Trigger: EventBridge Scheduler, a rate. Announces: Data Outage. Metrics: DataAgeSeconds.

AWS actions
-----------
- lake bucket: s3:GetObject on the loop's file asset
- catalog table: dynamodb:GetItem on `evidence-arrival`; dynamodb:GetItem, UpdateItem on `evidence-outage`
- bus: events:PutEvents
- keys of those: kms:Decrypt, kms:GenerateDataKey
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from functions import _shell
from functions._shell import Shell
from perennial import keys
from perennial.events import DataOutage
from perennial.freshness import judge

__all__ = ["Settings", "handler", "run"]


class Settings(_shell.Settings):
    """The environment of check_freshness."""


def run(event: Any, shell: Shell[Settings]) -> dict[str, Any]:
    """Read when the newest batch came; announce an outage once, count its checks, however long it lasts."""
    name = shell.settings.loop_name
    arrival = shell.catalog.get(keys.arrival_item(name)) or {}
    last = datetime.fromisoformat(arrival["landed_at"]) if arrival else None
    expected = shell.loop.contract.quality.expected_every_seconds
    fresh = judge(last, expected_every_seconds=expected, now=shell.now())
    if fresh.age_seconds is not None:
        shell.metrics.add("DataAgeSeconds", fresh.age_seconds, "Seconds")
    if fresh.outage and last is not None:
        # One open alert for each silence: it is named by the arrival before it (P42).
        item = keys.outage_item(name, last)
        standing = shell.catalog.get(item) or {}
        checks = int(standing.get("checks", 0)) + 1
        shell.catalog.update(item, {"checks": checks, "last_batch_at": last.isoformat()}, create=True)
        if not standing.get("announced"):
            shell.announce_once(
                item,
                DataOutage(
                    loop=name,
                    loop_digest=shell.loop.digest,
                    at=shell.now(),
                    last_batch_at=last,
                    expected_every_seconds=round(expected or 0),
                    reasons=fresh.reasons,
                ),
            )
            shell.catalog.update(item, {"announced": True})
    shell.logger.info({"event": "freshness checked", "outage": fresh.outage, "age_seconds": fresh.age_seconds})
    return {"outage": fresh.outage, "age_seconds": fresh.age_seconds, "reasons": list(fresh.reasons)}


handler = _shell.lambda_handler(Settings, run)
