"""The loop's model package group: what passed the gate, and whether it may be deployed."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from perennial.keys import short_id

__all__ = ["Package", "Registry", "entity_description"]

_LONGEST_TOKEN = 36


@dataclass(frozen=True, slots=True)
class Package:
    """One model package as the registry has it."""

    arn: str
    status: str
    approval: str
    model_data_url: str
    properties: Mapping[str, str]
    description: str
    modified_by: str


@dataclass(frozen=True)
class Registry:
    """One model package group."""

    sagemaker: Any
    group: str

    def register(
        self,
        *,
        run_id: str,
        image_uri: str,
        model_data_url: str,
        evaluation_uri: str,
        properties: Mapping[str, str],
        description: str,
    ) -> str:
        """
        The ARN of the package for a run's artifact, waiting for approval; the same one when asked again.

        SageMaker gives one package for equal tokens, whatever the group that is asked for: two stages that learn from
        the same data have runs of the same id.
        """
        answer = self.sagemaker.create_model_package(
            ModelPackageGroupName=self.group,
            ModelPackageDescription=entity_description(description),
            ModelApprovalStatus="PendingManualApproval",
            ClientToken=short_id(self.group, run_id)[:_LONGEST_TOKEN],
            CustomerMetadataProperties=dict(properties),
            InferenceSpecification={
                "Containers": [{"Image": image_uri, "ModelDataUrl": model_data_url, "Framework": "SKLEARN"}],
                "SupportedContentTypes": ["application/json", "text/csv"],
                "SupportedResponseMIMETypes": ["application/json"],
            },
            ModelMetrics={"ModelQuality": {"Statistics": {"ContentType": "application/json", "S3Uri": evaluation_uri}}},
        )
        return str(answer["ModelPackageArn"])

    def describe(self, arn: str) -> Package:
        """The package as it stands."""
        answer = self.sagemaker.describe_model_package(ModelPackageName=arn)
        containers = answer.get("InferenceSpecification", {}).get("Containers", [{}])
        by = answer.get("LastModifiedBy", {})
        return Package(
            arn=answer["ModelPackageArn"],
            status=answer.get("ModelPackageStatus", ""),
            approval=answer.get("ModelApprovalStatus", ""),
            model_data_url=containers[0].get("ModelDataUrl", ""),
            properties=answer.get("CustomerMetadataProperties", {}),
            description=answer.get("ApprovalDescription", ""),
            modified_by=by.get("IamIdentity", {}).get("Arn") or by.get("UserProfileArn") or "",
        )

    def approve(self, arn: str, reason: str) -> None:
        """Marks a package as deployable; the reason stays with it."""
        self._settle(arn, "Approved", reason)

    def reject(self, arn: str, reason: str) -> None:
        """Marks a package as not deployable; the reason stays with it."""
        self._settle(arn, "Rejected", reason)

    def reopen(self, arn: str, reason: str) -> None:
        """Marks a package as still to be answered; the reason why the answer didn't count stays with it."""
        self._settle(arn, "PendingManualApproval", reason)

    def arns(self) -> Iterator[str]:
        """Every package of the group."""
        pages = self.sagemaker.get_paginator("list_model_packages").paginate(ModelPackageGroupName=self.group)
        for page in pages:
            for package in page["ModelPackageSummaryList"]:
                yield package["ModelPackageArn"]

    def _settle(self, arn: str, status: str, reason: str) -> None:
        self.sagemaker.update_model_package(
            ModelPackageArn=arn, ModelApprovalStatus=status, ApprovalDescription=reason[:1024]
        )


def entity_description(text: str) -> str:
    """
    A text as SageMaker takes descriptions: 1,024 characters at most, no control characters, line breaks included.

    >>> entity_description("auc fell\\nby 0.1")
    'auc fell by 0.1'
    """
    return "".join(" " if unicodedata.category(sign).startswith("C") else sign for sign in text)[:1024]
