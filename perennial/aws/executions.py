"""State machine executions: started once by name, answered once by token."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

__all__ = ["Executions", "execution_arn"]

_ANSWERED = ("TaskTimedOut", "TaskDoesNotExist", "InvalidToken")


def execution_arn(machine_arn: str, name: str) -> str:
    """
    The ARN that an execution of this name has.

    >>> execution_arn("arn:aws:states:us-east-1:1:stateMachine:learn", "run")
    'arn:aws:states:us-east-1:1:execution:learn:run'
    """
    return f"{machine_arn.replace(':stateMachine:', ':execution:')}:{name}"


@dataclass(frozen=True)
class Executions:
    """Step Functions, as far as functions need it."""

    stepfunctions: Any

    def start(self, machine_arn: str, name: str, payload: Mapping[str, Any]) -> str:
        """
        The ARN of the execution of this name; starting it again is a success.

        StartExecution is idempotent for equal input while it runs; afterwards, or with other input, AWS answers
        ExecutionAlreadyExists, which is what we want too.
        """
        try:
            answer = self.stepfunctions.start_execution(
                stateMachineArn=machine_arn, name=name, input=json.dumps(payload, sort_keys=True)
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ExecutionAlreadyExists":
                raise
            return execution_arn(machine_arn, name)
        return str(answer["executionArn"])

    def running(self, arn: str) -> bool:
        """Whether an execution is under way; one that AWS doesn't know isn't."""
        try:
            return bool(self.stepfunctions.describe_execution(executionArn=arn)["status"] == "RUNNING")
        except ClientError as error:
            if error.response["Error"]["Code"] != "ExecutionDoesNotExist":
                raise
            return False

    def alive(self, arn: str) -> bool:
        """Whether an execution is under way or came to a good end; one that AWS doesn't know any more isn't."""
        try:
            status = self.stepfunctions.describe_execution(executionArn=arn)["status"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "ExecutionDoesNotExist":
                raise
            return False
        return status in ("RUNNING", "SUCCEEDED")

    def answer(self, task_token: str, output: Mapping[str, Any]) -> bool:
        """Gives a waiting task its result; False where nobody waits any more: answered before, or timed out."""
        try:
            self.stepfunctions.send_task_success(taskToken=task_token, output=json.dumps(output))
        except ClientError as error:
            if error.response["Error"]["Code"] not in _ANSWERED:
                raise
            return False
        return True
