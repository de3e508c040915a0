"""Asking the loop's endpoint."""

from __future__ import annotations

import csv
import io
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
    """
    Predict `rows`; an error of the model or the endpoint is an `Answered` with `error`, not an exception.

    Rows of text cells, as read from a CSV file, are sent as CSV, whose cells the contract gives their types; others as
    JSON, whose values must have them already.
    """
    content_type, body = _encoded(rows)
    options = {"TargetVariant": target_variant, "InferenceId": inference_id}
    try:
        response = deployment.runtime.invoke_endpoint(
            EndpointName=deployment["EndpointName"],
            ContentType=content_type,
            Accept="application/json",
            Body=body,
            **{name: value for name, value in options.items() if value},
        )
    except ClientError as error:
        code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
        variant = _variant_of(message) or error.response["ResponseMetadata"]["HTTPHeaders"].get(
            "x-amzn-invoked-production-variant"
        )
        return Answered(variant=variant, model_version=None, predictions=(), error=f"{code}: {message}")
    answer = json.loads(response["Body"].read())
    return Answered(
        variant=response.get("InvokedProductionVariant"),
        model_version=answer.get("model_version"),
        predictions=tuple(answer["predictions"]),
    )


def _encoded(rows: Sequence[Mapping[str, Any]]) -> tuple[str, bytes]:
    if not all(value is None or isinstance(value, str) for row in rows for value in row.values()):
        return "application/json", json.dumps({"instances": list(rows)}, default=str).encode()
    text = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return "text/csv", text.getvalue().encode()


def _variant_of(message: str) -> str | None:
    """A ModelError names the variant that failed: `Received server error (500) from green with message ...`."""
    before, found, after = message.partition(") from ")
    return after.split(" ", 1)[0] if found and before else None
