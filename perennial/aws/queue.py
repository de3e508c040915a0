"""A queue, as far as functions put something into one: those that wait for messages get them from Lambda."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Queue"]


@dataclass(frozen=True)
class Queue:
    """One SQS queue."""

    sqs: Any
    url: str

    def send(self, body: str) -> None:
        """Puts a message into it."""
        self.sqs.send_message(QueueUrl=self.url, MessageBody=body)
