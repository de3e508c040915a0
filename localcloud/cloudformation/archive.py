"""AWS::Events::Archive."""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import ClientError

from localcloud.cloudformation.naming import physical_name
from localcloud.context import Context, ResourceType


def resource(context: Context) -> ResourceType:
    """The archive of an event bus: Ref gives its name, Arn its ARN."""

    def create(logical_id: str, properties: dict[str, Any], stack: str) -> tuple[str, dict[str, Any]]:
        name = properties.get("ArchiveName") or physical_name(stack, logical_id, longest=48)
        answer = context.call("events", "CreateArchive", {**_settings(properties), "ArchiveName": name,
                                                          "EventSourceArn": properties["SourceArn"]})  # fmt: skip
        return name, {"Arn": answer["ArchiveArn"], "ArchiveName": name}

    def update(name: str, old: dict[str, Any], new: dict[str, Any], stack: str) -> tuple[str, dict[str, Any]]:
        if old.get("SourceArn") != new.get("SourceArn") or old.get("ArchiveName") != new.get("ArchiveName"):
            raise ValueError("an archive's source and name can't be changed in place: give it another logical id")
        answer = context.call("events", "UpdateArchive", {**_settings(new), "ArchiveName": name})
        return name, {"Arn": answer["ArchiveArn"], "ArchiveName": name}

    def delete(name: str, properties: dict[str, Any]) -> None:
        try:
            context.call("events", "DeleteArchive", {"ArchiveName": name})
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise

    return ResourceType(create=create, update=update, delete=delete)


def _settings(properties: dict[str, Any]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    if "EventPattern" in properties:
        pattern = properties["EventPattern"]
        settings["EventPattern"] = pattern if isinstance(pattern, str) else json.dumps(pattern)
    for name in ("Description", "KmsKeyIdentifier"):
        if name in properties:
            settings[name] = properties[name]
    if "RetentionDays" in properties:
        settings["RetentionDays"] = int(properties["RetentionDays"])
    return settings
