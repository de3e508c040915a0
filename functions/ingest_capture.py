"""
SageMaker's captured requests and answers become predictions that labels can be joined with.

Trigger: SQS, fed by the lake bucket's "Object Created" rule on prefix `capture/`; answers partial batch responses.
Metrics: PredictionsCaptured.

AWS actions
-----------
- lake bucket: s3:GetObject, s3:GetObjectVersion on `capture/*`; s3:PutObject on `predictions/*`; s3:GetObject on
  the
  loop's file asset; s3:ListBucket, s3:ListBucketVersions
- catalog table: dynamodb:GetItem, PutItem on `predictions`
- keys of those: kms:Decrypt, kms:GenerateDataKey
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from functions import _shell
from functions._shell import Shell
from perennial import keys
from perennial.aws.arrivals import Arrival, parse_arrival
from perennial.aws.capture import Prediction, read_captures, variant_of
from perennial.aws.lake import ObjectGone
from perennial.errors import EventInvalid
from perennial.metrics import Task

__all__ = ["SCHEMA", "Settings", "answer_counts", "handler", "run"]

SCHEMA = pa.schema(
    [
        ("record_id", pa.string()),
        ("prediction", pa.string()),
        ("score", pa.float64()),
        ("model_version", pa.string()),
        ("variant", pa.string()),
        ("predicted_at", pa.string()),
        ("inference_id", pa.string()),
    ]
)


class Settings(_shell.Settings):
    """The environment of ingest_capture."""

    endpoint_name: str
    max_object_bytes: int = 512 * 1024**2
    # The only account whose events count; "" where it isn't known.
    account_id: str = ""


def run(event: Any, shell: Shell[Settings]) -> dict[str, Any]:
    """Turn every capture file that a message names into a file of predictions."""
    return _shell.each_message(event, shell, lambda body: _ingest(body, shell))


def _ingest(body: str, shell: Shell[Settings]) -> None:
    settings = shell.settings
    arrival = parse_arrival(body, bucket=settings.lake_bucket, prefix=keys.CAPTURE_PREFIX, account=settings.account_id)
    variant = variant_of(arrival.key, prefix=keys.CAPTURE_PREFIX, endpoint_name=settings.endpoint_name)
    if variant is None:
        raise EventInvalid("a capture file must be of the loop's endpoint. Got one elsewhere instead.")
    try:
        head = shell.lake.head(arrival.key, arrival.version_id)
    except ObjectGone as gone:
        shell.logger.warning({"event": "capture is gone", "state": gone.state})
        return
    if head.size_bytes > settings.max_object_bytes:
        raise EventInvalid(f"a capture file must hold at most {settings.max_object_bytes} bytes. Got more instead.")
    _save(arrival, variant, keys.sortable(head.last_modified_at), shell)


def _save(arrival: Arrival, variant: str, captured_at: str, shell: Shell[Settings]) -> None:
    """Read, write the predictions, then record them: an identical file gives an identical record."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "capture.jsonl"
        digest = shell.lake.download(
            arrival.key, path, version_id=arrival.version_id, max_bytes=shell.settings.max_object_bytes
        )
        capture_id = keys.short_id(variant, digest)
        with path.open("rb") as lines:
            captures = list(read_captures(lines, variant))
        predictions = [prediction for captured in captures for prediction in captured.predictions]
        table = Path(scratch) / "predictions.parquet"
        _write(predictions, table)
        shell.lake.put_file(keys.predictions_key(capture_id), table)
    unreadable = sum(captured.unreadable for captured in captures)
    record = {
        "capture_key": arrival.key,
        "predictions_key": keys.predictions_key(capture_id),
        "rows": len(predictions),
        "unreadable": unreadable,
        "variant": variant,
        "model_versions": sorted({prediction.model_version for prediction in predictions}),
        # What analyse_canary compares between variants, without reading rows.
        "answers": answer_counts(predictions, shell.loop.task),
        "first_record_id": min((prediction.record_id for prediction in predictions), default=None),
        "last_record_id": max((prediction.record_id for prediction in predictions), default=None),
    }
    shell.catalog.put(keys.predictions_item(shell.settings.loop_name, captured_at, capture_id), record)
    shell.metrics.add("PredictionsCaptured", len(predictions))
    shell.logger.info({"event": "capture ingested", "capture_id": capture_id, "rows": len(predictions)})


def _write(predictions: Sequence[Prediction], path: Path) -> None:
    columns = {name: [getattr(prediction, name) for prediction in predictions] for name in SCHEMA.names}
    pq.write_table(pa.table(columns, schema=SCHEMA), path, compression="zstd")


def answer_counts(predictions: Sequence[Prediction], task: Task) -> dict[str, dict[str, int]]:
    """
    How often each kind of answer was given, by model version: a coarse picture that adds up over files.

    Of two classes the probability counts by tenths, of more the class, of numbers their first digit and size. Kinds
    beyond the hundred most frequent are one.
    """
    counts: dict[str, Counter[str]] = {}
    for one in predictions:
        kind = one.prediction
        if task in ("binary", "ranking") and one.score is not None:
            kind = str(min(int(one.score * 10), 9))
        elif task == "regression" and one.score is not None:
            kind = f"{one.score:.0e}"
        counts.setdefault(one.model_version, Counter())[kind] += 1
    told = {}
    for version, found in counts.items():
        most = dict(found.most_common(100))
        rest = found.total() - sum(most.values())
        told[version] = {**most, "others": rest} if rest else most
    return told


handler = _shell.lambda_handler(Settings, run)
