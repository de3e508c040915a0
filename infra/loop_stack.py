"""What the stacks beside a loop's data stack have in common."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import aws_cdk as cdk
from constructs import Construct

from infra.foundation import Foundation
from infra.python_function import PythonFunction
from infra.queues import DeadLetters

__all__ = ["LoopStack"]


class LoopStack(cdk.Stack):
    """
    A stack on a loop's foundation, with functions of its own.

    Parameters
    ----------
    about
        What it is for, in one word.
    common_settings
        Fields that the `Settings` of all its functions have.

    Attributes
    ----------
    functions
        Its functions by construct id.
    undelivered
        Where events and schedules end that reached no function.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        foundation: Foundation,
        about: str,
        common_settings: dict[str, Any] | None = None,
        **stack: Any,
    ) -> None:
        super().__init__(scope, construct_id, description=f"Perennial, {foundation.name}: {about}", **stack)
        self.foundation = foundation
        self.functions: dict[str, PythonFunction] = {}
        self.undelivered = DeadLetters(self, "Undelivered")
        self._common_settings = common_settings or {}

    def _function(
        self,
        name: str,
        module: ModuleType,
        *,
        timeout: int = 60,
        dead_letters: DeadLetters | None = None,
        **settings: Any,
    ) -> PythonFunction:
        self.functions[name] = PythonFunction(
            self,
            name,
            module=module,
            foundation=self.foundation,
            settings={**self._common_settings, **settings},
            timeout_seconds=timeout,
            dead_letters=dead_letters,
        )
        return self.functions[name]

    def _arn(self, kind: str, name: str) -> str:
        """Of a resource of SageMaker."""
        return self.format_arn(service="sagemaker", resource=kind, resource_name=name)
