"""What the stacks are told: which loops, where, for whom; and what AWS fixes: images, versions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import aws_cdk as cdk
from constructs import Construct, Node

from infra.regions import IMAGE_ACCOUNTS
from perennial import keys
from perennial.cost import LARGE_BATCH_INSTANCE
from perennial.instance_types import check_job_type
from perennial.project import Loop
from perennial.stage import DEFAULT_STAGE, environment_of, parse_stage

__all__ = [
    "DEPLOYMENT_TAG",
    "FEATURE_FLAGS",
    "IMAGE_ACCOUNTS",
    "IMAGE_REPOSITORY",
    "IMAGE_TAG",
    "Deployment",
    "training_image_uri",
]

# Behaviour that aws-cdk-lib offers to new apps; here and not in cdk.json, so that tests synthesize the same.
FEATURE_FLAGS: Mapping[str, bool | str] = MappingProxyType(
    {
        "@aws-cdk/core:enablePartitionLiterals": True,
        "@aws-cdk/aws-iam:minimizePolicies": True,
        # A stack whose outputs others import can't be deleted before them.
        "@aws-cdk/core:defaultCrossStackReferences": "strong",
        # CloudFormation's own checks of the templates are errors, not warnings.
        "@aws-cdk/core:validateAgainstDefaultRules": True,
        "@aws-cdk/aws-s3:serverAccessLogsUseBucketPolicy": True,
        # Several alarms may call one function.
        "@aws-cdk/aws-cloudwatch-actions:changeLambdaPermissionLogicalIdForLambdaAction": True,
    }
)

# Budgets filter by it: by one tag, loop and stage together.
DEPLOYMENT_TAG = "deployment"
_NOT_IN_TAGS = re.compile(r"[^\w +\-=.:/@]")
_LONGEST_TAG = 256

IMAGE_REPOSITORY = "sagemaker-scikit-learn"
# Python 3.12, scikit-learn 1.9.0, numpy 2.5.1, scipy 1.18.0, pandas 2.2.3; patched by AWS until 2027-07-16.
IMAGE_TAG = "1.9-0-cpu-py3"

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
# S3 Object Lock's longest retention: a hundred years.
_LONGEST_LOCK_DAYS = 36_500

# What a function's disk, which AWS makes 10 GB large at most, holds twice.
MOST_OBJECT_BYTES = 4 * 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """
    How every loop of the app is deployed.

    Attributes
    ----------
    stage
        Part of every name, so that several deployments of a loop share an account and a region.
    environment
        A word for tags: development, staging, production; without one the stage's.
    cost_centre
        Who pays, for tags.
    keep_data
        Buckets, catalog and key outlive their stacks; the audit bucket's retention can't be bypassed by the teardown.
    log_retention_days
        How long function, state machine and audit logs are kept.
    audit_retention_days
        Object Lock, governance mode: how long a ledger entry can't be deleted.
    alarm_email
        Who is told of alarms and approvals; none: subscribe to the topic later.
    image_digest
        `sha256:...` pins the container image exactly; none follows AWS's patches of the tag.
    max_object_bytes
        Landed files up to this are validated by a function, at most 4 GiB, which its disk must hold twice; larger
        ones by a job.
    max_job_bytes
        Larger files are refused.
    job_instance_type
        What such a job runs on; all of its cores are used.
    reserve_rollback
        Keep two concurrent executions of the account's limit for the roll-back alone, so that no burst of files can
        throttle it; the account must have more than 100 others.
    backup
        A plan of AWS Backup copies the catalog every day, for 35 days, into a vault of its own.
    """

    stage: str = DEFAULT_STAGE
    environment: str = "development"
    cost_centre: str = "unassigned"
    keep_data: bool = False
    log_retention_days: int = 90
    audit_retention_days: int = 365
    alarm_email: str | None = None
    image_digest: str | None = None
    max_object_bytes: int = MOST_OBJECT_BYTES
    max_job_bytes: int = 1024**4
    job_instance_type: str = LARGE_BATCH_INSTANCE
    reserve_rollback: bool = False
    backup: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.max_object_bytes <= MOST_OBJECT_BYTES:
            raise ValueError(f"max_object_bytes must be 1 to {MOST_OBJECT_BYTES}. Got {self.max_object_bytes} instead.")
        if self.max_job_bytes < self.max_object_bytes:
            raise ValueError(f"max_job_bytes must be at least max_object_bytes. Got {self.max_job_bytes} instead.")
        check_job_type(self.job_instance_type)
        if self.image_digest is not None and not _DIGEST.fullmatch(self.image_digest):
            raise ValueError(f"image_digest must be sha256: and 64 hex digits. Got {self.image_digest!r} instead.")
        if not 1 <= self.audit_retention_days <= _LONGEST_LOCK_DAYS:
            raise ValueError(
                f"audit_retention_days must be 1 to {_LONGEST_LOCK_DAYS}. Got {self.audit_retention_days} instead."
            )

    @classmethod
    def from_context(cls, node: Node) -> Deployment:
        """Read `-c stage=...` and so on; `production` keeps its data unless told otherwise."""

        def said(key: str) -> str | None:
            value = node.try_get_context(key)
            return None if value is None else str(value)

        def whole(key: str, default: int) -> int:
            given = said(key)
            if given is not None and not (given.isascii() and given.isdigit()):
                raise ValueError(f"context {key} must be a whole number. Got {given!r} instead.")
            return default if given is None else int(given)

        stage = parse_stage(said("stage") or DEFAULT_STAGE)
        environment = said("environment") or environment_of(stage)

        def whether(key: str, default: str) -> bool:
            given = (said(key) or default).lower()
            if given not in ("true", "false"):
                raise ValueError(f"context {key} must be true or false. Got {given!r} instead.")
            return given == "true"

        return cls(
            stage=stage,
            environment=environment,
            cost_centre=said("cost_centre") or "unassigned",
            keep_data=whether("keep_data", "true" if environment == "production" else "false"),
            log_retention_days=whole("log_retention_days", 90),
            audit_retention_days=whole("audit_retention_days", 365),
            alarm_email=said("alarm_email"),
            image_digest=said("image_digest"),
            max_object_bytes=whole("max_object_bytes", MOST_OBJECT_BYTES),
            max_job_bytes=whole("max_job_bytes", 1024**4),
            job_instance_type=said("job_instance_type") or LARGE_BATCH_INSTANCE,
            reserve_rollback=whether("reserve_rollback", "false"),
            backup=whether("backup", "false"),
        )

    def tags(self, loop: Loop) -> dict[str, str]:
        """What everything of a deployed loop is tagged with; AWS takes few signs in a tag's value."""
        found = {
            "loop": loop.name,
            "stage": self.stage,
            DEPLOYMENT_TAG: keys.deployment_name(loop.name, self.stage),
            "environment": self.environment,
            "cost-centre": self.cost_centre,
            **({"owner": loop.owner} if loop.owner else {}),
        }
        return {key: tag_value(value) for key, value in found.items()}

    @property
    def bucket_policy(self) -> cdk.RemovalPolicy:
        """
        What CloudFormation does with a bucket whose stack is destroyed: nothing.

        It can't delete one that something lands in meanwhile, so the teardown does, unless data is kept.
        """
        return cdk.RemovalPolicy.RETAIN if self.keep_data else cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE

    @property
    def removal_policy(self) -> cdk.RemovalPolicy:
        """What becomes of data when its stack is destroyed."""
        return cdk.RemovalPolicy.RETAIN if self.keep_data else cdk.RemovalPolicy.DESTROY


def tag_value(text: str) -> str:
    """
    A text as AWS takes it for a tag's value: 256 characters at most, and few signs.

    >>> tag_value("ML & data (Berlin)")
    'ML - data -Berlin-'
    """
    return _NOT_IN_TAGS.sub("-", text)[:_LONGEST_TAG]


def training_image_uri(scope: Construct, digest: str | None = None) -> str:
    """
    The URI of AWS's prebuilt scikit-learn image in the region that the stack is deployed to.

    Parameters
    ----------
    scope
        Where the region-to-account mapping is put; one for each stack.
    digest
        `sha256:...` to pin the image; else the tag.
    """
    mapping = cdk.CfnMapping(
        scope, "ImageAccounts", mapping={region: {"Account": account} for region, account in IMAGE_ACCOUNTS.items()}
    )
    account = mapping.find_in_map(cdk.Aws.REGION, "Account")
    version = f"@{digest}" if digest else f":{IMAGE_TAG}"
    return f"{account}.dkr.ecr.{cdk.Aws.REGION}.{cdk.Aws.URL_SUFFIX}/{IMAGE_REPOSITORY}{version}"
