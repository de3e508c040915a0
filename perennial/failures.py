"""
Why something failed, in sentences for the ledger, for messages and for `perennial status`.

Step Functions hands on an error's name and its cause. The cause is text, or JSON: a function's error, the description
of a job or of an execution, inside one another where machines call machines. What a person should read is at the
bottom.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["ENDPOINT_CHANGING", "rollout_reasons", "sentence"]

_LONGEST = 500
# "(Service: SageMaker, Status Code: 400, Request ID: ...)" of an SDK's error: for AWS's support, not for a reason.
_SDK_SUFFIX = re.compile(r"\s*\(Service: [^()]*(?:\([^()]*\)[^()]*)*\)\s*(?:\(SDK Attempt Count: \d+\))?\s*$")
# While SageMaker does one of these it takes neither a change nor a deletion.
ENDPOINT_CHANGING = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")


def sentence(error: Mapping[str, Any]) -> str:
    """
    What a caught error says; its name where it says nothing.

    Parameters
    ----------
    error
        `Error` and `Cause` as Step Functions' Catch gives them.

    >>> sentence({"Error": "DatasetTooSmall", "Cause": '{"errorMessage": "3 rows"}'})
    'DatasetTooSmall: 3 rows'
    >>> sentence({"Error": "States.TaskFailed", "Cause": '{"FailureReason": "AlgorithmError: no such column"}'})
    'AlgorithmError: no such column'
    >>> sentence({"Error": "SageMaker.ResourceLimitExceededException", "Cause": "0 instances (Service: SageMaker)"})
    'SageMaker.ResourceLimitExceededException: 0 instances'
    >>> sentence({})
    'unknown error'
    """
    name = str(error.get("Error") or error.get("error") or "")
    said = _said(error.get("Cause") or error.get("cause") or "")
    # The errors of Step Functions itself say that a task failed, which is known by now.
    named = said if name.startswith("States.") and said else ": ".join(part for part in (name, said) if part)
    return named[:_LONGEST] or "unknown error"


def _said(cause: object) -> str:
    if isinstance(cause, str):
        try:
            parsed = json.loads(cause)
        except ValueError:
            parsed = None
        if not isinstance(parsed, dict):
            return " ".join(_SDK_SUFFIX.sub("", cause).split())
        cause = parsed
    if not isinstance(cause, dict):
        return ""
    if cause.get("errorMessage") or cause.get("FailureReason"):
        return " ".join(str(cause.get("errorMessage") or cause.get("FailureReason")).split())
    if "Cause" in cause or "cause" in cause:
        return sentence(cause)
    return ""


def rollout_reasons(state: Mapping[str, Any]) -> tuple[str, ...]:
    """
    Why a rollout failed, the first refusal first, from all that its machine has collected.

    Parameters
    ----------
    state
        `refused`: SageMaker's refusal of a model, a configuration or an endpoint, if it mattered; `endpoint.described`:
        what DescribeEndpoint said last; `settling`: how often it was asked; `error`: what was caught last; `plan`.

    >>> described = {"EndpointStatus": "Failed", "FailureReason": "no ping"}
    >>> rollout_reasons({"endpoint": {"described": described}, "error": {}})
    ('endpoint: Failed: no ping',)
    """
    found = [
        *([sentence(state["refused"])] if state.get("refused") else []),
        *_endpoint((state.get("endpoint") or {}).get("described") or {}, state),
        *([sentence(state["error"])] if state.get("error") else []),
    ]
    return tuple(dict.fromkeys(found)) or ("failure: the machine gave up and recorded no error",)


def _endpoint(described: Mapping[str, Any], state: Mapping[str, Any]) -> list[str]:
    status = described.get("EndpointStatus")
    wanted = (state.get("plan") or {}).get("endpoint_config_name")
    config = described.get("EndpointConfigName")
    if described.get("FailureReason"):
        return [f"endpoint: {status}: {' '.join(str(described['FailureReason']).split())}"[:_LONGEST]]
    if status in ENDPOINT_CHANGING:
        looks = (state.get("settling") or {}).get("looks", 0)
        return [f"endpoint: still {status} when it was looked at {looks} times"]
    if status == "InService" and wanted and config != wanted:
        return [f"endpoint: it serves configuration {config}, not {wanted}: SageMaker took the update back"]
    return [] if status in (None, "InService") else [f"endpoint: {status}"]
