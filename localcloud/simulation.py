"""SimulatePrincipalPolicy with the context that the caller states: ministack takes one resource and no context."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from xml.sax.saxutils import escape

from localcloud.context import Context
from localcloud.extension import require

__all__ = ["install"]

_DECISIONS = {"Allow": "allowed", "Deny": "explicitDeny"}


def install(context: Context) -> None:
    """Answer instead of ministack."""
    from ministack.core import iam_evaluator
    from ministack.services import iam

    require(iam, "_IAM_HANDLERS", "_p", "_xml", "_error")
    require(iam_evaluator, "_gather_role_policies", "_gather_user_policies", "EvalContext", "evaluate")
    iam._IAM_HANDLERS["SimulatePrincipalPolicy"] = lambda asked: _simulate(context, asked)


def _simulate(context: Context, asked: Mapping[str, Any]) -> Any:
    from ministack.core import iam_evaluator
    from ministack.services import iam

    principal = iam._p(asked, "PolicySourceArn")
    kind, _, path = principal.rpartition(":")[2].partition("/")
    name = path.rpartition("/")[2]
    gather = {"role": iam_evaluator._gather_role_policies, "user": iam_evaluator._gather_user_policies}.get(kind)
    if gather is None:
        return iam._error(400, "InvalidInput", f"Invalid Entity Arn: {escape(principal)}", ns="iam")
    policies = gather(name, context.account)
    conditions = {
        iam._p(asked, f"ContextEntries.member.{number}.ContextKeyName").lower(): value
        for number, value in _members(iam, asked, "ContextEntries.member.{}.ContextKeyValues.member.1")
    }
    members = []
    for _, resource in list(_members(iam, asked, "ResourceArns.member.{}")) or [(0, "*")]:
        for _, action in _members(iam, asked, "ActionNames.member.{}"):
            question = iam_evaluator.EvalContext(
                principal_arn=principal,
                principal_type="User" if kind == "user" else "AssumedRole",
                principal_account=context.account,
                action=action,
                resource_arn=resource,
                region=context.region,
                service_context=conditions,
            )
            found = iam_evaluator.evaluate(question, policies).decision
            members.append(
                f"<member><EvalActionName>{escape(action)}</EvalActionName>"
                f"<EvalResourceName>{escape(resource)}</EvalResourceName>"
                f"<EvalDecision>{_DECISIONS.get(found, 'implicitDeny')}</EvalDecision></member>"
            )
    body = f"<EvaluationResults>{''.join(members)}</EvaluationResults><IsTruncated>false</IsTruncated>"
    result = f"<SimulatePrincipalPolicyResult>{body}</SimulatePrincipalPolicyResult>"
    return iam._xml(200, "SimulatePrincipalPolicyResponse", result, ns="iam")


def _members(iam: Any, asked: Mapping[str, Any], name: str) -> Iterator[tuple[int, str]]:
    number = 1
    while value := iam._p(asked, name.format(number)):
        yield number, str(value)
        number += 1
