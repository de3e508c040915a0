"""
What `cdk destroy` must remove but CloudFormation doesn't own, or can't delete: running executions, the endpoint,
configurations, models, packages, jobs' logs, and buckets, in which something may land while they are emptied.

Trigger: CloudFormation custom resource; answers its response URL itself. Only Delete does anything. Runs again by
itself when time runs short.

AWS actions
-----------
- executions of the stack's state machine: states:ListExecutions, StopExecution
- buckets: s3:PutBucketLogging, ListBucketVersions, ListBucketMultipartUploads, DeleteBucket; in them s3:DeleteObject,
  DeleteObjectVersion, BypassGovernanceRetention, AbortMultipartUpload
- endpoint, configurations and models of the loop: sagemaker:DescribeEndpoint, DeleteEndpoint, DeleteEndpointConfig,
  DeleteModel, ListTags; on *: sagemaker:ListEndpointConfigs, ListModels
- log streams of the loop's jobs: logs:DescribeLogStreams, DeleteLogStream
- model package group: sagemaker:ListModelPackages (takes no resource), DeleteModelPackage
- itself: lambda:InvokeFunction
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from functions import _shell
from functions._shell import Shell
from perennial import keys
from perennial.aws import remains
from perennial.aws.endpoint import DEPLOYMENT_TAG
from perennial.errors import EventInvalid

__all__ = ["Settings", "handler", "run"]

# Five more times ten minutes fit into the hour that CloudFormation waits for a custom resource.
MAX_CONTINUATIONS = 5
# An endpoint takes minutes to be created, changed or deleted.
LOOK_AGAIN_SECONDS = 5.0


class Settings(_shell.Settings):
    """The environment of tear_down. Empty where the stack has nothing of the kind to remove."""

    # In the order of their deletion: the bucket that the others' access logs go to is the last.
    bucket_names: tuple[str, ...] = ()
    state_machine_arn: str = ""
    endpoint_name: str = ""
    model_package_group: str = ""
    # Work stops here and goes on in a new invocation; must be well below the function's own time-out.
    budget_seconds: int = 600


def run(event: dict[str, Any], shell: Shell[Settings]) -> dict[str, str]:
    """Remove on Delete what CloudFormation doesn't; answer the stack, whatever happens; say what was done."""
    if event.get("RequestType") != "Delete":
        return _answer(event, "SUCCESS", "nothing to do before the stack is deleted")
    try:
        done = all(_remove(shell))
    except Exception as error:
        shell.logger.exception({"event": "not torn down", "error": type(error).__name__})
        return _answer(event, "FAILED", f"{type(error).__name__}: {error}")
    if done:
        return _answer(event, "SUCCESS", "the loop's executions, endpoint, models, packages, logs and objects are gone")
    return _go_on(event, shell)


def _remove(shell: Shell[Settings]) -> Iterator[bool]:
    """One thing after the other; False where time was up. Whatever writes is stopped before what it writes to goes."""
    settings, clients = shell.settings, shell.clients
    deadline = shell.now() + timedelta(seconds=settings.budget_seconds)
    prefix = keys.resource_prefix(settings.loop_name, settings.stage)

    def within() -> bool:
        return shell.now() < deadline

    if settings.state_machine_arn:
        yield remains.stop_executions(clients.stepfunctions, settings.state_machine_arn, within=within)
    if settings.endpoint_name:
        yield remains.delete_endpoint(
            clients.sagemaker, settings.endpoint_name, within=within, pause=lambda: shell.sleep(LOOK_AGAIN_SECONDS)
        )
        remains.delete_rollouts(clients.sagemaker, prefix=prefix, tag=(DEPLOYMENT_TAG, settings.deployment_name))
    if settings.model_package_group:
        remains.delete_packages(clients.sagemaker, settings.model_package_group)
    for name in settings.bucket_names:
        remains.stop_access_logs(clients.s3, name)
    for name in settings.bucket_names:
        yield remains.delete_bucket(clients.s3, name, within=within)
    if settings.bucket_names:
        remains.delete_job_logs(clients.logs, prefix=prefix)


def _go_on(event: dict[str, Any], shell: Shell[Settings]) -> dict[str, str]:
    """The same request again, in a new invocation: CloudFormation waits an hour in all."""
    continuation = int(event.get("continuation", 0)) + 1
    if continuation > MAX_CONTINUATIONS:
        return _answer(event, "FAILED", "an hour didn't suffice to delete it all: delete the stack again")
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
