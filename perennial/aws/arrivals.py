"""
S3 "Object Created" events from EventBridge, as they lie in a queue: which object version came, and may it be ours.

EventBridge gives keys as they are (classic S3 notifications URL-encode them). Delivery is at least once and in any
order; the identity is bucket, key and version id.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from perennial.errors import EventInvalid

__all__ = ["Arrival", "arrival_message", "parse_arrival"]


_SOURCE, _CREATED = "aws.s3", "Object Created"


@dataclass(frozen=True, slots=True)
class Arrival:
    """One object version that S3 says was created; `version_id` is None where the event names none."""

    bucket: str
    key: str
    version_id: str | None
    etag: str


class _Bucket(BaseModel):
    name: str


class _Object(BaseModel):
    key: str
    etag: str = ""
    version_id: str | None = Field(None, alias="version-id")


class _Detail(BaseModel):
    bucket: _Bucket
    object: _Object


class _Message(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    source: str
    account: str = ""
    detail_type: str = Field(alias="detail-type")
    detail: _Detail


def arrival_message(arrival: Arrival, account: str = "") -> str:
    """
    The queue message that S3 and EventBridge would have sent of an arrival.

    >>> told = Arrival("landing", "batches/a+b.csv", "v1", "e")
    >>> parse_arrival(arrival_message(told), bucket="landing", prefix="batches/") == told
    True
    """
    version = {} if arrival.version_id is None else {"version-id": arrival.version_id}
    landed = {"key": arrival.key, "etag": arrival.etag, **version}
    detail = {"bucket": {"name": arrival.bucket}, "object": landed}
    said = {"source": _SOURCE, "detail-type": _CREATED, "account": account, "detail": detail}
    return json.dumps(said)


def parse_arrival(body: str, *, bucket: str, prefix: str, account: str = "") -> Arrival:
    """
    The object version that a queue message is about.

    Parameters
    ----------
    bucket, prefix
        The only place that events may be about.
    account
        The only account that they may come from; "" where that isn't known.

    Raises
    ------
    EventInvalid
        Not such an event, or about another place: somebody else writes to the queue.
    """
    try:
        message = _Message.model_validate(json.loads(body))
    except (json.JSONDecodeError, ValidationError) as error:
        raise EventInvalid("a message must be an S3 event from EventBridge. Got something else instead.") from error
    where = message.detail
    if (message.source, message.detail_type) != (_SOURCE, _CREATED):
        raise EventInvalid(f"an event must be Object Created of aws.s3. Got {message.detail_type!r} instead.")
    if where.bucket.name != bucket or not where.object.key.startswith(prefix):
        raise EventInvalid(f"an object must be under s3://{bucket}/{prefix}. Got one elsewhere instead.")
    if account and message.account != account:
        raise EventInvalid("an event must come from the loop's own account. Got another one instead.")
    return Arrival(where.bucket.name, where.object.key, where.object.version_id or None, where.object.etag.strip('"'))
