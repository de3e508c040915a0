"""
The challenger must answer the evaluation's own rows as the evaluation did, before it takes any traffic.

Trigger: rollout machine. Raises SmokeTestFailed.

AWS actions
-----------
- endpoint: sagemaker:InvokeEndpoint
- lake bucket: s3:GetObject on `reports/evaluations/*` and the loop's file asset; s3:ListBucket
- keys of those: kms:Decrypt
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from functions import _shell
from functions._shell import Shell
from perennial import keys
from perennial.errors import SmokeTestFailed
from perennial.rollout import RolloutPlan

__all__ = ["Settings", "difference", "handler", "run"]


class Settings(_shell.Settings):
    """The environment of smoke_test."""

    endpoint_name: str


def run(event: dict[str, Any], shell: Shell[Settings]) -> dict[str, Any]:
    """Ask the challenger's own variant, whatever its weight, and compare every answer with the evaluation's."""
    plan = RolloutPlan.model_validate(event["plan"])
    smoke = shell.lake.get_json(f"{keys.evaluation_prefix(plan.model_version)}smoke.json")
    endpoint = shell.endpoint(shell.settings.endpoint_name)
    # A single variant takes no TargetVariant.
    variant = plan.challenger_slot if plan.champion_slot is not None else None
    try:
        answer = endpoint.predict(smoke["rows"], variant=variant)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in ("ThrottlingException", "ServiceUnavailable", "InternalFailure"):
            raise
        raise SmokeTestFailed(f"the challenger must answer. Got {code} instead.") from error
    found = difference(answer, smoke, plan.model_version)
    if found is not None:
        raise SmokeTestFailed(found)
    shell.logger.info({"event": "smoke test passed", "run_id": plan.rollout_id, "rows": len(smoke["rows"])})
    return {"passed": True, "rows": len(smoke["rows"])}


def difference(answer: Mapping[str, Any], smoke: Mapping[str, Any], model_version: str) -> str | None:
    """
    What is wrong with an answer, in a sentence without row values; None where it is as the evaluation's.

    >>> smoke = {"predictions": [{"prediction": 1, "score": 0.5}], "tolerance": 0.01}
    >>> difference({"model_version": "v", "predictions": [{"prediction": 1, "score": 0.505}]}, smoke, "v")
    >>> difference({"model_version": "v", "predictions": [{"prediction": 1, "score": 0.6}]}, smoke, "v")
    'row 0 must be answered as in the evaluation. Got another score instead.'
    """
    if answer.get("model_version") != model_version:
        return f"model {model_version} must answer. Got {answer.get('model_version')} instead."
    wanted, got = smoke["predictions"], answer.get("predictions", [])
    if len(got) != len(wanted):
        return f"{len(wanted)} rows must be answered. Got {len(got)} answers instead."
    for number, (expected, actual) in enumerate(zip(wanted, got, strict=True)):
        for field in ("prediction", "score"):
            if not _alike(expected.get(field), actual.get(field), float(smoke.get("tolerance", 1e-6))):
                return f"row {number} must be answered as in the evaluation. Got another {field} instead."
    return None


def _alike(expected: object, actual: object, tolerance: float) -> bool:
    if isinstance(expected, bool) or isinstance(actual, bool):
        return expected is actual
    if isinstance(expected, int | float) and isinstance(actual, int | float):
        return math.isclose(expected, actual, rel_tol=tolerance, abs_tol=tolerance)
    return expected == actual


handler = _shell.lambda_handler(Settings, run)
