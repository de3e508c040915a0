"""Files put into the landing bucket, and what became of them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perennial import keys
from perennial.cli.deployment import Deployment
from perennial.cli.rows import existing

__all__ = ["Landed", "await_outcomes", "put_bytes", "put_files"]


@dataclass(frozen=True, slots=True)
class Landed:
    """One landed file version."""

    bucket: str
    key: str
    version_id: str

    def item_key(self, loop: str) -> dict[str, str]:
        """Its landing item's key in the catalog."""
        return keys.landing_item(loop, self.bucket, self.key, self.version_id)


def put_bytes(deployment: Deployment, prefix: str, name: str, body: bytes) -> Landed:
    """Land `body` as `prefix` + `name`."""
    bucket = deployment["LandingBucket"]
    put = deployment.s3.put_object(Bucket=bucket, Key=prefix + name, Body=body)
    return Landed(bucket, prefix + name, put["VersionId"])


def put_files(deployment: Deployment, prefix: str, paths: Iterable[Path]) -> Iterator[Landed]:
    """Land files one by one; large ones go up in parts."""
    bucket = deployment["LandingBucket"]
    for path in paths:
        deployment.s3.upload_file(str(existing(path)), bucket, prefix + path.name)
        head = deployment.s3.head_object(Bucket=bucket, Key=prefix + path.name)
        yield Landed(bucket, prefix + path.name, head["VersionId"])


def await_outcomes(
    deployment: Deployment, landed: Iterable[Landed], *, seconds: float, pause_seconds: float = 0.2
) -> Iterator[tuple[Landed, dict[str, Any] | None]]:
    """
    What became of each landed file, as soon as it is known; None for those not settled within `seconds`.

    Yields
    ------
    The landing item joined with its batch's or label file's item.
    """
    waiting = list(landed)
    deadline = time.monotonic() + seconds
    while waiting and time.monotonic() < deadline:
        still = []
        for file in waiting:
            item = deployment.catalog.get(file.item_key(deployment.loop))
            if item is None or item.get("status") == "processing":
                still.append(file)
                continue
            yield file, _joined(deployment, item)
        waiting = still
        if waiting:
            time.sleep(pause_seconds)
    for file in waiting:
        yield file, None


def _joined(deployment: Deployment, landing: dict[str, Any]) -> dict[str, Any]:
    if labels_id := landing.get("labels_id"):
        key = keys.labels_item(deployment.loop, str(labels_id))
    elif batch_id := landing.get("batch_id"):
        key = keys.batch_item(deployment.loop, str(batch_id))
    else:
        return landing
    return {**(deployment.catalog.get(key) or {}), **{name: landing[name] for name in landing if name != "status"}}
