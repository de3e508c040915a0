"""
One learning run, from frozen dataset to promoted model, as a state machine.

Every task has its own way out, and all of them lead to a Conclude state: a run ends on record, whatever ended it. Until
the rollout machine takes over, nothing here touches the endpoint, so a failure leaves the champion alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from infra.states import TRANSIENT, State, States, call, caught, choose, fail, on, retry, task

__all__ = ["LearningParts", "learning_definition"]

# The longest that a machine lives is the longest approval and the longest rollout, one after the other.
SLACK_SECONDS = 86_400
FAILED = caught("ConcludeFailed")
# Optimised integrations of this age name what isn't modelled <Service>.AWS<Service>Exception, newer ones as SDKs do.
_UNSTARTED = (
    *("StepFunctions.AWSStepFunctionsException", "StepFunctions.SfnException"),
    "StepFunctions.SdkClientException",
)
# Who died while telling people keeps the claim for as long as a function may run: a minute.
MESSAGE_UNDER_WAY = "IdempotencyAlreadyInProgressError"


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningParts:
    """What the machine calls: ARNs, ready states, and how long a person and a rollout may take."""

    freeze: str
    judge: str
    register: str
    approve: str
    conclude: str
    roll_back: str
    rollout_machine: str
    train: State
    evaluate: State
    partition: str
    approval_seconds: int
    rollout_seconds: int
    jobs_seconds: int


def learning_definition(parts: LearningParts) -> State:
    """The machine's definition. Input: run_id, signal, as_of, reasons, hyperparameters; run_id names the execution."""
    return {
        "Comment": "One learning run: freeze, train, evaluate, judge, register, approve, roll out, conclude",
        "StartAt": "FreezeDataset",
        "TimeoutSeconds": parts.approval_seconds + parts.rollout_seconds + parts.jobs_seconds + SLACK_SECONDS,
        "States": {**_learn(parts), **_decide(parts), **_roll_out(parts), **_conclude(parts)},
    }


def _learn(parts: LearningParts) -> States:
    return {
        "FreezeDataset": call(
            parts.freeze,
            result="$.dataset",
            next_state="Train",
            timeout_seconds=930,
            catches=[caught("ConcludeDeclined", "DatasetTooSmall"), FAILED],
        ),
        "Train": parts.train,
        "Evaluate": parts.evaluate,
        "Judge": call(
            parts.judge,
            parameters={"run_id.$": "$.run_id", "dataset.$": "$.dataset", "training.$": "$.training"},
            result="$.verdict",
            next_state="WhetherItPassed",
            catches=[FAILED],
        ),
    }


def _decide(parts: LearningParts) -> States:
    passed = {"Variable": "$.verdict.verdict", "StringEquals": "passed"}
    approved = {"Variable": "$.approval.approved", "BooleanEquals": True}
    return {
        "WhetherItPassed": choose(on("Register", passed), otherwise="ConcludeRejected"),
        "Register": call(
            parts.register,
            parameters={
                "run_id.$": "$.run_id",
                "dataset.$": "$.dataset",
                "training.$": "$.training",
                "verdict.$": "$.verdict",
            },
            result="$.model",
            next_state="Approve",
            timeout_seconds=930,
            catches=[FAILED],
        ),
        "Approve": task(
            f"arn:{parts.partition}:states:::lambda:invoke.waitForTaskToken",
            parameters={
                "FunctionName": parts.approve,
                "Payload": {
                    "task_token.$": "$$.Task.Token",
                    "run_id.$": "$.run_id",
                    "dataset.$": "$.dataset",
                    "verdict.$": "$.verdict",
                    "model.$": "$.model",
                },
            },
            result="$.approval",
            next_state="WhetherApproved",
            timeout_seconds=parts.approval_seconds,
            # Not States.Timeout: a person who didn't answer in time isn't asked again.
            retries=[retry([MESSAGE_UNDER_WAY], seconds=10, attempts=12), retry(TRANSIENT[:-1])],
            catches=[caught("ConcludeUnanswered", "States.Timeout"), FAILED],
        ),
        "WhetherApproved": choose(on("RollOut", approved), otherwise="ConcludeDenied"),
    }


def _roll_out(parts: LearningParts) -> States:
    promoted = {"Variable": "$.rollout.Output.status", "StringEquals": "promoted"}
    return {
        "RollOut": task(
            f"arn:{parts.partition}:states:::states:startExecution.sync:2",
            parameters={
                "StateMachineArn": parts.rollout_machine,
                "Name.$": "$.run_id",
                "Input": {
                    "rollout_id.$": "$.run_id",
                    "run_id.$": "$.run_id",
                    "model_version.$": "$.model.model_version",
                    "model_data_url.$": "$.model.model_data_url",
                    "artifact_digest.$": "$.model.artifact_digest",
                    "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID.$": "$$.Execution.Id",
                },
            },
            selector={"Output.$": "$.Output"},
            result="$.rollout",
            next_state="WhetherPromoted",
            timeout_seconds=parts.rollout_seconds + 3600,
            retries=[retry(_UNSTARTED)],
            catches=[caught("MakeSafe")],
        ),
        "WhetherPromoted": choose(on("ConcludePromoted", promoted), otherwise="ConcludeRolledBack"),
        # The rollout machine rolls back by itself; if it died (its time ran out), somebody must.
        "MakeSafe": call(
            parts.roll_back,
            parameters={
                "rollout_id.$": "$.run_id",
                "model_version.$": "$.model.model_version",
                "cause": "failure",
                "error.$": "$.error",
            },
            result="$.made_safe",
            timeout_seconds=300,
            next_state="ConcludeFailed",
            retries=[retry(["EndpointBusy"], seconds=5, attempts=60, most_seconds=30)],
            catches=[FAILED],
        ),
    }


def _conclude(parts: LearningParts) -> States:
    def conclude(outcome: str, next_state: str = "Concluded", **more: Any) -> State:
        return call(
            parts.conclude,
            parameters={"run_id.$": "$.run_id", "outcome": outcome, "state.$": "$", **more},
            result="$.conclusion",
            next_state=next_state,
            catches=[caught("NotConcluded", into="$.conclude_error")],
        )

    return {
        "ConcludePromoted": conclude("promoted"),
        "ConcludeRolledBack": conclude("rolled back"),
        "ConcludeRejected": conclude("rejected"),
        "ConcludeDenied": conclude("denied"),
        "ConcludeUnanswered": conclude("denied"),
        "ConcludeDeclined": conclude("declined"),
        "ConcludeFailed": conclude("failed", next_state="RunFailed", **{"error.$": "$.error"}),
        "Concluded": {"Type": "Succeed"},
        "RunFailed": fail("LearningRunFailed", "The champion stays; the run's item in the catalog holds the error"),
        "NotConcluded": fail("NotConcluded", "The run ended, but its end could not be recorded"),
    }
