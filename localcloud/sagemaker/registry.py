"""The model registry: groups, their numbered packages, and the word to the world when a package's state changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from localcloud.context import Context
from localcloud.sagemaker.errors import ConflictException, SageMakerError, ValidationException
from localcloud.sagemaker.shapes import in_milliseconds
from localcloud.sagemaker.state import Record, State

_CREATED_AS_ASKED = (
    "ModelPackageDescription", "InferenceSpecification", "SourceAlgorithmSpecification", "ValidationSpecification",
    "CertifyForMarketplace", "MetadataProperties", "ModelMetrics", "CustomerMetadataProperties", "DriftCheckBaselines",
    "Domain", "Task", "SamplePayloadUrl", "AdditionalInferenceSpecifications", "SkipModelValidation", "SourceUri",
    "SecurityConfig", "ModelCard", "ModelLifeCycle",
)  # fmt: skip
_UPDATED_AS_ASKED = ("ApprovalDescription", "InferenceSpecification", "SourceUri", "ModelCard", "ModelLifeCycle")


class Registry:
    """Model package groups and model packages."""

    def __init__(self, context: Context, state: State) -> None:
        self._context = context
        self._state = state

    def create_group(self, params: Mapping[str, Any]) -> Record:
        """A group without packages."""
        name = params["ModelPackageGroupName"]
        with self._state.lock:
            if name in self._state["model-package-group"]:
                raise ValidationException("Model Package Group already exists.")
            arn = self._state.arn("model-package-group", name)
            self._state["model-package-group"][name] = {
                "ModelPackageGroupName": name,
                "ModelPackageGroupArn": arn,
                "ModelPackageGroupDescription": params.get("ModelPackageGroupDescription"),
                "CreationTime": self._state.now(),
                "CreatedBy": {},
                "ModelPackageGroupStatus": "Completed",
                "_next": 1,
            }
            self._state.tag(arn, params.get("Tags", ()))
        return {"ModelPackageGroupArn": arn}

    def describe_group(self, params: Mapping[str, Any]) -> Record:
        """A group by name or ARN."""
        return self._group(params["ModelPackageGroupName"])

    def delete_group(self, params: Mapping[str, Any]) -> None:
        """Only an empty group."""
        with self._state.lock:
            group = self._group(params["ModelPackageGroupName"])
            name = group["ModelPackageGroupName"]
            count = sum(p.get("ModelPackageGroupName") == name for p in self._state["model-package"].values())
            if count:
                raise ConflictException(f"Model Package Group {name} cannot be deleted: it has {count} model packages.")
            del self._state["model-package-group"][name]
            self._state.tags.pop(group["ModelPackageGroupArn"], None)

    def create(self, params: Mapping[str, Any]) -> Record:
        """The next version of a group; the same ClientToken again gives the same package."""
        with self._state.lock:
            token = params.get("ClientToken")
            for package in self._state["model-package"].values():
                if token and package["_token"] == token:
                    return {"ModelPackageArn": package["ModelPackageArn"]}
            if "ModelPackageGroupName" not in params:
                raise ValidationException(
                    "ModelPackageGroupName is required: only versioned model packages are kept here"
                )
            group = self._group(params["ModelPackageGroupName"])
            version, group["_next"] = group["_next"], group["_next"] + 1
            name = f"{group['ModelPackageGroupName']}/{version}"
            arn = self._state.arn("model-package", name)
            now = self._state.now()
            package = {key: params[key] for key in _CREATED_AS_ASKED if key in params} | {
                "ModelPackageName": name,
                "ModelPackageGroupName": group["ModelPackageGroupName"],
                "ModelPackageVersion": version,
                "ModelPackageArn": arn,
                "CreationTime": now,
                "LastModifiedTime": now,
                "ModelPackageStatus": "Completed",
                "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
                "ModelApprovalStatus": params.get("ModelApprovalStatus", "PendingManualApproval"),
                "CreatedBy": {},
                "_token": token,
            }
            self._state["model-package"][name] = package
            self._state.tag(arn, params.get("Tags", ()))
        self._announce(package)
        return {"ModelPackageArn": arn}

    def describe(self, params: Mapping[str, Any]) -> Record:
        """A package by ARN, or by group/version."""
        return self.package(params["ModelPackageName"])

    def update(self, params: Mapping[str, Any]) -> Record:
        """Approval, metadata and the like."""
        with self._state.lock:
            package = self.package(params["ModelPackageArn"])
            before = package["ModelApprovalStatus"]
            package |= {key: params[key] for key in _UPDATED_AS_ASKED if key in params}
            package["ModelApprovalStatus"] = params.get("ModelApprovalStatus", before)
            metadata = package.get("CustomerMetadataProperties", {}) | params.get("CustomerMetadataProperties", {})
            for key in params.get("CustomerMetadataPropertiesToRemove", ()):
                metadata.pop(key, None)
            package["CustomerMetadataProperties"] = metadata
            added = params.get("AdditionalInferenceSpecificationsToAdd", [])
            if added:
                package["AdditionalInferenceSpecifications"] = (
                    package.get("AdditionalInferenceSpecifications", []) + added
                )
            package["LastModifiedTime"] = self._state.now()
            package["LastModifiedBy"] = {}
        self._announce(package)
        return {"ModelPackageArn": package["ModelPackageArn"]}

    def delete(self, params: Mapping[str, Any]) -> None:
        """A package; its number is not given again."""
        with self._state.lock:
            package = self.package(params["ModelPackageName"])
            del self._state["model-package"][package["ModelPackageName"]]
            self._state.tags.pop(package["ModelPackageArn"], None)

    def package(self, name_or_arn: str) -> Record:
        """The package, or AWS's answer when it is not there."""
        name = name_or_arn.partition(":model-package/")[2] or name_or_arn
        return self._state.get("model-package", name, _missing("ModelPackage"))

    def _group(self, name_or_arn: str) -> Record:
        name = name_or_arn.partition(":model-package-group/")[2] or name_or_arn
        return self._state.get("model-package-group", name, _missing("ModelPackageGroup"))

    def _announce(self, package: Record) -> None:
        detail = {key: value for key, value in package.items() if not key.startswith("_") and value is not None}
        self._context.put_event(
            "aws.sagemaker",
            "SageMaker Model Package State Change",
            in_milliseconds(detail) | {"Tags": self._context_tags(package["ModelPackageArn"])},
            [package["ModelPackageArn"]],
        )

    def _context_tags(self, arn: str) -> dict[str, str]:
        return dict(self._state.tags.get(arn, {}))


def _missing(kind: str) -> Any:
    def error(arn: str) -> SageMakerError:
        return ValidationException(f"{kind} {arn} does not exist.")

    return error
