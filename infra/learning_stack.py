"""How a signal becomes a model: the trigger, the learning machine and its functions, the registry, approvals."""

from __future__ import annotations

import json
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from functions import (
    conclude_run,
    decide_retraining,
    freeze_dataset,
    judge_candidate,
    register_model,
    request_approval,
    settle_approval,
)
from infra.data_stack import DataStack
from infra.learning_machine import FAILED, LearningParts, learning_definition
from infra.loop_stack import LoopStack
from infra.routes import Route, Timetable, announced
from infra.sagemaker_role import SageMakerRole
from infra.sagemaker_step import INPUT, SourceBundle, manifest, prefix, processing_step, sync_statements, training_step
from infra.serving_stack import ServingStack, rollout_seconds
from infra.settings import training_image_uri
from infra.state_machine import StateMachine
from infra.tear_down import TearDown
from perennial import events as said
from perennial import keys
from perennial.keys import Partition

__all__ = ["LearningStack"]

_RUNS = (
    "Jobs and executions are named from run ids; the names of the deployment and of its machine are known beforehand."
)
_SIGNALS = (said.DriftDetected, said.PerformanceFell, said.BusinessFell, said.BatchAccepted, said.LabelsJoined)
_PACKAGES = "Packages are numbered when models are registered; the group is the loop's own."


class LearningStack(LoopStack):
    """Everything between a reason to retrain and a model that is approved to serve."""

    def __init__(
        self, scope: Construct, construct_id: str, *, data: DataStack, serving: ServingStack, **stack: Any
    ) -> None:
        base = data.foundation
        super().__init__(scope, construct_id, foundation=base, about="learning", **stack)
        self.serving = serving
        self.image_uri = training_image_uri(self, base.deployment.image_digest)
        self.source = SourceBundle(self, "Source", loop=base.loop)
        self.group = sagemaker.CfnModelPackageGroup(
            self,
            "Models",
            model_package_group_name=keys.package_group_name(base.loop.name, base.deployment.stage),
            model_package_group_description=f"Model versions of {base.name} that passed the gate",
        )
        self.training_role = self._training_role()
        self.evaluation_role = self._evaluation_role()
        self._make_run_functions()
        self._make_registry_functions()
        self.machine = self._make_machine()
        self._make_trigger()
        self._settle_approvals()
        TearDown(self, "TearDown", foundation=base, machine=self.machine, group=self.group)
        self._output()

    def _training_role(self) -> SageMakerRole:
        """
        Training reads what was curated and the version; it writes models, which nothing is served from.

        A job's container has no credentials where it has no network; SageMaker writes to the prefix that the machine
        names, which is the run's own.
        """
        lake = self.foundation.lake
        role = SageMakerRole(self, "TrainingRole", foundation=self.foundation, log_groups=["TrainingJobs"])
        role.may_read(lake, "curated/*", "datasets/*")
        role.may_write(lake, "models/*")
        return self._may_run_source(role)

    def _evaluation_role(self) -> SageMakerRole:
        """Evaluation reads candidate and champion as well; it writes evaluations, and no model."""
        lake = self.foundation.lake
        role = SageMakerRole(self, "EvaluationRole", foundation=self.foundation, log_groups=["ProcessingJobs"])
        role.may_read(lake, "curated/*", "datasets/*", "models/*", "approved/*")
        role.may_write(lake, "reports/evaluations/*")
        return self._may_run_source(role)

    def _may_run_source(self, role: SageMakerRole) -> SageMakerRole:
        role.may_encrypt_jobs()
        role.may(
            ["s3:GetObject"],
            [self.source.objects_arn],
            because="The prefix is one deployment's source bundle: two files that this stack published itself.",
        )
        role.may(["s3:ListBucket"], [self.source.bucket_arn])
        return role

    def _make_run_functions(self) -> None:
        base = self.foundation
        freeze = self._function("FreezeDataset", freeze_dataset, timeout=900, source_bundle_uri=self.source.archive_uri)
        freeze.may_read(base.lake, "curated/*", "profiles/*", "datasets/*")
        freeze.may_write(base.lake, "datasets/*", "profiles/references/*")
        freeze.may_read_catalog(Partition.LIVE, Partition.MODELS)
        freeze.may_read_catalog(Partition.TIMELINE, Partition.LABELS, by=["Query"])
        freeze.may_write_catalog(Partition.DATASETS, by=["PutItem"])
        freeze.may_write_catalog(Partition.RUNS, by=["UpdateItem"])
        freeze.may_announce(said.DatasetFrozen)

        judge = self._function("JudgeCandidate", judge_candidate)
        judge.may_read(base.lake, "reports/evaluations/*")
        judge.may_write_catalog(Partition.RUNS, by=["UpdateItem"])
        judge.may_announce(said.CandidateJudged)

        conclude = self._function("ConcludeRun", conclude_run)
        conclude.may_read_catalog(Partition.ROLLOUTS)
        conclude.may_write_catalog(Partition.RUNS, by=["UpdateItem"])
        conclude.may_announce(said.LearningConcluded)

    def _make_registry_functions(self) -> None:
        base, group = self.foundation, self.group.model_package_group_name
        group_arn = self._arn("model-package-group", group)
        packages = self._arn("model-package", f"{group}/*")

        register = self._function(
            # The artifact is read three times: as it was written, as it was copied, and what is in it.
            *("RegisterModel", register_model),
            timeout=900,
            model_package_group=group,
            image_uri=self.image_uri,
        )
        register.may_read(base.lake, "models/*", versions=True)
        register.may_read(base.lake, "approved/*", "reports/evaluations/*")
        register.may_write(base.lake, "approved/*")
        register.may(["sagemaker:CreateModelPackage"], [packages], because=_PACKAGES)
        register.may(["sagemaker:CreateModelPackage"], [group_arn])
        register.may_read_catalog(Partition.RUNS)
        register.may_write_catalog(Partition.MODELS)
        register.may_announce(said.ModelRegistered)

        request = self._function(
            "RequestApproval", request_approval, model_package_group=group, topic_arn=base.topic.topic_arn
        )
        settle = self._function(
            "SettleApproval", settle_approval, dead_letters=self.undelivered, model_package_group=group
        )
        for function in (request, settle):
            function.may(
                ["sagemaker:DescribeModelPackage", "sagemaker:UpdateModelPackage"], [packages], because=_PACKAGES
            )
            function.may_read(base.lake, "approved/*", "reports/evaluations/*")
            function.may_write_catalog(Partition.MODELS, Partition.APPROVALS, by=["UpdateItem"])
        request.may_read_catalog(Partition.RUNS)
        request.may_announce(said.ApprovalRequested, said.ApprovalGranted)
        settle.may_announce(said.ApprovalGranted, said.ApprovalDenied)
        # Powertools' claims of messages.
        request.may_write_catalog(Partition.MESSAGES, by=["PutItem", "UpdateItem", "DeleteItem"])
        request.may(["sns:Publish"], [base.topic.topic_arn])
        request.may(["kms:GenerateDataKey"], [base.key.key_arn])

    def _make_machine(self) -> StateMachine:
        base, made = self.foundation, self.functions
        # The newest, as the alarm and people call it: an export that changes with each deployment can't be imported.
        back, rollout = self.serving.functions["RollBack"].arn, self.serving.machine.arn
        parts = LearningParts(
            freeze=made["FreezeDataset"].version_arn,
            judge=made["JudgeCandidate"].version_arn,
            register=made["RegisterModel"].version_arn,
            approve=made["RequestApproval"].version_arn,
            conclude=made["ConcludeRun"].version_arn,
            roll_back=back,
            rollout_machine=rollout,
            train=self._train(),
            evaluate=self._evaluate(),
            partition=cdk.Aws.PARTITION,
            approval_seconds=base.loop.governance.timeout_seconds,
            rollout_seconds=rollout_seconds(base.loop.rollout),
            jobs_seconds=3 * base.loop.training.max_runtime_seconds,
        )
        called = ("FreezeDataset", "JudgeCandidate", "RegisterModel", "RequestApproval", "ConcludeRun")
        jobs = [self._arn(kind, f"{base.resource_prefix}*") for kind in ("training-job", "processing-job")]
        rollouts = self.serving.machine.executions_arn
        machine = StateMachine(
            self,
            "LearningMachine",
            foundation=base,
            definition=learning_definition(parts),
            holds_task_tokens=True,
            calls=[made[name] for name in called],
            statements=[
                iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[back]),
                *sync_statements(self, base.resource_prefix, self.training_role.role_arn, kinds=("Training",)),
                *sync_statements(self, base.resource_prefix, self.evaluation_role.role_arn, kinds=("Processing",)),
                iam.PolicyStatement(actions=["states:StartExecution"], resources=[rollout]),
                iam.PolicyStatement(actions=["states:DescribeExecution", "states:StopExecution"], resources=[rollouts]),
                iam.PolicyStatement(
                    actions=["events:PutTargets", "events:PutRule", "events:DescribeRule"],
                    resources=[
                        self.format_arn(
                            service="events",
                            resource="rule",
                            resource_name="StepFunctionsGetEventsForStepFunctionsExecutionRule",
                        )
                    ],
                ),
            ],
            because={**dict.fromkeys(jobs, _RUNS), rollouts: _RUNS},
        )
        # Beside the functions' own policies: the machine must exist first, and it calls the functions.
        for name, answers in (
            ("RequestApproval", ["states:SendTaskSuccess", "states:SendTaskFailure"]),
            ("SettleApproval", ["states:SendTaskSuccess"]),
        ):
            statement = iam.PolicyStatement(actions=answers, resources=[machine.arn])
            iam.Policy(self, f"{name}Answers", roles=[made[name].role], statements=[statement])
        return machine

    def _train(self) -> dict[str, Any]:
        base = self.foundation
        return training_step(
            cdk.Aws.PARTITION,
            image_uri=self.image_uri,
            role_arn=self.training_role.role_arn,
            key_arn=base.key.key_arn,
            loop=base.loop,
            channels={
                "code": prefix(self.source.prefix_uri),
                "dataset": manifest("$.dataset.manifest_uri"),
                "version": prefix("$.dataset.version_uri"),
            },
            tags=self._job_tags(),
            result="$.training",
            next_state="Evaluate",
            catches=[FAILED],
        )

    def _evaluate(self) -> dict[str, Any]:
        base = self.foundation
        return processing_step(
            cdk.Aws.PARTITION,
            image_uri=self.image_uri,
            role_arn=self.evaluation_role.role_arn,
            key_arn=base.key.key_arn,
            loop=base.loop,
            inputs={
                "code": prefix(self.source.prefix_uri),
                "dataset": manifest("$.dataset.manifest_uri"),
                "version": prefix("$.dataset.version_uri"),
                "challenger": prefix("$.training.ModelArtifacts.S3ModelArtifacts"),
                "champion": prefix("$.dataset.champion_model_uri"),
            },
            entry_point=["python3", f"{INPUT}/code/bootstrap.py"],
            output_uri_path="$.dataset.evaluation_uri",
            tags=self._job_tags(),
            result="$.evaluation",
            next_state="Judge",
            catches=[FAILED],
        )

    def _make_trigger(self) -> None:
        base = self.foundation
        decide = self._function(
            "DecideRetraining",
            decide_retraining,
            dead_letters=self.undelivered,
            learning_machine_arn=self.machine.arn,
        )
        decide.may(["states:StartExecution"], [self.machine.arn])
        decide.may(["states:DescribeExecution"], [self.machine.executions_arn], because=_RUNS)
        decide.may_read_catalog(
            *(Partition.LIVE, Partition.LOCKS, Partition.DRIFT, Partition.PERFORMANCE, Partition.BUSINESS)
        )
        decide.may_read_catalog(Partition.TIMELINE, Partition.LABELS, by=["Query"])
        decide.may_write_catalog(Partition.TRIGGER, by=["PutItem"])
        decide.may_write_catalog(Partition.RUNS, by=["UpdateItem"])
        decide.may_announce(said.RetrainingRequested, said.RetrainingDeclined)
        Route(
            self,
            "SignalCame",
            bus=base.bus,
            pattern=announced(base, *_SIGNALS),
            to={"DecideRetraining": decide},
            dead_letters=self.undelivered,
            description="Drift, a fall of performance or business value, new data: reasons to retrain, perhaps",
        )
        if base.loop.triggers.schedule:
            Timetable(
                self,
                "RetrainingSchedule",
                expression=base.loop.triggers.schedule,
                target=decide,
                payload=json.dumps({"signal": "schedule"}),
                dead_letters=self.undelivered,
                description="Time to retrain, perhaps",
            )

    def _settle_approvals(self) -> None:
        Route(
            self,
            "PackageChanged",
            pattern={
                "source": ["aws.sagemaker"],
                "detail-type": ["SageMaker Model Package State Change"],
                "account": [cdk.Aws.ACCOUNT_ID],
                "detail": {"ModelPackageGroupName": [self.group.model_package_group_name]},
            },
            to={"SettleApproval": self.functions["SettleApproval"]},
            dead_letters=self.undelivered,
            description="Somebody approved or rejected a model version of the loop",
        )

    def _job_tags(self) -> list[dict[str, str]]:
        return [{"Key": key, "Value": value} for key, value in self.foundation.tags.items()]

    def _output(self) -> None:
        outputs = {
            "LearningMachineArn": self.machine.arn,
            "ModelPackageGroupName": self.group.model_package_group_name,
            "DecideRetrainingFunction": self.functions["DecideRetraining"].name,
        }
        for name, value in outputs.items():
            cdk.CfnOutput(self, name, value=value)
