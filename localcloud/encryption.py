"""
Keys of encrypted buckets, queues, topics and tables: whoever writes or reads needs permission for the key too.

AWS uses the key in the caller's name (S3, DynamoDB) or asks it of the caller (SQS, SNS); ministack looks at neither.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html,
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html (read 2026-11).
A key of AWS's own (alias/aws/...) asks for nothing.
"""

from __future__ import annotations

from typing import Any

from localcloud import identity
from localcloud.context import Context
from localcloud.extension import replace, require

_GENERATE, _DECRYPT = "kms:GenerateDataKey", "kms:Decrypt"
_NEEDED = {
    "s3:PutObject": _GENERATE,
    "s3:GetObject": _DECRYPT,
    "s3:GetObjectVersion": _DECRYPT,
    "sqs:SendMessage": _GENERATE,
    "sqs:ReceiveMessage": _DECRYPT,
    "sns:Publish": _GENERATE,
    "dynamodb:GetItem": _DECRYPT,
    "dynamodb:PutItem": _DECRYPT,
    "dynamodb:UpdateItem": _DECRYPT,
    "dynamodb:DeleteItem": _DECRYPT,
    "dynamodb:Query": _DECRYPT,
    "dynamodb:Scan": _DECRYPT,
    "dynamodb:BatchGetItem": _DECRYPT,
    "dynamodb:BatchWriteItem": _DECRYPT,
}
_HEADER = "x-amz-server-side-encryption"
_KEY_HEADER = "x-amz-server-side-encryption-aws-kms-key-id"


def install(context: Context) -> None:
    """Ask for the key's permission with every call, and let S3 fall back to its own key as AWS does."""
    from ministack.core import iam_evaluator
    from ministack.services import dynamodb, kms, s3, sns, sqs

    require(kms, "_resolve_key")
    require(s3, "_bucket_default_sse_headers", "_buckets", "_stored_sse_headers")
    require(sqs, "_queue_by_arn")
    require(sns, "_topics")
    require(dynamodb, "_tables")
    own_key = f"arn:aws:kms:{context.region}:{context.account}:alias/aws/s3"
    resolve = replace(s3, "_resolve_sse_write_headers", lambda headers, name: resolve(_with_key(headers, name), name))

    def _with_key(headers: dict[str, str], name: str) -> dict[str, str]:
        if headers.get(_HEADER) != "aws:kms" or headers.get(_KEY_HEADER):
            return headers
        return {**headers, _KEY_HEADER: s3._bucket_default_sse_headers(name).get(_KEY_HEADER, own_key)}

    enforce = replace(iam_evaluator, "enforce", lambda *given, **named: _enforce(enforce, *given, **named))


def key_of(service: str, resource_arn: str) -> str | None:
    """ARN of the customer's key that `resource_arn` is encrypted with; None when there is none."""
    from ministack.services import dynamodb, sns, sqs

    reference = None
    if service == "s3":
        reference = _key_of_object(resource_arn)
    elif service == "sqs":
        queue = sqs._queue_by_arn(resource_arn)
        reference = queue["attributes"].get("KmsMasterKeyId") if queue else None
    elif service == "sns":
        reference = (sns._topics.get(resource_arn) or {}).get("attributes", {}).get("KmsMasterKeyId")
    elif service == "dynamodb":
        table = dynamodb._tables.get(resource_arn.partition("/")[2].partition("/")[0]) or {}
        reference = (table.get("SSEDescription") or {}).get("KMSMasterKeyArn")
    return None if not reference or "alias/aws/" in reference else arn_of_key(reference)


def arn_of_key(reference: str) -> str:
    """ARN of the key that an id, ARN or alias names; the reference itself where there is no such key."""
    from ministack.services import kms

    found = kms._resolve_key(reference)
    return str(found["Arn"]) if found else str(reference)


def _key_of_object(resource_arn: str) -> str | None:
    from ministack.services import s3

    bucket, _, key = resource_arn.removeprefix("arn:aws:s3:::").partition("/")
    stored = (s3._buckets.get(bucket) or {}).get("objects", {}).get(key)
    headers = s3._stored_sse_headers(stored) if stored else {}
    found = headers.get(_KEY_HEADER) or s3._bucket_default_sse_headers(bucket).get(_KEY_HEADER)
    return str(found) if found else None


def _enforce(
    enforce: Any, access_key: str, action: str, service: str, region: str, resource_arn: str = "*", **named: Any
) -> Any:
    denied = enforce(access_key, action, service, region, resource_arn=resource_arn, **named)
    needed = _NEEDED.get(action)
    if denied or needed is None or access_key == identity.ROOT.access_key:
        return denied
    key = key_of(service, resource_arn)
    return enforce(access_key, needed, "kms", region, resource_arn=key) if key else None
