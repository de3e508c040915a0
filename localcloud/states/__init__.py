"""
Step Functions, run as AWS runs it.

ministack keeps state machines and executions, and evaluates JSONata, JSONPath and intrinsic functions; this package
runs them: definition (what CreateStateMachine refuses), paths (strict JSONPath), data (what goes in and out of a
state), choice, run (one execution and how it ends), interpreter (from state to state), task (attempts, retries,
timeouts), composite (Parallel, Map), integrations (what a Resource calls, as the state machine's role), sdk (names
and errors of that), jobs (.sync), tokens (.waitForTaskToken), history, api (start, stop, resume).
"""

from __future__ import annotations

from localcloud.context import Context


def install(context: Context) -> None:
    """Put our interpreter in place of ministack's."""
    from localcloud.states import api, definition, paths, tokens

    paths.install(context)
    definition.install(context)
    tokens.install(context)
    api.install(context)
