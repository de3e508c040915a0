"""
CloudWatch metrics and alarms as AWS evaluates them, in place of ministack's.

A datapoint belongs to exactly the dimensions it was published with; alarms know M of N, missing data, percentiles,
metric math and composites; their actions fire. `evaluation`, `expression`, `rule` and `aggregate` are pure.
"""

from __future__ import annotations

from localcloud.context import Context

__all__ = ["install"]


def install(context: Context) -> None:
    """Serve CloudWatch, take in every service's metrics, and evaluate alarms while the server runs."""
    from localcloud.cloudwatch import plugin

    plugin.install(context)
