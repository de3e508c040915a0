"""
CloudWatch Logs' search, closer to AWS: filter patterns mean what they say, and an answer goes on over pages.

pattern (what a filter pattern lets through), search (FilterLogEvents, which `aws logs tail` calls), permissions (which
operations are about a stream).
"""

from __future__ import annotations

from localcloud.context import Context


def install(context: Context) -> None:
    """Put our FilterLogEvents in place of ministack's, and ask for the permissions that streams take."""
    from localcloud.logs import permissions, search

    search.install(context)
    permissions.install(context)
