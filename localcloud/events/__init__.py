"""
EventBridge, closer to AWS: S3 events that name the version, targets that need permission, are tried again and end in a
dead-letter queue, and schedules whose time can be scaled.

delivery (one payload to one target), targets (rules), clock (when a schedule is due), schedules (rules that have one,
and EventBridge Scheduler), s3 (what S3 says of an object).
"""

from __future__ import annotations

from localcloud.context import Context


def install(context: Context) -> None:
    """Put our delivery and our clock in place of ministack's."""
    from localcloud.events import s3, schedules, targets
    from localcloud.events.delivery import Courier

    courier = Courier(context)
    s3.install(context)
    targets.install(context, courier)
    schedules.install(context, courier)
