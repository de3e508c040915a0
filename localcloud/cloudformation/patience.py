"""
DescribeStacks that answers when there is news.

The CDK CLI asks every five seconds, boto3's waiters every thirty. Here most stacks take a second, so the answer about
a stack in progress is held back until it is done, for a few seconds at most.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

from localcloud.extension import require

__all__ = ["held_back", "install"]

Handler = Callable[..., Awaitable[Any]]

_PATIENCE_SECONDS, _LOOK_SECONDS = 4.0, 0.05
_ASKED = re.compile(rb"(?:^|&)Action=DescribeStacks(?:&|$)")
# A stack under review waits for a person, not for us.
_BUSY = re.compile(rb"<StackStatus>(?!REVIEW_)\w+_IN_PROGRESS</StackStatus>")


def install() -> None:
    """Put the wait in front of ministack's handler."""
    from ministack import app

    require(app, "SERVICE_HANDLERS")
    app.SERVICE_HANDLERS["cloudformation"] = held_back(app.SERVICE_HANDLERS["cloudformation"])


def held_back(answer: Handler) -> Handler:
    """The handler, with its description of a stack in progress held back until there is news."""

    async def patiently(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
        deadline = time.monotonic() + (_PATIENCE_SECONDS if _ASKED.search(body) and b"StackName=" in body else 0.0)
        while True:
            status, answered, text = await answer(method, path, headers, body, query)
            if time.monotonic() >= deadline or not _BUSY.search(_bytes(text)):
                return status, answered, text
            await asyncio.sleep(_LOOK_SECONDS)

    return patiently


def _bytes(text: bytes | str) -> bytes:
    return text if isinstance(text, bytes) else text.encode()
