"""
SageMaker that really runs: jobs as processes under the container contract, endpoints as servers behind a router.

`api` says which operations there are; `training` and `processing` run jobs; `endpoints` moves an endpoint from state
to state; `invocation` routes requests; `capture` keeps them; `container/` is what runs inside the "containers".
"""

from __future__ import annotations

from localcloud.context import Context

__all__ = ["install"]


def install(context: Context) -> None:
    """Serve SageMaker and its runtime, and run what they are told to run."""
    from localcloud.sagemaker import plugin

    plugin.install(context)
