"""
Lambda, closer to AWS: isolated workers, true error types, foreign bundles, logs, metrics from logs, destinations.

bundle (code unpacked once, foreign binaries replaced), bootstrap (what runs inside a worker), worker (its other end),
invoke (one invocation and what AWS writes about it), embedded_metrics (EMF), asynchronous (queue, retries, DLQ,
destinations).
"""

from __future__ import annotations

from localcloud.context import Context


def install(context: Context) -> None:
    """Put our executor, log writer and asynchronous invocation in place of ministack's."""
    from localcloud.lambdas import asynchronous, invoke

    invoke.install(context)
    asynchronous.install(context)
