"""
Data capture: what went in and what came out, as JSON lines in S3.

Format and path as AWS documents them ("Capture data from real-time endpoint", read 2026-11-24). Lines are gathered and
written together; what is not yet written when the machine dies is lost, as AWS's capture may lose lines too.
"""

from __future__ import annotations

import base64
import json
import random
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from localcloud.context import Context
from localcloud.sagemaker.shapes import iso
from localcloud.sagemaker.storage import Storage, TransferFailed

MAX_LINES = 1000
MAX_BYTES = 8 << 20
FLUSH_SECONDS = 5.0
SHORTEST_FLUSH_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer."""

    endpoint: str
    variant: str
    request: bytes
    request_type: str
    response: bytes
    response_type: str
    inference_id: str | None
    custom_attributes: str | None
    at: datetime


@dataclass(slots=True)
class _Buffer:
    config: Mapping[str, Any]
    role: str
    since: datetime
    lines: list[str] = field(default_factory=list)
    size: int = 0


def line(exchange: Exchange, config: Mapping[str, Any], event_id: str) -> str:
    """One line of a capture file; only the directions that the configuration names."""
    modes = {option["CaptureMode"] for option in config.get("CaptureOptions", ())}
    both = "InputAndOutput" in modes
    data: dict[str, Any] = {}
    if both or "Input" in modes:
        data["endpointInput"] = _side(exchange.request, exchange.request_type, "INPUT", config)
    if both or "Output" in modes:
        data["endpointOutput"] = _side(exchange.response, exchange.response_type, "OUTPUT", config)
    metadata: dict[str, Any] = {"eventId": event_id}
    if exchange.inference_id:
        metadata["inferenceId"] = exchange.inference_id
    if exchange.custom_attributes:
        metadata["customAttributes"] = [exchange.custom_attributes]
    metadata["inferenceTime"] = iso(exchange.at.timestamp())
    return json.dumps({"captureData": data, "eventMetadata": metadata, "eventVersion": "0"})


def _side(body: bytes, content_type: str, mode: str, config: Mapping[str, Any]) -> dict[str, str]:
    """AWS encodes as BASE64 whatever the configuration does not name as CSV or JSON."""
    headers = config.get("CaptureContentTypeHeader", {})
    kind = content_type.partition(";")[0].strip()
    encoding = "BASE64"
    if kind in headers.get("CsvContentTypes", ()):
        encoding = "CSV"
    elif kind in headers.get("JsonContentTypes", ()):
        encoding = "JSON"
    data = base64.b64encode(body).decode() if encoding == "BASE64" else body.decode(errors="replace")
    return {"observedContentType": content_type, "mode": mode, "data": data, "encoding": encoding}


def key(endpoint: str, variant: str, at: datetime, unique: str) -> str:
    """
    Where a file goes, below the configured prefix.

    >>> key("rides", "blue", datetime(2026, 11, 24, 9, 5, 7, 31000, tzinfo=UTC), "u")
    'rides/blue/2026/11/24/09/05-07-031-u.jsonl'
    """
    return f"{endpoint}/{variant}/{at:%Y/%m/%d/%H/%M-%S}-{at.microsecond // 1000:03d}-{unique}.jsonl"


class Capture:
    """Gathers lines for each variant and hour, and writes them in time."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._buffers: dict[tuple[str, str, str], _Buffer] = {}
        self._lock = threading.Lock()
        self._seconds = max(SHORTEST_FLUSH_SECONDS, context.scales.wait(FLUSH_SECONDS))

    def note(self, exchange: Exchange, config: Mapping[str, Any], role: str) -> None:
        """Keep one exchange, if the configuration wants it and the sample takes it."""
        if not config.get("EnableCapture", bool(config)) or not config:
            return
        if random.random() * 100 >= config["InitialSamplingPercentage"]:
            return
        text = line(exchange, config, str(uuid.uuid4()))
        where = (exchange.endpoint, exchange.variant, f"{exchange.at:%Y%m%d%H}")
        with self._lock:
            buffer = self._buffers.setdefault(where, _Buffer(config, role, exchange.at))
            buffer.lines.append(text)
            buffer.size += len(text)
            full = len(buffer.lines) >= MAX_LINES or buffer.size >= MAX_BYTES
            if full:
                del self._buffers[where]
        if full:
            self._write(where, buffer)

    def flush(self, *, everything: bool = False) -> None:
        """Write what has waited long enough."""
        now = self._context.clock()
        with self._lock:
            due = [
                (where, self._buffers.pop(where))
                for where, buffer in list(self._buffers.items())
                if everything or (now - buffer.since).total_seconds() >= self._seconds
            ]
        for where, buffer in due:
            self._write(where, buffer)

    def _write(self, where: tuple[str, str, str], buffer: _Buffer) -> None:
        endpoint, variant, _ = where
        at = buffer.since.astimezone(UTC)
        uri = f"{buffer.config['DestinationS3Uri'].rstrip('/')}/{key(endpoint, variant, at, str(uuid.uuid4()))}"
        body = ("\n".join(buffer.lines) + "\n").encode()
        try:
            Storage(self._context, buffer.role).put(body, uri, kms_key=buffer.config.get("KmsKeyId"))
        except TransferFailed as error:
            self._context.log.warning("captured data of %s/%s is lost: %s", endpoint, variant, error)
