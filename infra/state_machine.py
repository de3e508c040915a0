"""A Standard state machine from a definition written out as data: logged, traced, with a role of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra.acknowledged import acknowledge
from infra.foundation import Foundation
from infra.python_function import PythonFunction

__all__ = ["StateMachine"]

_VERSIONS = "Versions are numbered when published; executions go on calling those of the deployment that began them."
_OWN = "X-Ray and CloudWatch's log delivery, which Step Functions needs to trace and log, accept no resource."


class StateMachine(Construct):
    """
    A Standard state machine.

    Parameters
    ----------
    definition
        Amazon States Language as data; tokens in it are resolved at deployment.
    calls
        Functions whose published versions it calls, those of earlier deployments included.
    statements
        What else its role may do, beside writing logs and traces.
    holds_task_tokens
        Whether its input and output must stay out of its log: who reads a token may answer the task.
    because
        Why wildcards in `statements` are as narrow as they can be: resource, reason.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        foundation: Foundation,
        definition: dict[str, Any],
        calls: Sequence[PythonFunction],
        statements: Sequence[iam.PolicyStatement],
        because: dict[str, str] | None = None,
        holds_task_tokens: bool = False,
    ) -> None:
        super().__init__(scope, construct_id)
        self.log_group = foundation.log_group(self)
        self.role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal(
                "states.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": cdk.Aws.ACCOUNT_ID}}
            ),
            description=f"What the machine {construct_id} of {foundation.name} may do",
        )
        versions = [f"{function.arn}:*" for function in calls]
        self.role.add_to_principal_policy(iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=versions))
        for statement in statements:
            self.role.add_to_principal_policy(statement)
        for resource in versions:
            acknowledge(self.role, "AwsSolutions-IAM5[Resource::{}]", _VERSIONS, subject=resource)
        for resource, reason in (because or {}).items():
            acknowledge(self.role, "AwsSolutions-IAM5[Resource::{}]", reason, subject=resource)
        acknowledge(self.role, "AwsSolutions-IAM5[Resource::*]", _OWN)
        self.machine = sfn.StateMachine(
            self,
            "Machine",
            definition_body=sfn.DefinitionBody.from_string(cdk.Stack.of(self).to_json_string(definition)),
            state_machine_type=sfn.StateMachineType.STANDARD,
            role=self.role,
            tracing_enabled=True,
            logs=sfn.LogOptions(
                destination=self.log_group, level=sfn.LogLevel.ALL, include_execution_data=not holds_task_tokens
            ),
        )

    @property
    def arn(self) -> str:
        """Its ARN."""
        return self.machine.state_machine_arn

    @property
    def executions_arn(self) -> str:
        """The ARN pattern of its executions."""
        return cdk.Stack.of(self).format_arn(
            service="states",
            resource="execution",
            resource_name=f"{self.machine.state_machine_name}:*",
            arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
        )
