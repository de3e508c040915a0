"""What a person looks at, and what calls a person: dashboard, alarms on failures and dead letters, budget."""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_budgets as budgets
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.dashboard import LoopDashboard
from infra.data_stack import DataStack
from infra.learning_stack import LearningStack
from infra.serving_stack import ServingStack
from infra.settings import DEPLOYMENT_TAG
from infra.state_machine import StateMachine
from perennial.regions import WITHOUT_BUDGETS

__all__ = ["ObservabilityStack"]

FIVE_MINUTES = cdk.Duration.minutes(5)


class ObservabilityStack(cdk.Stack):
    """Nothing here changes what the loop does; deleting it only makes it silent."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        data: DataStack,
        learning: LearningStack,
        serving: ServingStack,
        **stack: Any,
    ) -> None:
        self.foundation = data.foundation
        name = self.foundation.name
        super().__init__(scope, construct_id, description=f"Perennial, {name}: observability", **stack)
        queues = {
            **{f"{key}DeadLetters": inbox.dead_letters for key, inbox in data.inboxes.items()},
            "DataUndelivered": data.undelivered,
            "ServingUndelivered": serving.undelivered,
            "LearningUndelivered": learning.undelivered,
        }
        alarms = [self._dead_letters(key, queue) for key, queue in queues.items()]
        machines = {
            "Learning": learning.machine,
            "Rollout": serving.machine,
            "LargeBatch": data.large_batches.machine,
        }
        alarms += [self._failures(key, machine) for key, machine in machines.items()]
        self._budget()
        self.dashboard = LoopDashboard(
            self,
            "Dashboard",
            data=data,
            learning=learning,
            serving=serving,
            alarms=[*alarms, *serving.roll_back_alarms.values()],
        )
        cdk.CfnOutput(self, "DashboardName", value=self.dashboard.dashboard_name)

    def _dead_letters(self, name: str, queue: sqs.IQueue) -> cloudwatch.Alarm:
        """A message that nobody could process is one too many."""
        metric = queue.metric_approximate_number_of_messages_visible(period=FIVE_MINUTES, statistic="Maximum")
        return self._alarm(name, metric, f"Messages of {self.foundation.name} wait for a person in {name}")

    def _failures(self, name: str, machine: StateMachine) -> cloudwatch.Alarm:
        """
        Failed, timed out or aborted: the machines end in Fail only when something unforeseen happened.

        A metric without a datapoint makes a sum without one: three that rarely come together would never ring.
        """
        failed = cloudwatch.MathExpression(
            expression="FILL(failed, 0) + FILL(timed_out, 0) + FILL(aborted, 0)",
            using_metrics={
                "failed": machine.machine.metric_failed(period=FIVE_MINUTES),
                "timed_out": machine.machine.metric_timed_out(period=FIVE_MINUTES),
                "aborted": machine.machine.metric_aborted(period=FIVE_MINUTES),
            },
            period=FIVE_MINUTES,
            label=f"{name} executions that ended badly",
        )
        return self._alarm(f"{name}Failed", failed, f"An execution of {name} of {self.foundation.name} failed")

    def _alarm(self, name: str, metric: cloudwatch.IMetric, description: str) -> cloudwatch.Alarm:
        alarm = cloudwatch.Alarm(
            self,
            name,
            metric=metric,
            threshold=0,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            evaluation_periods=1,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            alarm_description=description,
        )
        alarm.add_alarm_action(actions.SnsAction(self.foundation.topic))
        return alarm

    def _budget(self) -> None:
        """What the deployment costs by its tag, which an account must activate once as a cost allocation tag."""
        policy = self.foundation.loop.cost
        exists = cdk.CfnCondition(
            self,
            "HasBudgets",
            expression=cdk.Fn.condition_not(
                cdk.Fn.condition_or(*(cdk.Fn.condition_equals(cdk.Aws.REGION, region) for region in WITHOUT_BUDGETS))
            ),
        )
        budget = budgets.CfnBudget(
            self,
            "Budget",
            budget=budgets.CfnBudget.BudgetDataProperty(
                budget_type="COST",
                time_unit="MONTHLY",
                budget_limit=budgets.CfnBudget.SpendProperty(amount=policy.monthly_budget_usd, unit="USD"),
                # A deployment of the same name may be in another region, or in another account of the organization.
                cost_filters={
                    "TagKeyValue": [f"user:{DEPLOYMENT_TAG}${self.foundation.name}"],
                    "LinkedAccount": [cdk.Aws.ACCOUNT_ID],
                    "Region": [cdk.Aws.REGION],
                },
            ),
            notifications_with_subscribers=[
                budgets.CfnBudget.NotificationWithSubscribersProperty(
                    notification=budgets.CfnBudget.NotificationProperty(
                        notification_type=kind,
                        comparison_operator="GREATER_THAN",
                        threshold=share * 100,
                        threshold_type="PERCENTAGE",
                    ),
                    subscribers=[
                        budgets.CfnBudget.SubscriberProperty(
                            subscription_type="SNS", address=self.foundation.topic.topic_arn
                        )
                    ],
                )
                for kind, share in (("ACTUAL", policy.alarm_at_share), ("FORECASTED", 1.0))
            ],
        )
        budget.cfn_options.condition = exists
        none = "none: CloudFormation has no budgets in this region, so watch the loop's cost in Cost Explorer"
        said = cdk.Fn.condition_if("HasBudgets", f"{policy.monthly_budget_usd:g} USD a month", none)
        cdk.CfnOutput(self, "MonthlyBudget", value=cdk.Token.as_string(said))
