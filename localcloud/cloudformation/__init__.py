"""CloudFormation types that CDK emits and ministack does not know; an unknown type still fails the stack."""

from __future__ import annotations

from localcloud.context import Context


def install(context: Context) -> None:
    """Register the types."""
    from localcloud.cloudformation import archive, budget, completion, patience

    context.register_resource("AWS::Events::Archive", archive.resource(context))
    context.register_resource("AWS::Budgets::Budget", budget.resource(context))
    completion.install(context)
    patience.install()
