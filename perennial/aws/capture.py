"""
SageMaker's data capture: what an endpoint was asked and what it answered, one JSON object a line.

Format: docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-data-capture-endpoint.html. Capture is lossy (it stops
when the instance's disk is full) and its files hold requests of several minutes.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["Captured", "Prediction", "read_captures", "variant_of"]


@dataclass(frozen=True, slots=True)
class Prediction:
    """One captured prediction of one record."""

    record_id: str
    prediction: str
    score: float | None
    model_version: str
    variant: str
    predicted_at: str
    inference_id: str


@dataclass(frozen=True, slots=True)
class Captured:
    """The predictions of one line, or why there are none; lines that can't be read lose nothing but themselves."""

    predictions: tuple[Prediction, ...]
    unreadable: bool = False


def variant_of(key: str, *, prefix: str, endpoint_name: str) -> str | None:
    """
    The variant whose capture file `key` is, None where the key isn't one of this endpoint.

    >>> variant_of("capture/perennial-x/blue/2026/01/02/03/a.jsonl", prefix="capture/", endpoint_name="perennial-x")
    'blue'
    """
    rest = key.removeprefix(f"{prefix}{endpoint_name}/")
    variant, slash, _ = rest.partition("/")
    return variant if rest != key and slash and variant else None


def read_captures(lines: Iterable[bytes], variant: str) -> Iterator[Captured]:
    """Each line's predictions, in order. Blank lines are no lines."""
    for line in lines:
        if line.strip():
            yield _read(line, variant)


def _read(line: bytes, variant: str) -> Captured:
    try:
        captured = json.loads(line)
        data, told = captured["captureData"], captured["eventMetadata"]
        answer = json.loads(_decoded(data["endpointOutput"]))
        version = str(answer["model_version"])
        predictions = tuple(_prediction(raw, version, variant, told) for raw in answer["predictions"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return Captured((), unreadable=True)
    return Captured(predictions)


def _prediction(raw: dict[str, Any], version: str, variant: str, told: dict[str, Any]) -> Prediction:
    score = raw.get("score")
    return Prediction(
        record_id=str(raw["record_id"]),
        prediction=_text(raw["prediction"]),
        score=None if score is None else float(score),
        model_version=version,
        variant=variant,
        predicted_at=str(told.get("inferenceTime", "")),
        inference_id=str(told.get("inferenceId") or told["eventId"]),
    )


def _text(value: Any) -> str:
    """A prediction as text that is read back without loss: true is "true", 1.0 stays "1.0"."""
    return value if isinstance(value, str) else json.dumps(value)


def _decoded(side: dict[str, Any]) -> str:
    if side.get("encoding") == "BASE64":
        return base64.b64decode(side["data"]).decode()
    return str(side["data"])
