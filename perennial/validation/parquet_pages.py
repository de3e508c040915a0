"""
Page headers of a Parquet file, read before any page is.

A footer's sizes are the writer's claim; each page header states how large its page will be once decompressed, and
Arrow allocates that much. Headers are Thrift compact structs (parquet-format 2.11, `PageHeader`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import pyarrow as pa

from perennial.validation.blocks import FileRejected
from perennial.validation.outcome import Limits

__all__ = ["check_pages"]

_USUAL_BYTES = 256
_HEADER_BYTES = 64 << 10
_DELTA_BYTE_ARRAY = 7
#: How much a byte may become at most, where that is bounded (Snappy's longest copy: 64 bytes from 3).
_MOST_EXPANDED = {"UNCOMPRESSED": 1, "SNAPPY": 22, "LZ4": 256, "LZ4_RAW": 256}
#: Thrift compact types: bytes of fixed ones (true, false, i8, double), then i16, i32, i64; binary; struct.
_FIXED = {1: 0, 2: 0, 3: 1, 7: 8}
_WHOLE, _BINARY, _STRUCT, _DEEPEST = (4, 5, 6), 8, 12, 8
#: Where the encoding is: field 2 of a data page (5), field 4 of one of version 2 (8).
_ENCODING_FIELDS = (([5], 2), ([8], 4))


def check_pages(source: Any, metadata: Any, limits: Limits) -> None:
    """
    Raises
    ------
    FileRejected
        A page would decompress to more than the limit, or the headers don't make sense.
    """
    reader, close = _reader(source)
    try:
        for group in range(metadata.num_row_groups):
            for column in range(metadata.row_group(group).num_columns):
                _check_chunk(reader, metadata.row_group(group).column(column), limits)
    except (IndexError, OSError, pa.ArrowException, OverflowError, ValueError) as error:
        raise FileRejected(
            "unreadable", f"the file must be Parquet. Got a damaged page header ({_told(error)})"
        ) from error
    finally:
        if close:
            reader.close()


def _told(error: Exception) -> str:
    """Our own sentences, or a kind of error whose sentence may quote the file."""
    return str(error) if type(error) is ValueError else type(error).__name__


def _reader(source: Any) -> tuple[Any, bool]:
    if hasattr(source, "read"):
        return source, False
    return open(source, "rb", buffering=0), True  # noqa: PTH123


def _check_chunk(reader: Any, chunk: Any, limits: Limits) -> None:
    is_text = chunk.physical_type in ("BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY")
    largest = chunk.total_compressed_size * _MOST_EXPANDED.get(chunk.compression, 1 << 20)
    if not is_text and largest <= limits.max_page_bytes:
        return
    start = chunk.data_page_offset
    if chunk.has_dictionary_page and chunk.dictionary_page_offset and chunk.dictionary_page_offset < start:
        start = chunk.dictionary_page_offset
    at, end = start, start + chunk.total_compressed_size
    while at < end:
        reader.seek(at)
        head = reader.read(min(_USUAL_BYTES, end - at))
        try:
            header = parse_page_header(head)
        except IndexError:
            header = parse_page_header(head + reader.read(min(_HEADER_BYTES, end - at - len(head))))
        if header.size > limits.max_page_bytes:
            raise FileRejected(
                "bomb", f"a Parquet page must have at most {limits.max_page_bytes} bytes. Got {header.size} instead"
            )
        if header.encoding == _DELTA_BYTE_ARRAY:
            raise FileRejected(
                "bomb", "a Parquet column must not be encoded as DELTA_BYTE_ARRAY: its size can't be bounded"
            )
        at += header.length + header.packed


class PageHeader(NamedTuple):
    """Bytes of a page decompressed (`size`) and as stored (`packed`), its encoding, and the header's own length."""

    size: int
    packed: int
    encoding: int | None
    length: int


def parse_page_header(data: bytes) -> PageHeader:
    """
    The header at the start of `data`.

    Raises
    ------
    IndexError
        It goes on beyond `data`.
    ValueError
        It is none.
    """
    at, size, packed, encoding = 0, -1, -1, None
    path: list[int] = []
    field = 0
    while True:
        byte = data[at]
        at += 1
        if not byte:
            if not path:
                break
            field = path.pop()
            continue
        kind = byte & 15
        if byte >> 4:
            field += byte >> 4
        else:
            field, at = _zigzag(data, at)
        if kind in _WHOLE:
            value, at = _zigzag(data, at)
            if not path:
                size, packed = (value if field == 2 else size), (value if field == 3 else packed)
            elif (path, field) in _ENCODING_FIELDS:
                encoding = value
        elif kind == _STRUCT and len(path) < _DEEPEST:
            path.append(field)
            field = 0
        elif kind == _BINARY:
            length, at = _varint(data, at)
            at += length
        elif kind in _FIXED:
            at += _FIXED[kind]
        else:
            raise ValueError(f"a field of kind {kind}")
    if size < 0 or packed < 0:
        raise ValueError("sizes are missing")
    return PageHeader(size, packed, encoding, at)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number is too long")


def _zigzag(data: bytes, at: int) -> tuple[int, int]:
    value, at = _varint(data, at)
    return (value >> 1) ^ -(value & 1), at
