"""Reads of parts of objects (GetObject in the S3 API reference, read 2026-11): `Range` holds for any version."""

from __future__ import annotations

from pathlib import Path

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from tests.fidelity.cloud import Cloud, fresh

PART = 5 << 20


@pytest.fixture
def bucket(cloud: Cloud) -> str:
    """A bucket that keeps versions."""
    name = fresh("parts")
    cloud.client("s3").create_bucket(Bucket=name)
    cloud.client("s3").put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name


@pytest.mark.parametrize(
    ("span", "expected", "told"),
    [
        ("bytes=0-3", b"0123", "bytes 0-3/10"),
        ("bytes=4-", b"456789", "bytes 4-9/10"),
        ("bytes=-2", b"89", "bytes 8-9/10"),
        ("bytes=8-99", b"89", "bytes 8-9/10"),
    ],
)
@pytest.mark.parametrize("which", ["current", "older"])
def test_a_part_of_a_named_version_is_that_part_alone(
    cloud: Cloud, bucket: str, which: str, span: str, expected: bytes, told: str
) -> None:
    s3 = cloud.client("s3")
    body = b"0123456789" if which == "older" else b"other"
    older = s3.put_object(Bucket=bucket, Key="a", Body=body)["VersionId"]
    current = s3.put_object(Bucket=bucket, Key="a", Body=b"0123456789")["VersionId"]

    version = older if which == "older" else current
    found = s3.get_object(Bucket=bucket, Key="a", VersionId=version, Range=span, ChecksumMode="ENABLED")

    assert found["Body"].read() == expected
    assert (found["ContentRange"], found["ContentLength"]) == (told, len(expected))
    assert found["VersionId"] == version
    assert found["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert not [name for name in found if name.startswith("Checksum")]


def test_a_part_beyond_the_end_is_refused(cloud: Cloud, bucket: str) -> None:
    s3 = cloud.client("s3")
    version = s3.put_object(Bucket=bucket, Key="a", Body=b"0123456789")["VersionId"]
    with pytest.raises(ClientError) as refused:
        s3.get_object(Bucket=bucket, Key="a", VersionId=version, Range="bytes=10-")
    assert refused.value.response["Error"]["Code"] == "InvalidRange"


def test_a_part_of_an_empty_object_is_refused_and_the_whole_is_empty(cloud: Cloud, bucket: str) -> None:
    s3 = cloud.client("s3")
    version = s3.put_object(Bucket=bucket, Key="a", Body=b"")["VersionId"]
    assert s3.get_object(Bucket=bucket, Key="a", VersionId=version)["Body"].read() == b""
    with pytest.raises(ClientError) as refused:
        s3.get_object(Bucket=bucket, Key="a", VersionId=version, Range="bytes=0-")
    assert refused.value.response["Error"]["Code"] == "InvalidRange"


def test_many_connections_read_a_large_version_once(cloud: Cloud, bucket: str, tmp_path: Path) -> None:
    """What fetches a file of many gigabytes: each connection asks for parts of its own."""
    s3, body = cloud.client("s3"), bytes(range(256)) * (3 * PART // 256) + b"the end"
    config = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART, max_concurrency=4)
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(body)
    s3.upload_file(str(source), bucket, "a", Config=config)
    version = s3.head_object(Bucket=bucket, Key="a")["VersionId"]
    s3.put_object(Bucket=bucket, Key="a", Body=b"newer")
    received: list[int] = []

    s3.download_file(
        bucket, "a", str(target), ExtraArgs={"VersionId": version}, Config=config, Callback=received.append
    )

    assert target.read_bytes() == body
    assert sum(received) == len(body)
