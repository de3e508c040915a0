"""
One text for one value: the canonical JSON that every digest is made from.

Keys are sorted, nothing is padded, times are UTC with a `Z`, and what JSON has no word for (NaN, infinity) is refused:
two machines that mean the same write the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

__all__ = ["canonical_json", "digest"]


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return _plain(value.model_dump(mode="python"))
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"a time in a digest must carry its zone. Got {value.isoformat()} instead.")
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(_plain(item) for item in value)
    return value


def canonical_json(value: Any) -> str:
    """
    `value` as the one JSON text that stands for it.

    Raises
    ------
    ValueError
        It holds NaN, infinity, or a time without a zone.

    >>> canonical_json({"b": 1, "a": (True, None, "é")})
    '{"a":[true,null,"é"],"b":1}'
    """
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any) -> str:
    """
    SHA-256, in hex, of the canonical JSON of `value`.

    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()
