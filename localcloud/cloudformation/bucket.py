"""A bucket's encryption, Object Lock, lifecycle, tags, logging and ownership, from its CloudFormation properties."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from localcloud.context import Context

Properties = dict[str, Any]

# What ministack's own handler sets.
_SET_ALREADY = frozenset(
    {
        "BucketName",
        "VersioningConfiguration",
        "NotificationConfiguration",
        "CorsConfiguration",
        "PublicAccessBlockConfiguration",
        "WebsiteConfiguration",
    }
)
# What changes nothing that the local cloud could show.
_WITHOUT_EFFECT = frozenset(
    {"AccessControl", "ObjectLockEnabled", "IntelligentTieringConfigurations", "InventoryConfigurations",
     "MetricsConfigurations", "AnalyticsConfigurations", "AccelerateConfiguration"}
)  # fmt: skip


def complete(context: Context, name: str, new: Properties, old: Properties) -> None:
    """
    Set what ministack's handler leaves out.

    Raises
    ------
    ValueError
        The bucket has a property that the local cloud does not know.
    """
    unknown = sorted(new.keys() - _SET_ALREADY - _WITHOUT_EFFECT - _SETTERS.keys())
    if unknown:
        raise ValueError(f"the local cloud does not know the property {unknown[0]} of AWS::S3::Bucket")
    for prop, (put, body_of, delete) in _SETTERS.items():
        if prop in new and new[prop] != old.get(prop):
            context.call("s3", put, {"Bucket": name, **body_of(new[prop])})
        elif prop in old and prop not in new and delete:
            context.call("s3", delete, {"Bucket": name})
    if _true(new.get("ObjectLockEnabled")) and "ObjectLockConfiguration" not in new:
        configuration = {"ObjectLockEnabled": "Enabled"}
        context.call("s3", "PutObjectLockConfiguration", {"Bucket": name, "ObjectLockConfiguration": configuration})


def delete(context: Context, name: str, remove: Callable[[str, Properties], None], properties: Properties) -> None:
    """Delete a bucket, which AWS does only when it is empty."""
    try:
        listed = context.call("s3", "ListObjectVersions", {"Bucket": name, "MaxKeys": 1})
    except ClientError:
        return
    if listed.get("Versions") or listed.get("DeleteMarkers"):
        raise ValueError(
            "The bucket you tried to delete is not empty. You must delete all versions in the bucket. "
            "(Service: S3, Status Code: 409)"
        )
    remove(name, properties)


def _encryption(value: Properties) -> Properties:
    rules = [
        {
            "ApplyServerSideEncryptionByDefault": rule["ServerSideEncryptionByDefault"],
            "BucketKeyEnabled": _true(rule.get("BucketKeyEnabled", False)),
        }
        for rule in value["ServerSideEncryptionConfiguration"]
    ]
    return {"ServerSideEncryptionConfiguration": {"Rules": rules}}


def _object_lock(value: Properties) -> Properties:
    configuration: Properties = {"ObjectLockEnabled": "Enabled"}
    if "Rule" in value:
        retention = value["Rule"]["DefaultRetention"]
        numbers = {unit: int(retention[unit]) for unit in ("Days", "Years") if unit in retention}
        configuration["Rule"] = {"DefaultRetention": {"Mode": retention["Mode"], **numbers}}
    return {"ObjectLockConfiguration": configuration}


def _lifecycle(value: Properties) -> Properties:
    return {"LifecycleConfiguration": {"Rules": [_lifecycle_rule(rule) for rule in value["Rules"]]}}


def _lifecycle_rule(rule: Properties) -> Properties:
    made: Properties = {"Status": rule["Status"], "Filter": _lifecycle_filter(rule)}
    if "Id" in rule:
        made["ID"] = rule["Id"]
    if "ExpirationInDays" in rule:
        made["Expiration"] = {"Days": int(rule["ExpirationInDays"])}
    elif "ExpiredObjectDeleteMarker" in rule:
        made["Expiration"] = {"ExpiredObjectDeleteMarker": _true(rule["ExpiredObjectDeleteMarker"])}
    if "NoncurrentVersionExpiration" in rule:
        made["NoncurrentVersionExpiration"] = {
            key: int(number) for key, number in rule["NoncurrentVersionExpiration"].items()
        }
    elif "NoncurrentVersionExpirationInDays" in rule:
        made["NoncurrentVersionExpiration"] = {"NoncurrentDays": int(rule["NoncurrentVersionExpirationInDays"])}
    if "AbortIncompleteMultipartUpload" in rule:
        days = int(rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"])
        made["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": days}
    if "Transitions" in rule:
        made["Transitions"] = [_transition(part, "Days") for part in rule["Transitions"]]
    if "NoncurrentVersionTransitions" in rule:
        made["NoncurrentVersionTransitions"] = [
            _transition(part, "NoncurrentDays") for part in rule["NoncurrentVersionTransitions"]
        ]
    return made


def _lifecycle_filter(rule: Properties) -> Properties:
    parts: Properties = {"Prefix": rule["Prefix"]} if "Prefix" in rule else {}
    tags = rule.get("TagFilters", [])
    sizes = {key: int(rule[key]) for key in ("ObjectSizeGreaterThan", "ObjectSizeLessThan") if key in rule}
    if len(parts) + len(tags) + len(sizes) > 1:
        return {"And": {**parts, **sizes, **({"Tags": tags} if tags else {})}}
    return {"Tag": tags[0]} if tags else parts or sizes or {"Prefix": ""}


def _transition(part: Properties, unit: str) -> Properties:
    made: Properties = {"StorageClass": part["StorageClass"], unit: int(part["TransitionInDays"])}
    if "NewerNoncurrentVersions" in part:
        made["NewerNoncurrentVersions"] = int(part["NewerNoncurrentVersions"])
    return made


def _logging(value: Properties) -> Properties:
    target: Properties = {"TargetPrefix": value.get("LogFilePrefix", "")}
    if "DestinationBucketName" in value:
        target["TargetBucket"] = value["DestinationBucketName"]
    return {"BucketLoggingStatus": {"LoggingEnabled": target} if "TargetBucket" in target else {}}


def _ownership(value: Properties) -> Properties:
    return {"OwnershipControls": {"Rules": value["Rules"]}}


def _tags(value: list[Properties]) -> Properties:
    return {"Tagging": {"TagSet": [{"Key": tag["Key"], "Value": str(tag["Value"])} for tag in value]}}


def _true(value: Any) -> bool:
    return str(value).lower() == "true"


_SETTERS: dict[str, tuple[str, Callable[[Any], Properties], str | None]] = {
    "BucketEncryption": ("PutBucketEncryption", _encryption, "DeleteBucketEncryption"),
    "ObjectLockConfiguration": ("PutObjectLockConfiguration", _object_lock, None),
    "LifecycleConfiguration": ("PutBucketLifecycleConfiguration", _lifecycle, "DeleteBucketLifecycle"),
    "LoggingConfiguration": ("PutBucketLogging", _logging, None),
    "OwnershipControls": ("PutBucketOwnershipControls", _ownership, "DeleteBucketOwnershipControls"),
    "Tags": ("PutBucketTagging", _tags, "DeleteBucketTagging"),
}
