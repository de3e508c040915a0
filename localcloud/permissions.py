"""
Permissions where ministack's enforcement needs the local cloud's help.

Traffic never leaves the loopback interface and is plain HTTP, so `aws:SecureTransport` is taken as true there: bucket
policies that refuse anything but TLS would lock everybody out otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar

from localcloud import condition_keys
from localcloud.context import Context
from localcloud.extension import replace, require


def install(context: Context) -> None:
    """Take loopback for a secure transport, and let policies see the condition keys that services send."""
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
    condition_keys.install()


def role_may(
    context: Context, role_arn: str, action: str, resource_arn: str, conditions: Mapping[str, str] | None = None
) -> bool:
    """
    Whether a role's own policies, together with the resource's, allow `action`, whoever asks.

    Parameters
    ----------
    conditions
        Condition keys in lower case, as the service that uses the role sends them.
    """
    from ministack.core import iam_evaluator

    require(iam_evaluator, "_gather_role_policies", "_resource_policy", "combine_resource_policy", "EvalContext")
    service, name = action.partition(":")[0], role_arn.rpartition("/")[2]
    asked = iam_evaluator.EvalContext(
        principal_arn=f"arn:aws:sts::{context.account}:assumed-role/{name}/localcloud",
        principal_type="AssumedRole",
        principal_account=context.account,
        action=action,
        resource_arn=resource_arn,
        region=context.region,
        service_context=dict(conditions or {}),
    )
    result = iam_evaluator.evaluate(asked, iam_evaluator._gather_role_policies(name, context.account))
    if found := iam_evaluator._resource_policy(service, resource_arn):
        result = iam_evaluator.combine_resource_policy(result, asked, *found, required=service == "kms")
    return bool(result.decision == "Allow")
