"""
Operations on a log stream need their permission for the stream's ARN, not for its group's.

Source: service authorization reference, "Actions, resources, and condition keys for Amazon CloudWatch Logs" (read
2026-12): DeleteLogStream, GetLogEvents and PutLogEvents have the resource type log-stream.
"""

from __future__ import annotations

from localcloud import services
from localcloud.context import Context, Request

_ABOUT_STREAMS = dict.fromkeys(("DeleteLogStream", "GetLogEvents", "PutLogEvents"), "logs")


def install(context: Context) -> None:
    """Let the evaluator know."""

    def needed(request: Request) -> tuple[str, str]:
        namespace, asked = _ABOUT_STREAMS[request.action], request.json()
        group, stream = asked["logGroupName"], asked["logStreamName"]
        arn = f"arn:aws:logs:{context.region}:{context.account}:log-group:{group}:log-stream:{stream}"
        return f"{namespace}:{request.action}", arn

    services.authorize("logs", needed)
