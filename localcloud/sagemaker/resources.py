"""CloudFormation's AWS::SageMaker::ModelPackageGroup."""

from __future__ import annotations

import hashlib
from typing import Any

from localcloud.context import ResourceType
from localcloud.sagemaker.api import Api
from localcloud.sagemaker.errors import SageMakerError

_LONGEST_NAME = 63


def group_type(api: Api) -> ResourceType:
    """How CloudFormation makes and removes a model package group; Ref gives its ARN, as on AWS."""

    def create(logical_id: str, properties: dict[str, Any], stack: str) -> tuple[str, dict[str, Any]]:
        name = properties.get("ModelPackageGroupName") or _generated(stack, logical_id)
        asked = {key: properties[key] for key in ("ModelPackageGroupDescription", "Tags") if properties.get(key)}
        try:
            api.call("CreateModelPackageGroup", {"ModelPackageGroupName": name, **asked})
            group = api.call("DescribeModelPackageGroup", {"ModelPackageGroupName": name})
        except SageMakerError as error:
            raise ValueError(str(error)) from error
        shown = ("ModelPackageGroupArn", "ModelPackageGroupStatus", "CreationTime")
        return group["ModelPackageGroupArn"], {key: str(group[key]) for key in shown}

    def update(physical_id: str, old: dict[str, Any], new: dict[str, Any], stack: str) -> tuple[str, dict[str, Any]]:
        changed = {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)} - {"Tags"}
        if changed:
            raise ValueError(
                f"{', '.join(sorted(changed))} of a model package group can't be changed: rename the group"
            )
        before = {tag["Key"] for tag in old.get("Tags", ())} - {tag["Key"] for tag in new.get("Tags", ())}
        if before:
            api.call("DeleteTags", {"ResourceArn": physical_id, "TagKeys": sorted(before)})
        if new.get("Tags"):
            api.call("AddTags", {"ResourceArn": physical_id, "Tags": new["Tags"]})
        return physical_id, {"ModelPackageGroupArn": physical_id}

    def delete(physical_id: str, properties: dict[str, Any]) -> None:
        try:
            api.call("DeleteModelPackageGroup", {"ModelPackageGroupName": physical_id})
        except SageMakerError as error:
            if "does not exist" not in str(error):
                raise ValueError(str(error)) from error

    return ResourceType(create=create, update=update, delete=delete)


def _generated(stack: str, logical_id: str) -> str:
    tail = hashlib.sha256(f"{stack}/{logical_id}".encode()).hexdigest()[:12]
    return f"{stack}-{logical_id}"[: _LONGEST_NAME - 13].strip("-") + f"-{tail}"
