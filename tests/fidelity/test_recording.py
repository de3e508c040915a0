"""What roles ask for can be recorded, so that others judge it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from localcloud.server import Server
from tests.fidelity.cloud import SCALES, Cloud, allow, fresh


def test_every_call_of_a_role_is_on_record_with_what_was_decided_and_nothing_of_anybody_else(tmp_path: Path) -> None:
    record = tmp_path / "asked.jsonl"
    with Server(scales=SCALES, record=record) as server:
        cloud = Cloud(server)
        ours = fresh("ours")
        cloud.client("s3").create_bucket(Bucket=ours)
        role = cloud.role(allow("s3:PutObject", resource=f"arn:aws:s3:::{ours}/a/*"))
        s3 = cloud.as_role(role, "s3")
        for _ in range(2):
            s3.put_object(Bucket=ours, Key="a/1", Body=b"x")
        with pytest.raises(ClientError, match="AccessDenied"):
            s3.put_object(Bucket=ours, Key="b/1", Body=b"x")

    told = [json.loads(line) for line in record.read_text().splitlines()]
    assert {one["role"] for one in told} == {role.rpartition("/")[2]}
    assert [(one["action"], one["resource"], one["allowed"]) for one in told] == [
        ("s3:PutObject", f"arn:aws:s3:::{ours}/a/1", True),
        ("s3:PutObject", f"arn:aws:s3:::{ours}/b/1", False),
    ]
    assert told[0]["context"]["aws:SecureTransport"] == "true"
