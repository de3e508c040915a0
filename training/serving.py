"""
Serving: the four functions that AWS's scikit-learn container calls.

Requests are `application/json` {"instances": [{column: value, ...}, ...]} or `text/csv` with a header. The answer is
{"model_version", "predictions": [{"record_id", "prediction", "score"}, ...]}, one for each row in order. A row that
breaks the contract's types is answered with 400 and a sentence; whatever the estimator raises becomes the
container's 500. No row is ever answered with a made-up default.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perennial.artifact import MODEL_DIGEST
from training.frame import RowInvalid, frame_of_rows, to_json_value
from training.model_folder import LoadedModel, load

__all__ = ["Refused", "Request", "answer", "input_fn", "model_fn", "output_fn", "predict_fn"]

_JSON = "application/json"
_CSV = "text/csv"


@dataclass(frozen=True, slots=True)
class Request:
    """Rows as they came; `is_text` if they are CSV cells."""

    rows: tuple[Mapping[str, Any], ...]
    is_text: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that can't be answered, with the HTTP status and a sentence."""

    status: int
    reason: str


def model_fn(model_dir: str) -> LoadedModel:
    """
    The model of an unpacked model.tar.gz, which must be the one that the container's environment names.

    Raises
    ------
    ArtifactChanged
        It is another one: the container must not answer the ping.
    VersionsMismatch
        It was trained under other versions: the container must not answer the ping.
    """
    return load(Path(model_dir), expected=os.environ.get(MODEL_DIGEST))


def input_fn(body: bytes | str, content_type: str) -> Request | Refused:
    """The rows of a request, not yet checked: the contract is the model's."""
    kind = (content_type or _JSON).split(";")[0].strip().lower()
    # AWS's container decodes the two types that it knows, and puts U+FFFD where bytes are no UTF-8.
    text = body if isinstance(body, str) else bytes(body).decode(errors="replace")
    text = text.removeprefix("\ufeff")
    if "\ufffd" in text:
        return Refused(400, f"the body must be UTF-8 text. It isn't at character {text.index(chr(0xFFFD))}.")
    if kind == _JSON:
        return _json_rows(text)
    if kind == _CSV:
        return _csv_rows(text)
    return Refused(415, f"the content type must be {_JSON} or {_CSV}. Got {kind!r} instead.")


def _json_rows(text: str) -> Request | Refused:
    try:
        document = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        return Refused(400, f"the body must be JSON ({error}).")
    instances = document.get("instances") if isinstance(document, dict) else None
    if not isinstance(instances, list) or not instances or not all(isinstance(row, dict) for row in instances):
        return Refused(400, 'the body must be {"instances": [{column: value, ...}, ...]} with at least one row.')
    return Request(tuple(instances), is_text=False)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _csv_rows(text: str) -> Request | Refused:
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        return Refused(400, f"the body must be CSV ({error}).")
    rows = [line for line in lines[1:] if line]
    if not rows:
        return Refused(400, "a CSV body must have a header and at least one row.")
    for number, row in enumerate(rows):
        if len(row) != len(lines[0]):
            return Refused(400, f"row {number}: must have {len(lines[0])} cells as the header. Got {len(row)} instead.")
    return Request(tuple(dict(zip(lines[0], row, strict=True)) for row in rows), is_text=True)


def predict_fn(request: Request | Refused, model: LoadedModel) -> dict[str, Any] | Refused:
    """The answer's document, or why there is none."""
    if isinstance(request, Refused):
        return request
    try:
        frame = frame_of_rows(request.rows, model.loop.contract, is_text=request.is_text)
    except RowInvalid as error:
        return Refused(400, str(error))
    made = model.answer(frame)
    record_id = model.loop.contract.record_id
    return {
        "model_version": model.card.model_version,
        "predictions": [
            {"record_id": row.get(record_id), "prediction": to_json_value(value), "score": float(score)}
            for row, value, score in zip(request.rows, made.values, made.scores, strict=True)
        ],
    }


def answer(document: dict[str, Any] | Refused) -> tuple[int, str]:
    """HTTP status and JSON body."""
    if isinstance(document, Refused):
        return document.status, json.dumps({"error": document.reason})
    return 200, json.dumps(document, allow_nan=False)


def output_fn(document: dict[str, Any] | Refused, accept: str) -> Any:
    """
    The answer as the container sends it: a body with its type, or a whole response when the status isn't 200.

    The container turns everything that these functions raise into a 500, so a 4xx can only leave as a response object
    (sagemaker-containers, `Transformer.transform`: what isn't a tuple goes to Flask as it is).
    """
    status, body = answer(document)
    if status == 200:
        return body, _JSON
    from werkzeug.wrappers import Response

    return Response(body, status=status, mimetype=_JSON)
