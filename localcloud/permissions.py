"""
Permissions where ministack's enforcement needs the local cloud's help.

Traffic never leaves the loopback interface and is plain HTTP, so `aws:SecureTransport` is taken as true there: bucket
policies that refuse anything but TLS would lock everybody out otherwise.
"""

from __future__ import annotations

from typing import Any

from localcloud.context import Context
from localcloud.extension import replace, require


def install(context: Context) -> None:
    """Take loopback for a secure transport."""
    from ministack import app
    from ministack.core import iam_evaluator

    require(app, "AUTH")
    if not app.AUTH:
        raise RuntimeError("ministack must enforce IAM (AUTH=true). Got AUTH=false instead")
    pin = replace(app, "pin_request_origin", lambda address, secure: pin(address, True))
    # Checks that the fabric makes for itself (an event's target, say) start from this default.
    default: tuple[str, bool] = iam_evaluator._request_origin.get()
    iam_evaluator._request_origin.set((default[0], True))
    _guard_against_renames(iam_evaluator)


def _guard_against_renames(module: Any) -> None:
    require(module, "_request_origin", "enforce", "resolve_principal")
