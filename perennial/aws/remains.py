"""What is left of a loop when its stacks go: deleted page by page, safe to be run again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from perennial.aws.endpoint import missing

__all__ = ["delete_endpoint", "delete_endpoint_logs", "delete_packages", "empty_bucket"]


def delete_endpoint(sagemaker: Any, name: str, *, prefix: str, tag: tuple[str, str]) -> None:
    """
    Deletes an endpoint, then the configurations and models that a deployment's rollouts made.

    Their names start with the deployment's prefix; what somebody else named so lacks the tag, and stays.
    """
    _quietly(partial(sagemaker.delete_endpoint, EndpointName=name))
    key, deployment = tag
    for config, arn in _named(sagemaker, "list_endpoint_configs", "EndpointConfigs", "EndpointConfig", prefix):
        if _tag(sagemaker, arn, key) == deployment:
            _quietly(partial(sagemaker.delete_endpoint_config, EndpointConfigName=config))
    for model, arn in _named(sagemaker, "list_models", "Models", "Model", prefix):
        if _tag(sagemaker, arn, key) == deployment:
            _quietly(partial(sagemaker.delete_model, ModelName=model))


def delete_endpoint_logs(logs: Any, name: str) -> None:
    """
    Deletes the log group of an endpoint's containers, which SageMaker makes and nobody else removes.

    On AWS a container that is still going may make it again; it is empty then.
    """
    try:
        logs.delete_log_group(logGroupName=f"/aws/sagemaker/Endpoints/{name}")
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


def empty_bucket(s3: Any, bucket: str, *, within: Callable[[], bool]) -> bool:
    """
    Deletes every version, delete marker and unfinished upload; False where `within` said that time is up.

    Object Lock in governance mode is bypassed; what compliance mode holds stays, and S3's refusal is raised.
    """
    try:
        uploads = list(s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket))
        pages = s3.get_paginator("list_object_versions").paginate(Bucket=bucket)
        for upload in [upload for page in uploads for upload in page.get("Uploads", [])]:
            s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        for page in pages:
            if not within():
                return False
            _delete_versions(s3, bucket, [*page.get("Versions", []), *page.get("DeleteMarkers", [])])
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchBucket":
            raise
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
