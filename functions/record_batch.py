"""
A batch that a job has made is put on record and announced, as validate_batch does with its own.

Trigger: the large batch machine, once its job has written every output of a file that was too large for a function.
Announces: Batch Accepted, Batch Rejected. Metrics: RowsLanded, RowsAccepted, RowsQuarantined, BatchesRejected.

AWS actions
-----------
- lake bucket: s3:GetObject on `ingest/*` and the loop's file asset; on the bucket: s3:ListBucket
- catalog table: dynamodb:GetItem, PutItem on `batches`, `timeline`; dynamodb:GetItem, UpdateItem on
  `evidence-arrival`, `landings`
- bus: events:PutEvents
- keys of those: kms:Decrypt, kms:GenerateDataKey
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from functions import _shell
from functions._shell import Shell
from perennial.aws.batches import Batches, BatchRecords
from perennial.aws.landing import Landings
from perennial.aws.large_batches import LargeOrder, LargeOutcome
from perennial.aws.reception import Reception

__all__ = ["Settings", "handler", "run"]


class Settings(_shell.Settings):
    """The environment of record_batch."""

    landing_bucket: str


class _Request(BaseModel):
    """What the machine asks for; it knows more than this."""

    order_key: str


def run(event: Any, shell: Shell[Settings]) -> dict[str, Any]:
    """Record and announce what the job has made; again, it changes nothing."""
    settings = shell.settings
    order = LargeOrder.model_validate_json(shell.lake.get(_Request.model_validate(event).order_key))
    outcome = LargeOutcome.model_validate_json(shell.lake.get(order.outcome_key))
    landings = Landings(shell.bucket(settings.landing_bucket), shell.catalog, settings.loop_name, "batch")
    landed = order.landed(settings.loop_name)
    if outcome.gone:
        landings.record(landed, {"status": outcome.gone})
        return {"status": outcome.gone}
    records = BatchRecords(shell.catalog, settings.loop_name, shell.loop.digest, shell.metrics, shell.announce_once)
    known = records.known(outcome.batch_id)
    if known is None:
        records.save(outcome.batch_id, outcome.batch)
    batch = known or outcome.batch
    reception = Reception(landings, Batches(records), shell.loop.contract, shell.logger)
    if not (shell.catalog.get(landed.item) or {}).get("announced"):
        reception.settle(landed, outcome.batch_id, batch)
    return {"status": batch["status"], "batch_id": outcome.batch_id}


handler = _shell.lambda_handler(Settings, run)
