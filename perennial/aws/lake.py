"""A bucket as our functions use it: exact versions, streamed digests, content-addressed writes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from botocore.exceptions import ClientError

__all__ = ["Lake", "ObjectGone", "ObjectHead"]

_CHUNK_BYTES = 1024 * 1024
_ONE_PART_BYTES = 16 * 1024 * 1024
_GONE = {
    "404": "missing",
    "NoSuchKey": "missing",
    "NoSuchVersion": "missing",
    "405": "deleted",
    "MethodNotAllowed": "deleted",
}


class ObjectGone(Exception):
    """The object version isn't there: `state` says "missing", or "deleted" where it is a delete marker."""

    def __init__(self, bucket: str, key: str, state: str) -> None:
        self.state = state
        super().__init__(f"s3://{bucket}: the object must exist. Got {state} instead.")


@dataclass(frozen=True, slots=True)
class ObjectHead:
    """What S3 says about one object version."""

    key: str
    version_id: str
    size_bytes: int
    etag: str
    last_modified_at: datetime


@dataclass(frozen=True)
class Lake:
    """One bucket. Keys of producers are opaque text: they never become paths."""

    s3: Any
    bucket: str

    def uri(self, key: str) -> str:
        """The s3:// address of a key or prefix."""
        return f"s3://{self.bucket}/{key}"

    def head(self, key: str, version_id: str | None = None) -> ObjectHead:
        """
        What S3 says now about an object version.

        Raises
        ------
        ObjectGone
            No such key or version, or the version is a delete marker.
        """
        try:
            answer = self.s3.head_object(Bucket=self.bucket, Key=key, **_version(version_id))
        except ClientError as error:
            raise self._gone(error, key) from error
        return ObjectHead(
            key=key,
            version_id=answer.get("VersionId") or "null",
            size_bytes=int(answer["ContentLength"]),
            etag=answer["ETag"].strip('"'),
            last_modified_at=answer["LastModified"],
        )

    def holds(self, key: str) -> bool:
        """Whether an object is there."""
        try:
            self.head(key)
        except ObjectGone:
            return False
        return True

    def versions(self, prefix: str) -> Iterator[ObjectHead]:
        """Every object version under a prefix; delete markers are none."""
        pages = self.s3.get_paginator("list_object_versions").paginate(Bucket=self.bucket, Prefix=prefix)
        for page in pages:
            for one in page.get("Versions", ()):
                yield ObjectHead(
                    key=one["Key"],
                    version_id=one["VersionId"],
                    size_bytes=int(one["Size"]),
                    etag=one["ETag"].strip('"'),
                    last_modified_at=one["LastModified"],
                )

    def download(self, key: str, path: Path, *, version_id: str | None = None, max_bytes: int | None = None) -> str:
        """
        Streams an object version into `path`; gives the SHA-256 of its bytes in hex.

        Raises
        ------
        ObjectGone
            As `head`.
        ValueError
            More than `max_bytes` came, whatever the head said.
        """
        with path.open("wb") as file:
            return self._stream(key, file, version_id=version_id, max_bytes=max_bytes)

    def download_large(self, key: str, path: Path, *, version_id: str) -> str:
        """
        The same by many connections at once, for files of many gigabytes; gives the SHA-256 of their bytes in hex.

        Raises
        ------
        ObjectGone
            As `head`.
        """
        from boto3.s3.transfer import TransferConfig

        config = TransferConfig(max_concurrency=16, multipart_chunksize=4 * _ONE_PART_BYTES)
        try:
            self.s3.download_file(self.bucket, key, str(path), ExtraArgs=_version(version_id), Config=config)
        except ClientError as error:
            raise self._gone(error, key) from error
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def digest(self, key: str, version_id: str | None = None) -> str:
        """SHA-256 of an object in hex, streamed: what an artifact's identity is checked by."""
        return self._stream(key, None, version_id=version_id)

    def body(self, key: str) -> IO[bytes]:
        """An object's bytes as a stream; ObjectGone where there is none."""
        try:
            body: IO[bytes] = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"]
        except ClientError as error:
            raise self._gone(error, key) from error
        return body

    def copy_new(self, key: str, version_id: str, target: str) -> bool:
        """
        Copies an object version inside the bucket, unless something stands at the target already; False where it does.

        S3 copies at most 5 GB in one request (CopyObject, API reference, read 2026-12).
        """
        try:
            self.s3.copy_object(
                Bucket=self.bucket,
                Key=target,
                CopySource={"Bucket": self.bucket, "Key": key, **_version(version_id)},
                IfNoneMatch="*",
            )
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("PreconditionFailed", "412"):
                raise
            return False
        return True

    def get(self, key: str) -> bytes:
        """A small object's bytes; ObjectGone where there is none."""
        try:
            return bytes(self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read())
        except ClientError as error:
            raise self._gone(error, key) from error

    def blocks(self, key: str) -> Iterator[bytes]:
        """An object's bytes, some at a time; ObjectGone where there is none."""
        body: Any = self.body(key)
        yield from body.iter_chunks(_CHUNK_BYTES)

    def get_json(self, key: str) -> Any:
        """A JSON object's value."""
        return json.loads(self.get(key))

    def put(self, key: str, data: bytes, *, content_type: str = "application/octet-stream") -> None:
        """Writes an object. Our keys come from content, so writing twice writes the same."""
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=data, ContentType=content_type)

    def put_json(self, key: str, value: object) -> None:
        """Writes `value` as canonical JSON: equal values give equal bytes."""
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
        self.put(key, text.encode(), content_type="application/json")

    def put_file(self, key: str, path: Path) -> None:
        """Uploads a file; in parts, by several threads, where it is large."""
        if path.stat().st_size <= _ONE_PART_BYTES:
            with path.open("rb") as file:
                self.s3.put_object(Bucket=self.bucket, Key=key, Body=file)
        else:
            self.s3.upload_file(str(path), self.bucket, key)

    def put_new(self, key: str, data: bytes, *, content_type: str = "application/json") -> bool:
        """
        Writes an object that must not exist yet (If-None-Match); False where another one is there.

        A lost acknowledgement makes the retry fail although our own write won: what is there is read back, and
        equal bytes are ours.
        """
        try:
            self.s3.put_object(Bucket=self.bucket, Key=key, Body=data, ContentType=content_type, IfNoneMatch="*")
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("PreconditionFailed", "412"):
                raise
            return self.get(key) == data
        return True

    def _stream(
        self, key: str, file: IO[bytes] | None, *, version_id: str | None = None, max_bytes: int | None = None
    ) -> str:
        digest, seen = hashlib.sha256(), 0
        try:
            body = self.s3.get_object(Bucket=self.bucket, Key=key, **_version(version_id))["Body"]
        except ClientError as error:
            raise self._gone(error, key) from error
        for chunk in body.iter_chunks(_CHUNK_BYTES):
            seen += len(chunk)
            if max_bytes is not None and seen > max_bytes:
                body.close()
                raise ValueError(f"the object must hold at most {max_bytes} bytes. Got more instead.")
            digest.update(chunk)
            if file is not None:
                file.write(chunk)
        return digest.hexdigest()

    def _gone(self, error: ClientError, key: str) -> Exception:
        code = str(error.response["Error"]["Code"])
        return ObjectGone(self.bucket, key, _GONE[code]) if code in _GONE else error


def _version(version_id: str | None) -> dict[str, str]:
    return {} if version_id in (None, "", "null") else {"VersionId": str(version_id)}
