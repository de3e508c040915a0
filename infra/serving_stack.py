"""How models get traffic and lose it again: the rollout machine, its functions, guardrails, the rollback alarm."""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from functions import analyse_canary, finish_rollout, prepare_rollout, roll_back, smoke_test
from infra.data_stack import DataStack
from infra.guardrails import SLOTS, Guardrails
from infra.loop_stack import LoopStack
from infra.rollout_machine import RolloutParts, rollout_definition
from infra.sagemaker_role import SageMakerRole
from infra.settings import training_image_uri
from infra.state_machine import StateMachine
from infra.tear_down import TearDown
from perennial import events as said
from perennial import keys
from perennial.keys import Partition
from perennial.rollout import RolloutPolicy

__all__ = ["ServingStack", "rollout_seconds"]

_NAMES = "Rollouts name models and configurations from model versions; the deployment's name is known beforehand."
# For creating, updating and retiring instances, beyond all bakes.
DEPLOYING_SECONDS = 4 * 3600
# The alarm's call, and the machine's or a person's beside it.
RESERVED_ROLLBACKS = 2


class ServingStack(LoopStack):
    """
    Everything about the endpoint but the endpoint itself, which the rollout machine owns.

    CloudFormation would reset a canary's weights with each deployment if it owned the endpoint's configuration.
    """

    def __init__(self, scope: Construct, construct_id: str, *, data: DataStack, **stack: Any) -> None:
        base = data.foundation
        super().__init__(
            scope,
            construct_id,
            foundation=base,
            about="serving",
            common_settings={"endpoint_name": base.endpoint_name},
            **stack,
        )
        self.model_role = self._model_role()
        self.guardrails = Guardrails(self, "Guardrails", foundation=base)
        self._make_functions()
        self.machine = self._make_machine()
        self.roll_back_alarms = {slot: self._make_roll_back_alarm(slot) for slot in SLOTS}
        # SageMaker would make it, without a key and for ever. It goes after the endpoint whose containers write to it.
        endpoint_log = base.log_group(self, "EndpointLog", name=f"/aws/sagemaker/Endpoints/{base.endpoint_name}")
        tear_down = TearDown(self, "TearDown", foundation=base, machine=self.machine, endpoint=True)
        tear_down.resource.node.add_dependency(endpoint_log)
        self._output()

    def _model_role(self) -> SageMakerRole:
        role = SageMakerRole(self, "ModelRole", foundation=self.foundation, log_groups=["Endpoints/"])
        role.may_read(self.foundation.lake, "approved/*")
        role.may_write(self.foundation.lake, f"{keys.CAPTURE_PREFIX}*")
        return role

    def _make_functions(self) -> None:
        base = self.foundation
        endpoint = self._arn("endpoint", base.endpoint_name)

        prepare = self._function(
            "PrepareRollout",
            prepare_rollout,
            image_uri=training_image_uri(self, base.deployment.image_digest),
            tags=base.tags,
        )
        prepare.may(["sagemaker:DescribeEndpoint"], [endpoint])
        prepare.may_read(base.lake, "approved/*")
        prepare.may_read_catalog(Partition.MODELS)
        prepare.may_write_catalog(Partition.ROLLOUTS)
        prepare.may_write_catalog(Partition.LIVE, Partition.LOCKS, by=["PutItem"])
        prepare.may_announce(said.RolloutStarted)

        smoke = self._function("SmokeTest", smoke_test, timeout=120)
        smoke.may(["sagemaker:InvokeEndpoint"], [endpoint])
        smoke.may_read(base.lake, "reports/evaluations/*")

        analyse = self._function("AnalyseCanary", analyse_canary, alarm_names=self.guardrails.names)
        analyse.may(["sagemaker:DescribeEndpoint"], [endpoint])
        analyse.may_anywhere(
            ["cloudwatch:GetMetricData", "cloudwatch:DescribeAlarms"],
            because="CloudWatch gives neither metric data nor alarm states by resource; both are only read.",
        )
        analyse.may_read(base.lake, "reports/evaluations/*")
        analyse.may_read_catalog(Partition.LIVE)
        analyse.may_read_catalog(Partition.SCORES, Partition.PREDICTIONS, by=["Query"])
        analyse.may_write_catalog(Partition.ROLLOUTS, by=["UpdateItem"])
        analyse.may_announce(said.RolloutAdvanced, said.RolloutHeld)

        finish = self._function("FinishRollout", finish_rollout)
        finish.may(["sagemaker:DescribeEndpoint", "sagemaker:UpdateEndpointWeightsAndCapacities"], [endpoint])
        finish.may_write_catalog(Partition.ROLLOUTS, Partition.MODELS, by=["UpdateItem"])
        finish.may_write_catalog(Partition.LIVE, Partition.LOCKS, by=["PutItem"])
        finish.may_announce(said.ModelPromoted)

        back = self._function(
            "RollBack", roll_back, timeout=180, dead_letters=self.undelivered, alarm_names=self.guardrails.names
        )
        if base.deployment.reserve_rollback:
            raw: lambda_.CfnFunction = back.function.node.default_child  # type: ignore[assignment]
            raw.reserved_concurrent_executions = RESERVED_ROLLBACKS
        back.may(["sagemaker:DescribeEndpoint", "sagemaker:UpdateEndpointWeightsAndCapacities"], [endpoint])
        back.may_anywhere(
            ["cloudwatch:DescribeAlarms"],
            because="CloudWatch shows composite alarms to nobody who may ask after only some; they are only read.",
        )
        back.may_write_catalog(Partition.ROLLOUTS, Partition.MODELS, by=["UpdateItem"])
        back.may_write_catalog(Partition.LIVE, Partition.LOCKS, by=["PutItem"])
        back.may_announce(said.ModelRolledBack)

    def _make_machine(self) -> StateMachine:
        made = self.functions
        parts = RolloutParts(
            prepare=made["PrepareRollout"].version_arn,
            smoke_test=made["SmokeTest"].version_arn,
            analyse=made["AnalyseCanary"].version_arn,
            finish=made["FinishRollout"].version_arn,
            roll_back=made["RollBack"].version_arn,
            model_role=self.model_role.role_arn,
            partition=cdk.Aws.PARTITION,
            timeout_seconds=rollout_seconds(self.foundation.loop.rollout),
        )
        named = f"{self.foundation.resource_prefix}*"
        models, configs = self._arn("model", named), self._arn("endpoint-config", named)
        endpoint = self._arn("endpoint", self.foundation.endpoint_name)
        called = ("PrepareRollout", "SmokeTest", "AnalyseCanary", "FinishRollout", "RollBack")
        return StateMachine(
            self,
            "RolloutMachine",
            foundation=self.foundation,
            definition=rollout_definition(parts),
            calls=[made[name] for name in called],
            statements=[
                iam.PolicyStatement(
                    actions=["sagemaker:CreateModel", "sagemaker:DescribeModel", "sagemaker:AddTags"],
                    resources=[models],
                ),
                iam.PolicyStatement(
                    actions=["sagemaker:CreateEndpointConfig", "sagemaker:DescribeEndpointConfig", "sagemaker:AddTags"],
                    resources=[configs],
                ),
                # Creating and updating an endpoint also needs the permission on its configuration.
                iam.PolicyStatement(
                    actions=["sagemaker:CreateEndpoint", "sagemaker:UpdateEndpoint"], resources=[endpoint, configs]
                ),
                iam.PolicyStatement(
                    actions=[
                        *("sagemaker:DescribeEndpoint", "sagemaker:UpdateEndpointWeightsAndCapacities"),
                        # Only of one that failed, with no champion on it.
                        *("sagemaker:DeleteEndpoint", "sagemaker:AddTags"),
                    ],
                    resources=[endpoint],
                ),
                iam.PolicyStatement(
                    actions=["iam:PassRole"],
                    resources=[self.model_role.role_arn],
                    conditions={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
                ),
            ],
            because={models: _NAMES, configs: _NAMES},
        )

    def _make_roll_back_alarm(self, slot: str) -> cloudwatch.CompositeAlarm:
        """
        Any guardrail of the slot calls roll_back at once; the function knows which slot is the challenger's.

        One for each slot: an alarm acts when it changes, so one over both, in ALARM because of the champion, would say
        nothing when the challenger's guardrails are breached too.
        """
        alarm = cloudwatch.CompositeAlarm(
            self,
            f"RollBack{slot.title()}",
            # CDK would name it, unlike other alarms, without the hyphens that tell deployments apart.
            composite_alarm_name=f"{self.stack_name}-RollBack{slot.title()}",
            alarm_rule=self.guardrails.any_alarm(slot),
            alarm_description=f"Variant {slot} of {self.foundation.name} fails or is too slow: a challenger "
            "in it is rolled back now",
        )
        # The permission names this alarm as its source; LambdaAction sees to that.
        alarm.add_alarm_action(
            actions.SnsAction(self.foundation.topic), actions.LambdaAction(self.functions["RollBack"].function)
        )
        return alarm

    def _output(self) -> None:
        outputs = {
            "RolloutMachineArn": self.machine.arn,
            "EndpointName": self.foundation.endpoint_name,
            **{f"RollBack{slot.title()}AlarmName": alarm.alarm_name for slot, alarm in self.roll_back_alarms.items()},
            "RollBackFunction": self.functions["RollBack"].name,
        }
        for name, value in outputs.items():
            cdk.CfnOutput(self, name, value=value)


def rollout_seconds(policy: RolloutPolicy) -> int:
    """
    The longest that a rollout may take: every step baked as often as the policy allows, and time to deploy.

    >>> rollout_seconds(RolloutPolicy(steps=(0.5, 1.0), bake_seconds=600, max_holds=2)) == 2 * 3 * 600 + 4 * 3600
    True
    """
    return len(policy.shares) * (policy.max_holds + 1) * policy.bake_seconds + DEPLOYING_SECONDS
