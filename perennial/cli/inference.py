"""Asking the loop's endpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from perennial.cli.deployment import Deployment

__all__ = ["Answered", "ask"]


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer of the endpoint: from which variant, with what, or which error."""

    variant: str | None
    model_version: str | None
    predictions: tuple[Mapping[str, Any], ...]
    error: str | None = None


def ask(
    deployment: Deployment,
    rows: Sequence[Mapping[str, Any]],
    *,
    target_variant: str | None = None,
    inference_id: str | None = None,
) -> Answered:
    """Predict `rows`; an error of the model or the endpoint is an `Answered` with `error`, not an exception."""
    options = {"TargetVariant": target_variant, "InferenceId": inference_id}
    try:
        response = deployment.runtime.invoke_endpoint(
            EndpointName=deployment["EndpointName"],
            ContentType="application/json",
            Accept="application/json",
            Body=json.dumps({"instances": list(rows)}, default=str).encode(),
            **{name: value for name, value in options.items() if value},
        )
    except ClientError as error:
        code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
        variant = _variant_of(message) or error.response["ResponseMetadata"]["HTTPHeaders"].get(
            "x-amzn-invoked-production-variant"
        )
        return Answered(variant=variant, model_version=None, predictions=(), error=f"{code}: {message}")
    body = json.loads(response["Body"].read())
    return Answered(
        variant=response.get("InvokedProductionVariant"),
        model_version=body.get("model_version"),
        predictions=tuple(body["predictions"]),
    )


def _variant_of(message: str) -> str | None:
    """A ModelError names the variant that failed: `Received server error (500) from green with message ...`."""
    before, found, after = message.partition(") from ")
    return after.split(" ", 1)[0] if found and before else None
