"""Bytes of a landed file: opened, decompressed as its key says, and cut off where it costs too much."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from perennial.contract import Contract
from perennial.validation.blocks import FileRejected
from perennial.validation.outcome import Limits

__all__ = ["ByteStream", "FileKind", "digest_of", "file_kind"]

_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
_FORMATS = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
_RATIO_FROM = 16 << 20


@dataclass(frozen=True, slots=True)
class FileKind:
    """What a key's suffixes say: `format`, and `compression` ("gzip", "zstd") or None."""

    format: str
    compression: str | None = None


def file_kind(key: str, contract: Contract) -> FileKind:
    """
    The kind of file that a key announces. The key is never used as a path.

    Raises
    ------
    FileRejected
        Another format than the contract's, or one that we don't read.

    >>> contract = Contract(format="csv", record_id="id", event_time="at", columns={})
    >>> file_kind("batches/2026/../a+b%2e.csv.gz", contract)
    FileKind(format='csv', compression='gzip')
    """
    suffixes = PurePosixPath(key).suffixes
    compression = _COMPRESSIONS.get(suffixes[-1].lower()) if suffixes else None
    inner = suffixes[:-1] if compression else suffixes
    found = _FORMATS.get(inner[-1].lower()) if inner else None
    if found != contract.format:
        raise FileRejected("format", f"the file must be {contract.format}. Got {found or 'no known suffix'} instead")
    if found == "parquet" and compression:
        raise FileRejected("format", f"a Parquet file must not be compressed as a whole. Got {compression} instead")
    return FileKind(found, compression)


class ByteStream:
    """
    The decompressed bytes of a source in order, counted against the limits, while the landed bytes are digested.

    Raises FileRejected from `read_into` where a limit is passed or the compression is damaged.
    """

    def __init__(self, source: Any, kind: FileKind, size_bytes: int, limits: Limits, *, digest: bool = True) -> None:
        self._limits, self._size = limits, max(size_bytes, 1)
        self._raw = _Counted(_opened(source), digest=digest)
        self._stream: Any = self._raw
        if kind.compression:
            self._stream = pa.CompressedInputStream(pa.PythonFile(self._raw, "r"), kind.compression)
        self.bytes_out = 0

    def read_into(self, buffer: memoryview) -> int:
        """Fill a buffer as far as the stream goes; fewer bytes than asked for mean its end."""
        filled = 0
        while filled < len(buffer):
            try:
                if self._stream is self._raw:
                    got = self._raw.readinto(buffer[filled:])
                else:
                    piece = self._stream.read(min(len(buffer) - filled, 1 << 20))
                    got = len(piece)
                    buffer[filled : filled + got] = piece
            except (OSError, EOFError, pa.ArrowInvalid) as error:
                raise FileRejected(
                    "unreadable", f"the file must decompress. Got an error instead ({type(error).__name__})"
                ) from error
            if not got:
                break
            filled += got
            self.bytes_out += got
            self._keep_limits()
        return filled

    def digest(self) -> str:
        """SHA-256 of all landed bytes, hex; empty if it was not asked for."""
        return self._raw.digest()

    def _keep_limits(self) -> None:
        if self.bytes_out > self._limits.max_bytes:
            raise FileRejected("too_large", f"a file must have at most {self._limits.max_bytes} bytes decompressed")
        ratio = self.bytes_out / self._size
        if self.bytes_out > _RATIO_FROM and ratio > self._limits.max_ratio and self._stream is not self._raw:
            raise FileRejected(
                "bomb",
                f"a file must decompress to at most {self._limits.max_ratio:g} times its {self._size} bytes. "
                f"Got more than {self.bytes_out} bytes instead",
            )


class _Counted(io.RawIOBase):
    """Digests what passes."""

    def __init__(self, inner: Any, *, digest: bool) -> None:
        self._inner = inner
        self._hash = hashlib.sha256() if digest else None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        if hasattr(self._inner, "readinto"):
            got = self._inner.readinto(view) or 0
        else:
            piece = self._inner.read(len(view))
            got = len(piece)
            view[:got] = piece
        if self._hash is not None:
            self._hash.update(view[:got])
        return int(got)

    def digest(self) -> str:
        if self._hash is None:
            return ""
        rest = bytearray(1 << 20)
        while self.readinto(rest):
            pass
        return self._hash.hexdigest()


def digest_of(source: Any) -> str:
    """SHA-256 of a whole seekable source, hex; it is rewound."""
    raw = _Counted(_opened(source), digest=True)
    found = raw.digest()
    if hasattr(source, "seek"):
        source.seek(0)
    return found


def _opened(source: Any) -> Any:
    if hasattr(source, "read"):
        if hasattr(source, "seek"):
            source.seek(0)
        return source
    return open(source, "rb", buffering=0)  # noqa: PTH123  # closed with the reader that owns it
