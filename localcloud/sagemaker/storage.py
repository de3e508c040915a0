"""Between S3 and a job's directory, with the permissions of the job's role."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from botocore.exceptions import ClientError

from localcloud.context import Context
from localcloud.sagemaker.errors import ValidationException

_HTTPS = re.compile(r"https?://s3[.-][a-z0-9-]+\.amazonaws\.com(?:\.cn)?/([^/]+)/?(.*)")
_AT_ONCE = 8
_BLOCK = 1 << 20


class TransferFailed(Exception):
    """Something could not be read or written; the message becomes a FailureReason."""


def split(uri: str) -> tuple[str, str]:
    """
    Bucket and key of an S3 address, in either form that SageMaker takes.

    >>> split("s3://lake/models/m.tar.gz")
    ('lake', 'models/m.tar.gz')
    >>> split("https://s3.us-east-1.amazonaws.com/lake/models/m.tar.gz")
    ('lake', 'models/m.tar.gz')
    """
    if uri.startswith("s3://"):
        bucket, _, key = uri[5:].partition("/")
        return bucket, key
    if match := _HTTPS.fullmatch(uri):
        return match[1], match[2]
    raise ValidationException(f"an S3 address starts with s3:// or https://s3.<region>.amazonaws.com/. Got {uri}")


class Storage:
    """S3 as one role sees it."""

    def __init__(self, context: Context, role: str) -> None:
        self._context = context
        self._role = role

    def download(self, uri: str, target: Path) -> Path:
        """One object into the file `target`."""
        bucket, key = split(uri)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            body = self._call("GetObject", {"Bucket": bucket, "Key": key})["Body"]
            with target.open("wb") as file:
                for block in iter(lambda: body.read(_BLOCK), b""):
                    file.write(block)
        except ClientError as error:
            raise TransferFailed(f"ClientError: Data download failed: {uri}: {error}") from error
        return target

    def download_prefix(self, uri: str, directory: Path) -> int:
        """Everything under a prefix into `directory`; how many objects."""
        bucket, prefix = split(uri)
        try:
            keys = self._keys(bucket, prefix)
        except ClientError as error:
            raise TransferFailed(f"ClientError: Data download failed: {uri}: {error}") from error
        if not keys:
            raise TransferFailed(
                f'ClientError: Data download failed: No S3 objects found under S3 URL "{uri}" given in input data '
                f"source. Please ensure that the bucket exists in the selected region ({self._context.region}), that "
                f'objects exist under that S3 prefix, and that the role "{self._role}" has "s3:ListBucket" permissions '
                f'on bucket "{bucket}".'
            )
        self._download_all({f"s3://{bucket}/{key}": _inside(directory, _relative(key, prefix)) for key in keys})
        return len(keys)

    def download_manifest(self, uri: str, directory: Path) -> int:
        """The objects that a manifest lists (`[{"prefix": "s3://b/p/"}, "a.csv", ...]`); how many."""
        scratch = directory.parent / f".{directory.name}.manifest"
        try:
            head, *names = json.loads(self.download(uri, scratch).read_text())
            prefix = head["prefix"]
        except (ValueError, KeyError, TypeError) as error:
            raise TransferFailed(f"ClientError: Data download failed: {uri} is no manifest: {error}") from error
        finally:
            scratch.unlink(missing_ok=True)
        self._download_all({f"{prefix}{name}": _inside(directory, name) for name in names})
        return len(names)

    def download_source(self, source: Mapping[str, Any], directory: Path) -> None:
        """What an S3DataSource or S3Input names into `directory`."""
        directory.mkdir(parents=True, exist_ok=True)
        kind = source.get("S3DataType", "S3Prefix")
        if kind == "S3Prefix":
            self.download_prefix(source["S3Uri"], directory)
        elif kind == "ManifestFile":
            self.download_manifest(source["S3Uri"], directory)
        else:
            raise TransferFailed(f"ClientError: S3DataType must be S3Prefix or ManifestFile here. Got {kind}")

    def upload(self, file: Path, uri: str, *, kms_key: str | None = None) -> None:
        """One file to one object."""
        with file.open("rb") as body:
            self.put(body, uri, kms_key=kms_key)

    def put(self, body: bytes | BinaryIO, uri: str, *, kms_key: str | None = None) -> None:
        """One object, encrypted with `kms_key` when given."""
        bucket, key = split(uri)
        encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key} if kms_key else {}
        try:
            self._call("PutObject", {"Bucket": bucket, "Key": key, "Body": body, **encryption})
        except ClientError as error:
            raise TransferFailed(f"ClientError: Failed to upload to {uri}: {error}") from error

    def upload_directory(self, directory: Path, uri: str, *, kms_key: str | None = None) -> int:
        """Every file under `directory` to below `uri`; how many."""
        files = [path for path in sorted(directory.rglob("*")) if path.is_file()]
        for path in files:
            self.upload(path, f"{uri.rstrip('/')}/{path.relative_to(directory).as_posix()}", kms_key=kms_key)
        return len(files)

    def _download_all(self, targets: Mapping[str, Path]) -> None:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(lambda item: self.download(*item), targets.items()))

    def _keys(self, bucket: str, prefix: str) -> list[str]:
        found: list[str] = []
        params: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix}
        while True:
            page = self._call("ListObjectsV2", params)
            found += [item["Key"] for item in page.get("Contents", ()) if not item["Key"].endswith("/")]
            if not page.get("IsTruncated"):
                return found
            params["ContinuationToken"] = page["NextContinuationToken"]

    def _call(self, action: str, params: dict[str, Any]) -> dict[str, Any]:
        return self._context.call("s3", action, params, role=self._role)


def _relative(key: str, prefix: str) -> str:
    """
    Where an object goes inside its channel: without the prefix, cut at a slash.

    >>> _relative("data/train/a.csv", "data/train"), _relative("data/train/a.csv", "data/tr"), _relative("a/b", "a/b")
    ('a.csv', 'train/a.csv', 'b')
    """
    if key == prefix:
        return PurePosixPath(key).name
    folder = prefix if prefix.endswith("/") or not prefix else f"{prefix}/"
    return key[len(folder) :] if key.startswith(folder) else key[prefix.rfind("/") + 1 :]


def _inside(directory: Path, relative: str) -> Path:
    target = (directory / relative).resolve()
    if not target.is_relative_to(directory.resolve()):
        raise TransferFailed(f"ClientError: the key {relative} leads out of its channel")
    return target


def unpack(archive: Path, directory: Path) -> None:
    """A tar.gz into `directory`; nothing in it may lead outside."""
    directory.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(directory, filter="data")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise TransferFailed(f"ClientError: {archive.name} is no usable tar.gz: {error}") from error


def pack(directory: Path, archive: Path) -> Path:
    """Everything in `directory` as a tar.gz, names relative to it."""
    with tarfile.open(archive, "w:gz") as tar:
        for path in sorted(directory.iterdir()):
            tar.add(path, path.name)
    return archive
