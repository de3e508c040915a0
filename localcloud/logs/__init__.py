"""
CloudWatch Logs' search, closer to AWS: filter patterns mean what they say, and an answer goes on over pages.

pattern (what a filter pattern lets through), search (FilterLogEvents, which `aws logs tail` calls).
"""

from __future__ import annotations

from localcloud.context import Context


def install(context: Context) -> None:
    """Put our FilterLogEvents in place of ministack's."""
    from localcloud.logs import search

    search.install(context)
