"""
A landed file becomes a batch: accepted rows in curated/, refused rows in quarantine/, a profile, a catalog entry.

What is too large for a function goes to the large batch machine, which comes back to record_batch.

Trigger: SQS, fed by the landing bucket's "Object Created" rule on prefix `batches/`; answers partial batch
responses.
Announces: Batch Accepted, Batch Rejected. Metrics: RowsLanded, RowsAccepted, RowsQuarantined, BatchesRejected.

AWS actions
-----------
- landing bucket `batches/*`: s3:GetObject, s3:GetObjectVersion; on the bucket: s3:ListBucket, s3:ListBucketVersions
  (so that a missing object
  is 404 and not 403)
- lake bucket: s3:PutObject on `curated/batches/*`, `quarantine/*`, `profiles/batches/*`, `ids/*`,
  `ingest/*`; s3:GetObject on `ids/*` and the loop's file asset; on the bucket: s3:ListBucket
- catalog table: dynamodb:GetItem, PutItem on `batches`, `id-receipts`, `timeline`; dynamodb:GetItem, UpdateItem on
  `evidence-arrival`, `id-span`, `landings`; dynamodb:GetItem, Query, PutItem on `id-log`, `id-times`
- bus: events:PutEvents
- large batch machine: states:StartExecution; its executions: states:DescribeExecution
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
from perennial.aws.large_batches import LargeBatches
from perennial.aws.reception import Reception

__all__ = ["Settings", "handler", "run"]


class Settings(_shell.Settings):
    """The environment of validate_batch."""

    landing_bucket: str
    large_batch_machine_arn: str
    # Larger files go by another way than one function's disk; infra sizes the function's disk to fit this.
    max_object_bytes: int = 4 * 1024**3
    # Larger files are refused.
    max_job_bytes: int = 1024**4
    # The only account whose events count; "" where it isn't known.
    account_id: str = ""


def run(event: Any, shell: Shell[Settings]) -> dict[str, Any]:
    """Turn every file version that a message names into a batch."""
    return _shell.each_message(event, shell, lambda body: _reception(shell).take(body))


def _reception(shell: Shell[Settings]) -> Reception:
    settings, loop = shell.settings, shell.loop
    records = BatchRecords(shell.catalog, settings.loop_name, loop.digest, shell.metrics, shell.announce_once)
    id_log = IdLog(shell.catalog, shell.lake, settings.loop_name)
    landings = Landings(shell.bucket(settings.landing_bucket), shell.catalog, settings.loop_name, "batch")
    large = LargeBatches(landings, shell.lake, shell.executions, settings.large_batch_machine_arn, loop, settings.stage)
    return Reception(
        landings=landings,
        kind=Batches(records, BatchMaker(shell.lake, loop.contract, id_log)),
        contract=loop.contract,
        logger=shell.logger,
        prefix=keys.BATCHES_PREFIX,
        account=settings.account_id,
        direct_bytes=settings.max_object_bytes,
        most_bytes=settings.max_job_bytes,
        elsewhere=large.order,
    )


handler = _shell.lambda_handler(Settings, run)
