"""
Files that are too large for one function: ordered here, made into batches by a job, recorded by a function again.

The order names the exact object version and holds the loop as it was when the file came, so that a deployment in the
meantime changes nothing. It is an object, since what a job is told otherwise may have 256 characters and a key 1,024.
"""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from perennial import keys
from perennial.aws.batches import BatchMaker
from perennial.aws.catalog import Catalog, Item
from perennial.aws.clients import Clients
from perennial.aws.executions import Executions, execution_arn
from perennial.aws.id_log import IdLog
from perennial.aws.lake import Lake, ObjectGone
from perennial.aws.landing import Landed, Landings, content_identity
from perennial.project import Loop
from perennial.validation import Limits

__all__ = ["LargeBatches", "LargeOrder", "LargeOutcome", "make_large_batch"]

_GB = 1 << 30
# The file as it landed, its good and its bad rows, and as much again while Parquet is written.
_VOLUME_FACTOR, _LEAST_VOLUME_GB, _MOST_VOLUME_GB = 3, 30, 16_384


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LargeOrder(_Document):
    """What a job is to make a batch of."""

    landing_bucket: str
    key: str
    version_id: str
    size_bytes: int
    landed_at: datetime
    lake_bucket: str
    catalog_table: str
    outcome_key: str
    loop: str

    def landed(self, loop: str) -> Landed:
        """The file version that is meant."""
        item = keys.landing_item(loop, self.landing_bucket, self.key, self.version_id)
        return Landed(self.key, self.version_id, self.size_bytes, self.landed_at, item)


class LargeOutcome(_Document):
    """What a job made: the batch's id and item, or what became of the file version that is gone."""

    batch_id: str = ""
    batch: dict[str, Any] = {}
    gone: str = ""


@dataclass(frozen=True)
class LargeBatches:
    """
    Orders batches of files that are too large.

    Parameters
    ----------
    machine_arn
        The state machine that runs the job and has the batch recorded.
    """

    landings: Landings
    lake: Lake
    executions: Executions
    machine_arn: str
    loop: Loop
    stage: str

    def order(self, landed: Landed, standing: Item, message: str) -> None:
        """
        Has the batch made, once: again only where the last attempt failed.

        An attempt is on record after it was started, so that a crash in between starts the same one again.
        """
        last = int(standing.get("attempt", 0))
        if last and self.executions.alive(execution_arn(self.machine_arn, keys.large_batch_name(landed.item, last))):
            return
        attempt = last + 1
        name = keys.large_batch_name(landed.item, attempt)
        order_key, outcome_key = keys.large_order_key(name), keys.large_outcome_key(name)
        order = LargeOrder(
            landing_bucket=self.landings.bucket.bucket,
            key=landed.key,
            version_id=landed.version_id,
            size_bytes=landed.size_bytes,
            landed_at=landed.landed_at,
            lake_bucket=self.lake.bucket,
            catalog_table=self.landings.catalog.table,
            outcome_key=outcome_key,
            loop=self.loop.to_json(),
        )
        self.lake.put(order_key, order.model_dump_json().encode(), content_type="application/json")
        given = {
            "job_name": keys.resource_name(self.loop.name, self.stage, name, "b"),
            "order_uri": self.lake.uri(order_key),
            "order_key": order_key,
            "volume_gb": _volume_gb(landed.size_bytes),
            "message": message,
        }
        self.executions.start(self.machine_arn, name, given)
        self.landings.record(landed, {"status": "processing", "attempt": attempt})


def make_large_batch(order: LargeOrder, clients: Clients, *, scratch: Path, workers: int) -> LargeOutcome:
    """
    The batch of a large file: its outputs in the lake, and last of all the outcome that they are there.

    Parameters
    ----------
    scratch
        A folder on a disk that holds the file several times.
    workers
        How many threads may work on it.
    """
    loop = Loop.from_json(order.loop)
    lake, catalog = Lake(clients.s3, order.lake_bucket), Catalog(clients.dynamodb, order.catalog_table)
    landed = order.landed(loop.name)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        path = Path(folder) / "landed"
        try:
            landing = Lake(clients.s3, order.landing_bucket)
            digest = landing.download_large(landed.key, path, version_id=landed.version_id)
        except ObjectGone as gone:
            outcome = LargeOutcome(gone=gone.state)
        else:
            batch_id = content_identity(landed.key, digest, loop.contract)
            maker = BatchMaker(
                lake=lake,
                contract=loop.contract,
                id_log=IdLog(catalog, lake, loop.name),
                workers=workers,
                limits=_limits(landed.size_bytes),
            )
            known = catalog.get(keys.batch_item(loop.name, batch_id))
            outcome = LargeOutcome(batch_id=batch_id, batch=known or maker.make(landed, path, batch_id))
    lake.put(order.outcome_key, outcome.model_dump_json().encode(), content_type="application/json")
    return outcome


def _limits(size_bytes: int) -> Limits:
    """Limits that grow with the file, never below those of a file that a function reads."""
    usual = Limits()
    return Limits(max_bytes=max(usual.max_bytes, 16 * size_bytes), max_cells=max(usual.max_cells, 4 * size_bytes))


def _volume_gb(size_bytes: int) -> int:
    return min(_MOST_VOLUME_GB, _LEAST_VOLUME_GB + math.ceil(_VOLUME_FACTOR * size_bytes / _GB))
