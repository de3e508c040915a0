"""
Parts of objects: a read with `Range` gets that part alone, of the current version or of one that is named.

ministack 1.5.33 gives the whole object where a version is named, and reads all of it from disk for any part: sixteen
connections that fetch a file of gigabytes would read it once for each part. On AWS both headers may come together, and
checksums of the whole object stay away from a part of it:
https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html (read 2026-11).
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from localcloud.context import Context
from localcloud.extension import replace, require

_is_part: ContextVar[bool] = ContextVar("_is_part", default=False)


def install(context: Context) -> None:
    """Serve parts of objects from the file that holds them."""
    from ministack.services import s3

    require(s3, "_object_disk_path", "_parse_range", "_range_error_xml", "_xml_body")
    require(s3, "_version_disk_path", "_version_file_exists")
    read_version = replace(s3, "_version_body", lambda *given: _mapped(_version_path(*given)) or read_version(*given))
    read = replace(
        s3, "_read_body", lambda bucket, key, obj: _mapped(_path(bucket, key, obj)) or read(bucket, key, obj)
    )
    get = replace(s3, "_get_object", lambda *given: _get(get, *given))
    context.log.getChild("objects").debug("parts of objects are read alone")


def _get(whole: Any, bucket: str, key: str, headers: dict[str, str], query: dict[str, Any] | None = None) -> Any:
    from ministack.services import s3

    wanted = headers.get("range", "")
    if not wanted:
        return whole(bucket, key, headers, query)
    with _reading_a_part():
        status, sent, body = whole(bucket, key, headers, query)
        if status != 200:
            return status, sent, body
        span = s3._parse_range(wanted, len(body))
        if span is None:
            told = {"Content-Type": "application/xml", "Content-Range": f"bytes */{len(body)}"}
            return 416, told, s3._xml_body(s3._range_error_xml(bucket, key))
        first, last = span
        part = bytes(body[first : last + 1])
        kept = {name: value for name, value in sent.items() if not name.lower().startswith("x-amz-checksum")}
        told = {"Content-Length": str(len(part)), "Content-Range": f"bytes {first}-{last}/{len(body)}"}
        return 206, kept | told, part


@contextmanager
def _reading_a_part() -> Iterator[None]:
    token = _is_part.set(True)
    try:
        yield
    finally:
        _is_part.reset(token)


def _path(bucket: str, key: str, obj: dict[str, Any]) -> Path | None:
    from ministack.services import s3

    found = s3._object_disk_path(bucket, key) if obj.get("body") is None else None
    return Path(found) if found else None


def _version_path(bucket: dict[str, Any], name: str, key: str, version: dict[str, Any]) -> Path | None:
    from ministack.services import s3

    if version.get("data") is not None or not s3._version_file_exists(name, key, version["version_id"]):
        return None
    return Path(s3._version_disk_path(name, key, version["version_id"]))


def _mapped(path: Path | None) -> mmap.mmap | None:
    """A file as bytes that are read where they are looked at; None without one, or outside of a read of a part."""
    if not _is_part.get() or path is None or not path.is_file() or not path.stat().st_size:
        return None
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
