"""What a person may ask of a deployed loop: learn now, roll back, approve, reject, pause."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from perennial.cli.deployment import Deployment
from perennial.errors import PerennialError

__all__ = ["ask_retraining", "invoke", "roll_back"]


def invoke(deployment: Deployment, output: str, payload: Mapping[str, Any]) -> Any:
    """
    Call the function that the stacks' output `output` names and give back what it returns.

    Raises
    ------
    PerennialError
        The function failed; the message is its own.
    """
    response = deployment.functions.invoke(FunctionName=deployment[output], Payload=json.dumps(payload).encode())
    answer = json.loads(response["Payload"].read() or b"null")
    if response.get("FunctionError"):
        raise PerennialError(f"{deployment[output]} failed: {answer.get('errorType')}: {answer.get('errorMessage')}")
    return answer


def ask_retraining(deployment: Deployment, reason: str, hyperparameters: Mapping[str, str] | None = None) -> Any:
    """Ask the loop to learn now; the trigger's policy still decides, and says why when it declines."""
    payload = {"signal": "manual", "reason": reason, "hyperparameters": dict(hyperparameters or {})}
    return invoke(deployment, "DecideRetrainingFunction", payload)


def roll_back(deployment: Deployment, reason: str) -> Any:
    """Give all traffic to the champion now."""
    return invoke(deployment, "RollBackFunction", {"cause": "person", "reason": reason})
