"""
Page headers of a Parquet file, read before any page is.

A footer's sizes are the writer's claim; each page header states how large its page will be once decompressed, and
Arrow allocates that much. Headers are Thrift compact structs (parquet-format 2.11, `PageHeader`).
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from perennial.validation.blocks import FileRejected
from perennial.validation.outcome import Limits

__all__ = ["check_pages"]

_HEADER_BYTES = 64 << 10
_DELTA_BYTE_ARRAY = 7


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
        raise FileRejected("unreadable", f"the file must be Parquet. Got a damaged page header ({error})") from error
    finally:
        if close:
            reader.close()


def _reader(source: Any) -> tuple[Any, bool]:
    if hasattr(source, "read"):
        return source, False
    return open(source, "rb", buffering=0), True  # noqa: PTH123


def _check_chunk(reader: Any, chunk: Any, limits: Limits) -> None:
    start = chunk.data_page_offset
    if chunk.has_dictionary_page and chunk.dictionary_page_offset and chunk.dictionary_page_offset < start:
        start = chunk.dictionary_page_offset
    at, end = start, start + chunk.total_compressed_size
    while at < end:
        reader.seek(at)
        header = _Thrift(reader.read(min(_HEADER_BYTES, end - at)))
        fields = header.struct()
        size, packed = fields.get(2, 0), fields.get(3, 0)
        if not isinstance(size, int) or not isinstance(packed, int) or packed < 0 or size < 0:
            raise ValueError("sizes of a page are missing")
        if size > limits.max_page_bytes:
            raise FileRejected(
                "bomb", f"a Parquet page must have at most {limits.max_page_bytes} bytes. Got {size} instead"
            )
        if _encoding(fields) == _DELTA_BYTE_ARRAY:
            raise FileRejected(
                "bomb", "a Parquet column must not be encoded as DELTA_BYTE_ARRAY: its size can't be bounded"
            )
        at += header.at + packed


def _encoding(fields: dict[int, Any]) -> int | None:
    """Encoding of a data page, version 1 (field 5) or 2 (field 8)."""
    one, two = fields.get(5), fields.get(8)
    if isinstance(one, dict):
        return one.get(2)
    return two.get(4) if isinstance(two, dict) else None


class _Thrift:
    """As much of the Thrift compact protocol as page headers use."""

    def __init__(self, data: bytes) -> None:
        self._data, self.at = data, 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        if depth > 8:
            raise ValueError("a page header nests too deep")
        fields: dict[int, Any] = {}
        number = 0
        while kind := self._byte():
            number = number + (kind >> 4) if kind >> 4 else self._signed()
            fields[number] = self._value(kind & 15, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        match kind:
            case 1 | 2:
                return kind == 1
            case 3:
                return self._byte()
            case 4 | 5 | 6:
                return self._signed()
            case 7:
                self.at += 8
                return None
            case 8:
                length = self._unsigned()
                self.at += length
                return None
            case 12:
                return self.struct(depth + 1)
            case _:
                raise ValueError(f"a page header holds a field of kind {kind}")

    def _byte(self) -> int:
        self.at += 1
        return self._data[self.at - 1]

    def _unsigned(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise ValueError("a number is too long")

    def _signed(self) -> int:
        value = self._unsigned()
        return (value >> 1) ^ -(value & 1)
