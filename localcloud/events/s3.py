"""
What S3 tells EventBridge of an object.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html (read 2026-11): of a versioned bucket's object,
`detail.object` names the version-id, which ministack leaves out.
"""

from __future__ import annotations

import json
from contextvars import ContextVar
from typing import Any

from ministack.services import eventbridge, s3

from localcloud.context import Context
from localcloud.extension import replace

_version: ContextVar[str | None] = ContextVar("s3_version", default=None)


def install(context: Context) -> None:
    """Let S3's events name the version, and reach archives too."""
    fire = replace(s3, "_fire_s3_event", lambda *arguments, **named: _fire(fire, *arguments, **named))
    dispatch = replace(eventbridge, "_dispatch_event", lambda event, view=None: _dispatch(dispatch, event, view))


def _fire(fire: Any, *arguments: Any, version_id: str | None = None, **named: Any) -> None:
    token = _version.set(version_id)
    try:
        fire(*arguments, version_id=version_id, **named)
    finally:
        _version.reset(token)


def _dispatch(dispatch: Any, event: dict[str, Any], view: Any) -> None:
    if event.get("Source") == "aws.s3" and view is None:
        detail = json.loads(event["Detail"])
        if (version := _version.get()) is not None:
            detail["object"]["version-id"] = version
        if event["DetailType"] == "Object Deleted":
            detail["object"].pop("size", None)
            detail["object"].pop("etag", None)
        event = {**event, "Detail": json.dumps(detail)}
        eventbridge._archive_event(event)
    dispatch(event, view)
