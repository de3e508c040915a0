"""
A landed file becomes a batch: accepted rows in curated/, refused rows in quarantine/, a profile, a catalog entry.

Trigger: SQS, fed by the landing bucket's "Object Created" rule on prefix `batches/`; answers partial batch
responses.
Announces: Batch Accepted, Batch Rejected. Metrics: RowsLanded, RowsAccepted, RowsQuarantined, BatchesRejected.

AWS actions
-----------
- landing bucket `batches/*`: s3:GetObject, s3:GetObjectVersion; on the bucket: s3:ListBucket, s3:ListBucketVersions
  (so that a missing object
  is 404 and not 403)
- lake bucket: s3:PutObject on `curated/batches/*`, `quarantine/*`, `profiles/batches/*`, `ids/*`; s3:GetObject on
  `ids/*` and the loop's file asset; on the bucket: s3:ListBucket
- catalog table: dynamodb:GetItem, PutItem, UpdateItem, Query
- bus: events:PutEvents
- keys of those: kms:Decrypt, kms:GenerateDataKey
- queue: sqs:ReceiveMessage, DeleteMessage, GetQueueAttributes (the event source's own)
"""

from __future__ import annotations

from typing import Any

from functions import _shell
from functions._shell import Shell
from perennial import keys
from perennial.aws.batches import Batches, BatchMaker, BatchRecords
from perennial.aws.id_log import IdLog
from perennial.aws.landing import Landings
from perennial.aws.reception import Reception

__all__ = ["Settings", "handler", "run"]


class Settings(_shell.Settings):
    """The environment of validate_batch."""

    landing_bucket: str
    # Larger files go by another way than one function's disk; infra sizes the function's disk to fit this.
    max_object_bytes: int = 4 * 1024**3
    # The only account whose events count; "" where it isn't known.
    account_id: str = ""


def run(event: Any, shell: Shell[Settings]) -> dict[str, Any]:
    """Turn every file version that a message names into a batch."""
    return _shell.each_message(event, shell, lambda body: _reception(shell).take(body))


def _reception(shell: Shell[Settings]) -> Reception:
    settings, loop = shell.settings, shell.loop
    records = BatchRecords(shell.catalog, settings.loop_name, loop.digest, shell.metrics, shell.announce_once)
    id_log = IdLog(shell.catalog, shell.lake, settings.loop_name)
    return Reception(
        landings=Landings(shell.bucket(settings.landing_bucket), shell.catalog, settings.loop_name, "batch"),
        kind=Batches(records, BatchMaker(shell.lake, loop.contract, id_log)),
        contract=loop.contract,
        logger=shell.logger,
        prefix=keys.BATCHES_PREFIX,
        account=settings.account_id,
        direct_bytes=settings.max_object_bytes,
        most_bytes=settings.max_object_bytes,
    )


handler = _shell.lambda_handler(Settings, run)
