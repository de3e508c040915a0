"""
SageMaker's training and processing jobs as states, with the permissions that running them synchronously takes.

The constructs of aws-cdk-lib for these tasks either lack what we need (manifest channels, tags, spot checkpoints) or
render resources that don't exist, so the states are written out here and checked against botocore's shapes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.packaging import build_source_bundle
from infra.states import State, retry, task
from perennial.instance_types import has_local_storage
from perennial.project import Loop

__all__ = ["SourceBundle", "manifest", "prefix", "processing_step", "sync_statements", "training_step", "volume_key"]

INPUT = "/opt/ml/processing/input"
OUTPUT = "/opt/ml/processing/output"
SYNC_RULES = {
    "Training": "StepFunctionsGetEventsForSageMakerTrainingJobsRule",
    "Processing": "StepFunctionsGetEventsForSageMakerProcessingJobsRule",
}
# What another try can cure. A job that failed by itself (States.TaskFailed) would fail again, at full price.
RETRIED = ("SageMaker.AmazonSageMakerException", "SageMaker.ThrottlingException", "SageMaker.SdkClientException")


class SourceBundle(Construct):
    """
    sourcedir.tar.gz and bootstrap.py of a loop, side by side under one prefix of the deployment's asset bucket.

    Ordinary assets are single objects named by their hash; a processing job gets both files as one input, so here
    the hash names the prefix, and the files keep their names.

    Attributes
    ----------
    prefix_uri, archive_uri
        S3 URIs of the prefix (with its slash) and of the archive.
    objects_arn
        ARN pattern of what is under the prefix.
    """

    def __init__(self, scope: Construct, construct_id: str, *, loop: Loop) -> None:
        super().__init__(scope, construct_id)
        folder = build_source_bundle(loop.name)
        archive = self._asset("Archive", folder.name, folder / "sourcedir.tar.gz")
        self._asset("Bootstrap", folder.name, folder / "bootstrap.py")
        stack = cdk.Stack.of(self)
        self.prefix_uri = f"s3://{archive.bucket_name}/{folder.name}/"
        self.archive_uri = f"s3://{archive.bucket_name}/{archive.object_key}"
        self.bucket_arn = stack.format_arn(
            service="s3", resource=archive.bucket_name, region="", account="", arn_format=cdk.ArnFormat.NO_RESOURCE_NAME
        )
        self.objects_arn = f"{self.bucket_arn}/{folder.name}/*"

    def _asset(self, construct_id: str, folder: str, path: Any) -> cdk.FileAssetLocation:
        stack = cdk.Stack.of(self)
        staged = cdk.AssetStaging(self, construct_id, source_path=str(path))
        stem = path.name.removesuffix(path.suffix)
        return stack.synthesizer.add_file_asset(
            source_hash=f"{folder}/{stem}",
            file_name=staged.relative_staged_path(stack),
            packaging=cdk.FileAssetPackaging.FILE,
        )


def volume_key(instance_type: str, key_arn: str) -> dict[str, str]:
    """The key of a job's volume; none where the instance has one of its own, for which SageMaker takes no key."""
    return {} if has_local_storage(instance_type) else {"VolumeKmsKeyId": key_arn}


def prefix(uri: str) -> dict[str, Any]:
    """An S3 data source: everything under a prefix, or one object; `uri` ends in `.$` syntax's path or is a URI."""
    return _source(uri, "S3Prefix")


def manifest(uri: str) -> dict[str, Any]:
    """An S3 data source: the objects that a manifest lists."""
    return _source(uri, "ManifestFile")


def _source(uri: str, kind: str) -> dict[str, Any]:
    key = "S3Uri.$" if uri.startswith("$") else "S3Uri"
    return {"S3DataType": kind, key: uri}


def training_step(
    partition: str,
    *,
    image_uri: str,
    role_arn: str,
    key_arn: str,
    loop: Loop,
    channels: Mapping[str, Mapping[str, Any]],
    tags: Sequence[Mapping[str, str]],
    result: str,
    next_state: str,
    catches: Sequence[State],
) -> State:
    """
    createTrainingJob.sync of `$.dataset`.

    Parameters
    ----------
    channels
        S3 data sources by channel name.
    """
    training = loop.training
    seconds = training.max_runtime_seconds
    stopping: dict[str, Any] = {"MaxRuntimeInSeconds": seconds}
    if training.spot:
        stopping["MaxWaitTimeInSeconds"] = 2 * seconds
    parameters: dict[str, Any] = {
        "TrainingJobName.$": "$.dataset.training_job_name",
        "AlgorithmSpecification": {"TrainingImage": image_uri, "TrainingInputMode": "File"},
        "RoleArn": role_arn,
        "HyperParameters.$": "$.dataset.hyperparameters",
        "InputDataConfig": [
            {
                "ChannelName": name,
                "DataSource": {"S3DataSource": {**source, "S3DataDistributionType": "FullyReplicated"}},
                "InputMode": "File",
            }
            for name, source in channels.items()
        ],
        "OutputDataConfig": {"S3OutputPath.$": "$.dataset.model_output_uri", "KmsKeyId": key_arn},
        "ResourceConfig": {
            "InstanceType": training.instance_type,
            "InstanceCount": 1,
            "VolumeSizeInGB": training.volume_gb,
            **volume_key(training.instance_type, key_arn),
        },
        "StoppingCondition": stopping,
        "EnableManagedSpotTraining": training.spot,
        "EnableNetworkIsolation": not training.network,
        "EnableInterContainerTrafficEncryption": True,
        "Tags": list(tags),
    }
    return task(
        f"arn:{partition}:states:::sagemaker:createTrainingJob.sync",
        parameters=parameters,
        result=result,
        next_state=next_state,
        timeout_seconds=(2 if training.spot else 1) * seconds + 1800,
        retries=[retry(RETRIED, seconds=30, attempts=4, most_seconds=600)],
        catches=catches,
    )


def processing_step(
    partition: str,
    *,
    image_uri: str,
    role_arn: str,
    key_arn: str,
    loop: Loop,
    inputs: Mapping[str, Mapping[str, Any]],
    entry_point: Sequence[str],
    output_uri_path: str,
    tags: Sequence[Mapping[str, str]],
    result: str,
    next_state: str,
    catches: Sequence[State],
) -> State:
    """
    createProcessingJob.sync of `$.dataset`.

    Parameters
    ----------
    inputs
        S3 data sources by input name; each is at /opt/ml/processing/input/<name>.
    output_uri_path
        Where in the state the S3 URI of the output is.
    """
    parameters: dict[str, Any] = {
        "ProcessingJobName.$": "$.dataset.evaluation_job_name",
        "AppSpecification": {"ImageUri": image_uri, "ContainerEntrypoint": list(entry_point)},
        "RoleArn": role_arn,
        "ProcessingInputs": [
            {
                "InputName": name,
                "S3Input": {
                    **source,
                    "LocalPath": f"{INPUT}/{name}",
                    "S3InputMode": "File",
                    "S3DataDistributionType": "FullyReplicated",
                },
            }
            for name, source in inputs.items()
        ],
        "ProcessingOutputConfig": {
            "Outputs": [
                {
                    "OutputName": "evaluation",
                    "S3Output": {"S3Uri.$": output_uri_path, "LocalPath": OUTPUT, "S3UploadMode": "EndOfJob"},
                }
            ],
            "KmsKeyId": key_arn,
        },
        "ProcessingResources": {
            "ClusterConfig": {
                "InstanceType": loop.training.instance_type,
                "InstanceCount": 1,
                "VolumeSizeInGB": loop.training.volume_gb,
                **volume_key(loop.training.instance_type, key_arn),
            }
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": loop.training.max_runtime_seconds},
        "NetworkConfig": {"EnableNetworkIsolation": True},
        "Tags": list(tags),
    }
    return task(
        f"arn:{partition}:states:::sagemaker:createProcessingJob.sync",
        parameters=parameters,
        result=result,
        next_state=next_state,
        timeout_seconds=loop.training.max_runtime_seconds + 1800,
        retries=[retry(RETRIED, seconds=30, attempts=4, most_seconds=600)],
        catches=catches,
    )


def sync_statements(
    stack: cdk.Stack, named: str, role_arn: str, kinds: Sequence[str] = ("Training", "Processing")
) -> list[iam.PolicyStatement]:
    """What a state machine needs to run these kinds of job, whose names begin so, and to be told of their end."""

    def arn(service: str, resource: str, name: str) -> str:
        return stack.format_arn(service=service, resource=resource, resource_name=name)

    jobs = [arn("sagemaker", f"{kind.lower()}-job", f"{named}*") for kind in kinds]
    actions = [f"sagemaker:{verb}{kind}Job" for kind in kinds for verb in ("Create", "Describe", "Stop")]
    return [
        iam.PolicyStatement(actions=[*actions, "sagemaker:AddTags", "sagemaker:ListTags"], resources=jobs),
        iam.PolicyStatement(
            actions=["iam:PassRole"],
            resources=[role_arn],
            conditions={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        ),
        iam.PolicyStatement(
            actions=["events:PutTargets", "events:PutRule", "events:DescribeRule"],
            resources=[arn("events", "rule", SYNC_RULES[kind]) for kind in kinds],
        ),
    ]
