"""What is left of a loop when its stacks go: deleted page by page, safe to be run again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from perennial.aws.endpoint import missing
from perennial.failures import ENDPOINT_CHANGING

__all__ = [
    "Within",
    "delete_bucket",
    "delete_endpoint",
    "delete_job_logs",
    "delete_packages",
    "delete_rollouts",
    "stop_access_logs",
    "stop_executions",
]

Within = Callable[[], bool]
_JOB_LOGS = ("/aws/sagemaker/TrainingJobs", "/aws/sagemaker/ProcessingJobs")


def stop_executions(stepfunctions: Any, machine_arn: str, *, within: Within) -> bool:
    """Ends what a state machine still runs, jobs that it waits for included; False where time was up."""
    while within():
        try:
            running = stepfunctions.list_executions(stateMachineArn=machine_arn, statusFilter="RUNNING")["executions"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "StateMachineDoesNotExist":
                raise
            return True
        if not running:
            return True
        for execution in running:
            stepfunctions.stop_execution(
                executionArn=execution["executionArn"], error="TornDown", cause="The loop's stack is being deleted"
            )
    return False


def delete_endpoint(sagemaker: Any, name: str, *, within: Within, pause: Callable[[], object]) -> bool:
    """Deletes an endpoint as soon as SageMaker isn't changing it, and waits until it is gone; False: time was up."""
    while within():
        try:
            status = sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"]
            if status not in ENDPOINT_CHANGING:
                sagemaker.delete_endpoint(EndpointName=name)
        except ClientError as error:
            if not missing(error):
                raise
            return True
        pause()
    return False


def delete_rollouts(sagemaker: Any, *, prefix: str, tag: tuple[str, str]) -> None:
    """
    Deletes the configurations and models that a deployment's rollouts made.

    Their names start with the deployment's prefix; what somebody else named so lacks the tag, and stays.
    """
    key, deployment = tag
    for config, arn in _named(sagemaker, "list_endpoint_configs", "EndpointConfigs", "EndpointConfig", prefix):
        if _tag(sagemaker, arn, key) == deployment:
            _quietly(partial(sagemaker.delete_endpoint_config, EndpointConfigName=config))
    for model, arn in _named(sagemaker, "list_models", "Models", "Model", prefix):
        if _tag(sagemaker, arn, key) == deployment:
            _quietly(partial(sagemaker.delete_model, ModelName=model))


def delete_job_logs(logs: Any, *, prefix: str) -> None:
    """Deletes the log streams of a deployment's jobs, in the groups that all jobs of an account share."""
    for group in _JOB_LOGS:
        try:
            pages = logs.get_paginator("describe_log_streams").paginate(logGroupName=group, logStreamNamePrefix=prefix)
            for stream in [stream for page in pages for stream in page["logStreams"]]:
                logs.delete_log_stream(logGroupName=group, logStreamName=stream["logStreamName"])
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise


def delete_packages(sagemaker: Any, group: str) -> None:
    """Deletes every package of a model package group, which itself is CloudFormation's."""
    try:
        pages = list(sagemaker.get_paginator("list_model_packages").paginate(ModelPackageGroupName=group))
    except ClientError as error:
        if missing(error):
            return
        raise
    for arn in [package["ModelPackageArn"] for page in pages for package in page["ModelPackageSummaryList"]]:
        _quietly(partial(sagemaker.delete_model_package, ModelPackageName=arn))


def stop_access_logs(s3: Any, bucket: str) -> None:
    """Lets S3 write no more access logs of a bucket; what it has noted already may still come, for hours."""
    try:
        s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={})
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchBucket":
            raise


def delete_bucket(s3: Any, bucket: str, *, within: Within) -> bool:
    """
    Deletes a bucket with every version, delete marker and unfinished upload; False where time was up.

    Captured requests and access logs are delivered late, so the bucket is emptied again until S3 takes its deletion;
    what comes after that has nowhere to go. Object Lock in governance mode is bypassed; what compliance mode holds
    stays, and S3's refusal is raised.
    """
    while within():
        try:
            if not _empty(s3, bucket, within=within):
                return False
            s3.delete_bucket(Bucket=bucket)
        except ClientError as error:
            if error.response["Error"]["Code"] == "BucketNotEmpty":
                continue
            if error.response["Error"]["Code"] != "NoSuchBucket":
                raise
        return True
    return False


def _empty(s3: Any, bucket: str, *, within: Within) -> bool:
    uploads = list(s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket))
    pages = s3.get_paginator("list_object_versions").paginate(Bucket=bucket)
    for upload in [upload for page in uploads for upload in page.get("Uploads", [])]:
        s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    for page in pages:
        if not within():
            return False
        _delete_versions(s3, bucket, [*page.get("Versions", []), *page.get("DeleteMarkers", [])])
    return True


def _delete_versions(s3: Any, bucket: str, versions: list[dict[str, Any]]) -> None:
    if not versions:
        return
    objects = [{"Key": version["Key"], "VersionId": version["VersionId"]} for version in versions]
    answer = s3.delete_objects(
        Bucket=bucket, Delete={"Objects": objects, "Quiet": True}, BypassGovernanceRetention=True
    )
    refused = answer.get("Errors", [])
    if refused:
        raise ClientError({"Error": {"Code": refused[0]["Code"], "Message": refused[0]["Message"]}}, "DeleteObjects")


def _named(sagemaker: Any, operation: str, plural: str, noun: str, prefix: str) -> Iterator[tuple[str, str]]:
    pages = list(sagemaker.get_paginator(operation).paginate(NameContains=prefix))
    for entry in [entry for page in pages for entry in page[plural]]:
        if entry[f"{noun}Name"].startswith(prefix):
            yield entry[f"{noun}Name"], entry[f"{noun}Arn"]


def _tag(sagemaker: Any, arn: str, key: str) -> str | None:
    tags = sagemaker.list_tags(ResourceArn=arn)["Tags"]
    return next((tag["Value"] for tag in tags if tag["Key"] == key), None)


def _quietly(delete: Callable[[], object]) -> None:
    """Deletes what may be gone already: the second run of a teardown finds less than the first."""
    try:
        delete()
    except ClientError as error:
        if not missing(error):
            raise
