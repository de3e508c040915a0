"""
Profiles as bytes: a magic word and version, then a zlib stream of a JSON header and the arrays it describes.

The payload is canonical (sorted keys, smallest integer type that fits, little-endian), so that equal profiles are
equal bytes. `SCHEMA` is the JSON Schema of the header; docs/data.md describes the layout.
"""

from __future__ import annotations

import json
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.errors import ProfileMismatch

__all__ = ["SCHEMA", "VERSION", "pack", "payload", "unpack"]

VERSION = 1
_MAGIC = b"PRNLPRF"
_PAYLOAD_LIMIT = 64 << 20
_INTEGERS = ("|u1", "<u2", "<u4", "<u8", "|i1", "<i2", "<i4", "<i8")

SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Perennial profile, version 1: header",
    "type": "object",
    "required": ["rows", "columns", "pairs", "reservoir", "arrays"],
    "additionalProperties": False,
    "properties": {
        "rows": {"type": "integer", "minimum": 0},
        "arrays": {
            "description": "Type (numpy notation) and shape of each array after the header, in order.",
            "type": "array",
            "items": {
                "type": "array",
                "prefixItems": [{"type": "string"}, {"type": "array", "items": {"type": "integer", "minimum": 0}}],
                "minItems": 2,
                "maxItems": 2,
            },
        },
        "columns": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "kind", "count", "null_count"],
                "properties": {
                    "name": {"type": "string"},
                    "kind": {"enum": ["number", "integer", "category", "boolean", "timestamp", "text"]},
                    "count": {"type": "integer", "minimum": 0},
                    "null_count": {"type": "integer", "minimum": 0},
                    "minimum": {"type": ["number", "null"]},
                    "maximum": {"type": ["number", "null"]},
                    "grid": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
                    "moments": {"$ref": "#/$defs/moments"},
                    "bins": {"$ref": "#/$defs/bins"},
                    "categories": {"$ref": "#/$defs/categories"},
                    "characters": {"$ref": "#/$defs/moments"},
                    "tokens_per_text": {"$ref": "#/$defs/moments"},
                    "tokens": {"$ref": "#/$defs/categories"},
                    "hours_of_week": {"$ref": "#/$defs/array"},
                    "distinct": {"$ref": "#/$defs/array"},
                },
                "additionalProperties": False,
            },
        },
        "pairs": {
            "type": "array",
            "items": {
                "type": "array",
                "prefixItems": [{"type": "string"}, {"type": "string"}, {"$ref": "#/$defs/array"}],
                "minItems": 3,
                "maxItems": 3,
            },
        },
        "reservoir": {
            "type": "object",
            "required": ["ranks", "columns"],
            "additionalProperties": False,
            "properties": {
                "ranks": {"$ref": "#/$defs/array"},
                "columns": {
                    "description": "Numbers by array; text by distinct values and an array of indexes (0 is null).",
                    "type": "object",
                    "additionalProperties": {
                        "oneOf": [
                            {"$ref": "#/$defs/array"},
                            {
                                "type": "array",
                                "prefixItems": [
                                    {"type": "array", "items": {"type": "string"}},
                                    {"$ref": "#/$defs/array"},
                                ],
                                "minItems": 2,
                                "maxItems": 2,
                            },
                        ]
                    },
                },
            },
        },
    },
    "$defs": {
        "array": {"description": "Index into arrays.", "type": "integer", "minimum": 0},
        "moments": {
            "description": "Count, sum of z in 2**-26, sum of z squared in 2**-52.",
            "type": "array",
            "items": {"type": "integer"},
            "minItems": 3,
            "maxItems": 3,
        },
        "bins": {
            "description": "Level; array of differences between bin keys; array of counts.",
            "type": "array",
            "items": {"type": "integer", "minimum": 0},
            "minItems": 3,
            "maxItems": 3,
        },
        "categories": {
            "description": "Limit, threshold, values, array of counts, array of the remainder.",
            "type": "array",
            "prefixItems": [
                {"type": "integer"},
                {"type": "integer"},
                {"type": "array", "items": {"type": "string"}},
                {"$ref": "#/$defs/array"},
                {"$ref": "#/$defs/array"},
            ],
            "minItems": 5,
            "maxItems": 5,
        },
    },
}


class Arrays:
    """Collects arrays while a header is written; `put` gives the number by which the header refers to one."""

    def __init__(self) -> None:
        self.held: list[NDArray[Any]] = []

    def put(self, array: NDArray[Any]) -> int:
        """Store integers in their smallest type, floats as float32 (only float32 values are ever stored)."""
        if array.dtype.kind in "iu" and array.dtype != np.uint64:
            low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
            kinds = _INTEGERS[:4] if low >= 0 else _INTEGERS[4:]
            fits = next(k for k in kinds if np.iinfo(k).min <= low and high <= np.iinfo(k).max)
            array = array.astype(fits)
        elif array.dtype.kind == "f":
            array = array.astype("<f4")
        self.held.append(array)
        return len(self.held) - 1


def payload(header: dict[str, Any], arrays: Arrays) -> bytes:
    """The canonical bytes of a header and its arrays, uncompressed."""
    held = [a.astype(a.dtype.newbyteorder("<")) for a in arrays.held]
    described = header | {"arrays": [[a.dtype.str, list(a.shape)] for a in held]}
    text = json.dumps(described, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    encoded = text.encode()
    return struct.pack("<I", len(encoded)) + encoded + b"".join(a.tobytes() for a in held)


def pack(content: bytes) -> bytes:
    """What is stored of a payload."""
    return _MAGIC + bytes([VERSION]) + zlib.compress(content, 6)


def unpack(stored: bytes) -> tuple[dict[str, Any], list[NDArray[Any]]]:
    """
    Header and arrays of stored bytes.

    Raises
    ------
    ProfileMismatch
        No profile, of another version, damaged, or larger than any profile is.
    """
    if stored[:7] != _MAGIC:
        raise ProfileMismatch(f"a profile must begin with {_MAGIC!r}. Got {stored[:7]!r} instead")
    if stored[7:8] != bytes([VERSION]):
        raise ProfileMismatch(f"a profile must be of version {VERSION}. Got {stored[7:8].hex()} instead: profile again")
    try:
        inflate = zlib.decompressobj()
        content = inflate.decompress(stored[8:], _PAYLOAD_LIMIT)
        if not inflate.eof:
            raise ValueError("it is cut short or too large")
        length = struct.unpack_from("<I", content)[0]
        header = json.loads(content[4 : 4 + length])
        arrays, at = [], 4 + length
        for kind, shape in header["arrays"]:
            if kind not in (*_INTEGERS, "<f4"):
                raise ValueError(f"unknown array type {kind}")
            size = int(np.prod(shape, dtype=np.int64))
            arrays.append(np.frombuffer(content, np.dtype(kind), size, at).reshape(shape))
            at += arrays[-1].nbytes
    except (zlib.error, struct.error, ValueError, KeyError, TypeError) as error:
        raise ProfileMismatch(f"a profile must be whole. Got damaged bytes instead ({error})") from error
    return header, arrays
