"""
One file that is too large for a function, from its order to its batch on record, as a state machine.

What fails here has nothing to do with the file's contents, so the file isn't refused: the message that told of it goes
where messages go that could not be processed, calls a person, and is sent again from there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.sagemaker_step import INPUT, RETRIED, prefix, volume_key
from infra.states import State, call, caught, fail, retry, task

__all__ = ["LargeBatchParts", "large_batch_definition"]

# A terabyte at 25 MB a second: slower than any disk that such a job has.
JOB_SECONDS = 12 * 3600
FAILED = caught("GiveBack")


@dataclass(frozen=True, slots=True, kw_only=True)
class LargeBatchParts:
    """What the machine calls, and what its job runs on."""

    record: str
    dead_letters_url: str
    partition: str
    region: str
    image_uri: str
    role_arn: str
    key_arn: str
    code_uri: str
    instance_type: str
    tags: Sequence[Mapping[str, str]]


def large_batch_definition(parts: LargeBatchParts) -> State:
    """The machine's definition. Input: job_name, order_uri, order_key, volume_gb, message."""
    return {
        "Comment": "One large file: made into a batch by a job, recorded by a function",
        "StartAt": "MakeBatch",
        "TimeoutSeconds": JOB_SECONDS + 7200,
        "States": {
            "MakeBatch": _job(parts),
            "RecordBatch": call(
                parts.record,
                parameters={"order_key.$": "$.order_key"},
                result="$.batch",
                next_state="Recorded",
                catches=[FAILED],
            ),
            "Recorded": {"Type": "Succeed"},
            "GiveBack": task(
                f"arn:{parts.partition}:states:::sqs:sendMessage",
                parameters={"QueueUrl": parts.dead_letters_url, "MessageBody.$": "$.message"},
                result="$.given_back",
                next_state="NotMade",
                timeout_seconds=60,
                retries=[retry(("SQS.AmazonSQSException", "SQS.SdkClientException", "States.Timeout"))],
                catches=[caught("NotMade", into="$.give_back_error")],
            ),
            "NotMade": fail("LargeBatchNotMade", "The file is as it landed; its message waits among the dead letters"),
        },
    }


def _job(parts: LargeBatchParts) -> State:
    parameters: dict[str, Any] = {
        "ProcessingJobName.$": "$.job_name",
        "AppSpecification": {
            "ImageUri": parts.image_uri,
            "ContainerEntrypoint": ["python3", f"{INPUT}/code/bootstrap.py"],
            "ContainerArguments": ["training.make_batch"],
        },
        # boto3 asks for the region here, and finds it nowhere else in the container.
        "Environment": {"AWS_DEFAULT_REGION": parts.region},
        "RoleArn": parts.role_arn,
        "ProcessingInputs": [_input("code", parts.code_uri), _input("order", "$.order_uri")],
        "ProcessingResources": {
            "ClusterConfig": {
                "InstanceType": parts.instance_type,
                "InstanceCount": 1,
                "VolumeSizeInGB.$": "$.volume_gb",
                **volume_key(parts.instance_type, parts.key_arn),
            }
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": JOB_SECONDS},
        "Tags": list(parts.tags),
    }
    return task(
        f"arn:{parts.partition}:states:::sagemaker:createProcessingJob.sync",
        parameters=parameters,
        result="$.job",
        next_state="RecordBatch",
        timeout_seconds=JOB_SECONDS + 1800,
        retries=[retry(RETRIED, seconds=30, attempts=4, most_seconds=600)],
        catches=[FAILED],
    )


def _input(name: str, uri: str) -> dict[str, Any]:
    return {
        "InputName": name,
        "S3Input": {
            **prefix(uri),
            "LocalPath": f"{INPUT}/{name}",
            "S3InputMode": "File",
            "S3DataDistributionType": "FullyReplicated",
        },
    }
