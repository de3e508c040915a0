"""
As much of CBOR (RFC 8949) as AWS's smithy-rpc-v2-cbor protocol uses.

>>> decode(encode({"Values": [1, -2, 0.5], "Timestamp": Timestamp(12.0), "Ok": True}))
{'Values': [1, -2, 0.5], 'Timestamp': datetime.datetime(1970, 1, 1, 0, 0, 12, tzinfo=datetime.timezone.utc), 'Ok': True}
"""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from typing import Any

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = range(8)
_INDEFINITE, _BREAK = 31, 0xFF
_EPOCH_TAG = 1
_MAX_DEPTH = 64


class Timestamp(float):
    """Epoch seconds that are written as a time, not as a number."""


class BadCbor(ValueError):
    """The bytes are no CBOR, or use a part of it that AWS does not."""


def encode(value: Any) -> bytes:
    """`value`, made of dicts, lists, strings, bytes, numbers, booleans, None and `Timestamp`."""
    if value is None or isinstance(value, bool):
        return bytes([_SIMPLE << 5 | {False: 20, True: 21, None: 22}[value]])
    if isinstance(value, Timestamp):
        return bytes([_TAG << 5 | _EPOCH_TAG]) + encode(float(value))
    if isinstance(value, float):
        return b"\xfb" + struct.pack(">d", value)
    if isinstance(value, int):
        return _head(_UNSIGNED, value) if value >= 0 else _head(_NEGATIVE, -1 - value)
    if isinstance(value, (bytes, str)):
        data = value.encode() if isinstance(value, str) else value
        return _head(_TEXT if isinstance(value, str) else _BYTES, len(data)) + data
    if isinstance(value, dict):
        pairs = (encode(key) + encode(member) for key, member in value.items())
        return _head(_MAP, len(value)) + b"".join(pairs)
    return _head(_ARRAY, len(value)) + b"".join(encode(item) for item in value)


def _head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes([major << 5 | number])
    for code, (size, form) in enumerate(((1, ">B"), (2, ">H"), (4, ">I"), (8, ">Q")), start=24):
        if number < 1 << 8 * size:
            return bytes([major << 5 | code]) + struct.pack(form, number)
    raise BadCbor(f"integers have at most 64 bits. Got {number}")


def decode(data: bytes) -> Any:
    """The value that `data` holds; times are aware datetimes."""
    try:
        value, end = _item(data, 0, 0)
    except (IndexError, struct.error, UnicodeDecodeError, OverflowError) as error:
        raise BadCbor(f"truncated or malformed: {error}") from error
    if end != len(data):
        raise BadCbor(f"{len(data) - end} bytes are left over")
    return value


def _item(data: bytes, at: int, depth: int) -> tuple[Any, int]:
    if depth > _MAX_DEPTH:
        raise BadCbor("nested too deeply")
    major, info, at = data[at] >> 5, data[at] & 31, at + 1
    if major == _SIMPLE:
        return _simple(data, at, info)
    number: int | None = None
    if info < 24:
        number = info
    elif info < 28:
        size = 1 << info - 24
        if at + size > len(data):
            raise BadCbor("truncated")
        number, at = int.from_bytes(data[at : at + size]), at + size
    elif info != _INDEFINITE:
        raise BadCbor(f"additional information {info} is reserved")
    if major in (_BYTES, _TEXT):
        return _string(data, at, number, major, depth)
    if major in (_ARRAY, _MAP):
        return _collection(data, at, number, major, depth)
    if number is None:
        raise BadCbor("a number has a definite length")
    if major == _TAG:
        value, at = _item(data, at, depth + 1)
        return (datetime.fromtimestamp(value, UTC) if number == _EPOCH_TAG else value), at
    return (number if major == _UNSIGNED else -1 - number), at


def _simple(data: bytes, at: int, info: int) -> tuple[Any, int]:
    if info in (20, 21, 22, 23):
        return {20: False, 21: True}.get(info), at
    forms = {25: (2, ">e"), 26: (4, ">f"), 27: (8, ">d")}
    if info not in forms:
        raise BadCbor(f"simple value {info} is not used by AWS")
    size, form = forms[info]
    return struct.unpack(form, data[at : at + size])[0], at + size


def _string(data: bytes, at: int, length: int | None, major: int, depth: int) -> tuple[Any, int]:
    if length is None:
        parts = []
        while data[at] != _BREAK:
            part, at = _item(data, at, depth + 1)
            parts.append(part)
        return ("" if major == _TEXT else b"").join(parts), at + 1
    if at + length > len(data):
        raise BadCbor("truncated")
    raw = data[at : at + length]
    return (raw.decode() if major == _TEXT else raw), at + length


def _collection(data: bytes, at: int, length: int | None, major: int, depth: int) -> tuple[Any, int]:
    items: list[Any] = []
    wanted = None if length is None else length * (2 if major == _MAP else 1)
    while len(items) != wanted:
        if wanted is None and data[at] == _BREAK:
            at += 1
            break
        item, at = _item(data, at, depth + 1)
        items.append(item)
    return (dict(zip(items[::2], items[1::2], strict=True)) if major == _MAP else items), at
