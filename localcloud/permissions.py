"""
Permissions where ministack's enforcement needs the local cloud's help.

Traffic never leaves the loopback interface and is plain HTTP, so `aws:SecureTransport` is taken as true there: bucket
policies that refuse anything but TLS would lock everybody out otherwise.
"""

from __future__ import annotations

from contextvars import ContextVar

from localcloud.context import Context
from localcloud.extension import replace, require


def install(context: Context) -> None:
    """Take loopback for a secure transport."""
    from ministack import app
    from ministack.core import iam_evaluator

    require(app, "AUTH")
    require(iam_evaluator, "_request_origin", "EvalContext", "enforce")
    if not app.AUTH:
        raise RuntimeError("ministack must enforce IAM (AUTH=true). Got AUTH=false instead")
    # Checks that the fabric makes outside of a request (an event's target, say) see this default.
    secure: ContextVar[tuple[str, bool]] = ContextVar("ministack_request_origin", default=("127.0.0.1", True))
    replace(iam_evaluator, "_request_origin", secure)
    pin = replace(app, "pin_request_origin", lambda address, _: pin(address, True))
