"""What files take that are too large for a function: a job's role, a function that records, the machine around both."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.foundation import Foundation
from infra.large_batch_machine import LargeBatchParts, large_batch_definition
from infra.python_function import PythonFunction
from infra.sagemaker_role import SageMakerRole
from infra.sagemaker_step import SourceBundle, sync_statements
from infra.settings import training_image_uri
from infra.state_machine import StateMachine
from perennial import keys
from perennial.keys import Partition

__all__ = ["LargeBatches"]

_FILES = "Jobs and executions are named from landed files; the rest of their names is known at deployment."
_OBJECTS = "Object names come from content and runs; the prefix is what this role alone needs of the bucket."
_SOURCE = "The prefix is one deployment's source bundle: two files that this stack published itself."


class LargeBatches(Construct):
    """
    The large batch machine.

    Parameters
    ----------
    record
        The function that puts a job's batch on record.
    dead_letters
        Where the message of a file goes that no batch could be made of.

    Attributes
    ----------
    machine
        Started by validate_batch with an order.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        foundation: Foundation,
        record: PythonFunction,
        dead_letters: sqs.Queue,
    ) -> None:
        super().__init__(scope, construct_id)
        self._foundation = foundation
        source = SourceBundle(self, "Source", loop=foundation.loop)
        self.job_role = self._job_role(source)
        tags = foundation.tags
        parts = LargeBatchParts(
            record=record.version_arn,
            dead_letters_url=dead_letters.queue_url,
            partition=cdk.Aws.PARTITION,
            region=cdk.Aws.REGION,
            image_uri=training_image_uri(self, foundation.deployment.image_digest),
            role_arn=self.job_role.role_arn,
            key_arn=foundation.key.key_arn,
            code_uri=source.prefix_uri,
            instance_type=foundation.deployment.job_instance_type,
            tags=[{"Key": key, "Value": value} for key, value in tags.items()],
        )
        stack = cdk.Stack.of(self)
        jobs = stack.format_arn(
            service="sagemaker",
            resource="processing-job",
            resource_name=f"{foundation.resource_prefix}*",
        )
        self.machine = StateMachine(
            self,
            "Machine",
            foundation=foundation,
            definition=large_batch_definition(parts),
            calls=[record],
            statements=[
                iam.PolicyStatement(actions=["sqs:SendMessage"], resources=[dead_letters.queue_arn]),
                *sync_statements(stack, foundation.resource_prefix, self.job_role.role_arn, kinds=("Processing",)),
            ],
            because={jobs: _FILES},
        )

    def let_start(self, function: PythonFunction) -> None:
        """Let a function start the machine, and see what became of an execution."""
        function.may(["states:StartExecution"], [self.machine.arn])
        function.may(["states:DescribeExecution"], [self.machine.executions_arn], because=_FILES)

    def _job_role(self, source: SourceBundle) -> SageMakerRole:
        """The job reads what landed, and its order; it writes what validate_batch writes."""
        base = self._foundation
        role = SageMakerRole(self, "JobRole", foundation=base, log_groups=["ProcessingJobs"])
        landed = base.landing.arn_for_objects(f"{keys.BATCHES_PREFIX}*")
        role.may(["s3:GetObject", "s3:GetObjectVersion"], [landed], because=_OBJECTS)
        role.may(["s3:ListBucket", "s3:ListBucketVersions"], [base.landing.bucket_arn])
        role.may_read(base.lake, "ids/*", "ingest/*")
        role.may_write(base.lake, "curated/batches/*", "quarantine/*", "profiles/batches/*", "ids/*", "ingest/*")
        # The id log alone: the batch itself is put on record by a function.
        role.may_use_catalog(Partition.BATCHES, Partition.ID_RECEIPTS, Partition.ID_SPAN, by=["GetItem"])
        role.may_use_catalog(Partition.ID_LOG, Partition.ID_TIMES, by=["Query"])
        role.may_use_catalog(Partition.ID_LOG, Partition.ID_TIMES, Partition.ID_RECEIPTS, by=["PutItem"])
        role.may_use_catalog(Partition.ID_SPAN, by=["UpdateItem"])
        role.may_encrypt_jobs()
        role.may(["s3:GetObject"], [source.objects_arn], because=_SOURCE)
        role.may(["s3:ListBucket"], [source.bucket_arn])
        return role
