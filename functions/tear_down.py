"""
What `cdk destroy` must remove but CloudFormation doesn't own: endpoint with its log group, configurations, models,
packages, objects.

Trigger: CloudFormation custom resource; answers its response URL itself. Only Delete does anything. Runs again by
itself when time runs short.

AWS actions
-----------
- buckets to empty: s3:ListBucketVersions, s3:DeleteObject, s3:DeleteObjectVersion, s3:BypassGovernanceRetention,
  s3:AbortMultipartUpload, s3:ListBucketMultipartUploads
- endpoint, configurations and models of the loop: sagemaker:DeleteEndpoint, DeleteEndpointConfig, DeleteModel,
  ListTags; on *: sagemaker:ListEndpointConfigs, ListModels
- the endpoint's log group: logs:DeleteLogGroup
- model package group: sagemaker:ListModelPackages (takes no resource), DeleteModelPackage
- itself: lambda:InvokeFunction
"""

from __future__ import annotations

import json
import urllib.request
from datetime import timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from functions import _shell
from functions._shell import Shell
from perennial import keys
from perennial.aws import remains
from perennial.aws.endpoint import DEPLOYMENT_TAG
from perennial.errors import EventInvalid

__all__ = ["Settings", "handler", "run"]

# Five more times ten minutes fit into the hour that CloudFormation waits for a custom resource.
MAX_CONTINUATIONS = 5


class Settings(_shell.Settings):
    """The environment of tear_down. Empty where the stack has nothing of the kind to remove."""

    bucket_names: tuple[str, ...] = ()
    endpoint_name: str = ""
    model_package_group: str = ""
    # Work stops here and goes on in a new invocation; must be well below the function's own time-out.
    budget_seconds: int = 600


def run(event: dict[str, Any], shell: Shell[Settings]) -> dict[str, str]:
    """Remove on Delete what CloudFormation doesn't own; answer the stack; say what was done."""
    if event.get("RequestType") != "Delete":
        return _answer(event, "SUCCESS", "nothing to do before the stack is deleted")
    settings = shell.settings
    deadline = shell.now() + timedelta(seconds=settings.budget_seconds)
    try:
        if settings.endpoint_name:
            remains.delete_endpoint(
                shell.clients.sagemaker,
                settings.endpoint_name,
                prefix=keys.resource_prefix(settings.loop_name, settings.stage),
                tag=(DEPLOYMENT_TAG, settings.deployment_name),
            )
            remains.delete_endpoint_logs(shell.clients.logs, settings.endpoint_name)
        if settings.model_package_group:
            remains.delete_packages(shell.clients.sagemaker, settings.model_package_group)
        emptied = all(
            remains.empty_bucket(shell.clients.s3, name, within=lambda: shell.now() < deadline)
            for name in settings.bucket_names
        )
    except (ClientError, BotoCoreError) as error:
        return _answer(event, "FAILED", str(error))
    if emptied:
        return _answer(event, "SUCCESS", "the loop's endpoint, models, packages and objects are gone")
    return _go_on(event, shell)


def _go_on(event: dict[str, Any], shell: Shell[Settings]) -> dict[str, str]:
    """The same request again, in a new invocation: CloudFormation waits an hour in all."""
    continuation = int(event.get("continuation", 0)) + 1
    if continuation > MAX_CONTINUATIONS:
        return _answer(event, "FAILED", "the buckets hold more than an hour can delete: delete the stack again")
    shell.clients.lambda_.invoke(
        FunctionName=shell.function_name,
        InvocationType="Event",
        Payload=json.dumps({**event, "continuation": continuation}).encode(),
    )
    return {"status": "CONTINUED", "reason": f"time ran short; invocation {continuation + 1} goes on"}


def _answer(event: dict[str, Any], status: str, reason: str) -> dict[str, str]:
    """
    PUT the outcome to CloudFormation's presigned URL.

    The URL signs an empty content type: any other one is refused by S3.
    """
    body = {
        "Status": status,
        "Reason": reason[:1000],
        "PhysicalResourceId": event.get("PhysicalResourceId") or f"tear-down-{event['LogicalResourceId']}",
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
    }
    if not event["ResponseURL"].startswith(("https://", "http://")):
        raise EventInvalid("the response URL must be http or https. Got another scheme instead.")
    request = urllib.request.Request(
        event["ResponseURL"], data=json.dumps(body).encode(), method="PUT", headers={"Content-Type": ""}
    )
    with urllib.request.urlopen(request, timeout=30):
        return {"status": status, "reason": reason}


handler = _shell.lambda_handler(Settings, run)
