"""Where data lands, is kept and is watched: buckets, catalog, bus, and the functions that turn files into knowledge."""

from __future__ import annotations

import json
import math
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_backup as backup
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_s3_assets as assets
from constructs import Construct

from functions import (
    append_ledger,
    check_business,
    check_drift,
    check_freshness,
    check_performance,
    ingest_capture,
    join_labels,
    reconcile_landings,
    record_batch,
    validate_batch,
)
from infra.acknowledged import acknowledge
from infra.buckets import AccessLogs, Storage
from infra.foundation import Foundation
from infra.key import LoopKey
from infra.large_batches import LargeBatches
from infra.loop_file import loop_file
from infra.packaging import Architecture
from infra.python_function import PythonFunction
from infra.queues import DeadLetters, Inbox
from infra.routes import Route, Timetable, announced, landed
from infra.settings import Deployment
from infra.tear_down import TearDown
from infra.topic import PeopleTopic
from perennial import events as said
from perennial import keys
from perennial.keys import Partition
from perennial.project import Loop

__all__ = ["DataStack"]


class DataStack(cdk.Stack):
    """The stable part of a loop: everything that must outlive any one model."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        loop: Loop,
        deployment: Deployment,
        architecture: Architecture,
        **stack: Any,
    ) -> None:
        name = keys.deployment_name(loop.name, deployment.stage)
        super().__init__(scope, construct_id, description=f"Perennial, {name}: data", **stack)
        key = LoopKey(self, "Key", loop=loop, deployment=deployment)
        self.access_logs = AccessLogs(self, "AccessLogs", deployment=deployment)
        storage = {"key": key, "access_logs": self.access_logs, "deployment": deployment}
        self.foundation = Foundation(
            loop=loop,
            deployment=deployment,
            architecture=architecture,
            key=key,
            landing=Storage(self, "Landing", announces=True, noncurrent_days=90, **storage),
            lake=Storage(self, "Lake", announces=True, noncurrent_days=30, temporary_prefixes=("capture/",), **storage),
            audit=Storage(self, "Audit", locked_days=deployment.audit_retention_days, **storage),
            catalog=self._catalog(key, deployment),
            bus=events.EventBus(self, "Bus", description=f"What happens to {name}"),
            topic=PeopleTopic(self, "Topic", key=key, email=deployment.alarm_email),
            loop_asset=assets.Asset(self, "LoopFile", path=str(loop_file(loop))),
        )
        self.undelivered = DeadLetters(self, "Undelivered")
        self.functions: dict[str, PythonFunction] = {}
        self.inboxes: dict[str, Inbox] = {}
        if deployment.backup:
            self._back_up(key)
        self._archive()
        self._ingest()
        self._watch()
        self._record()
        self._tell_people()
        self._output()

    def _catalog(self, key: LoopKey, deployment: Deployment) -> dynamodb.Table:
        return dynamodb.Table(
            self,
            "Catalog",
            partition_key=dynamodb.Attribute(name="pk", type=dynamodb.AttributeType.STRING),
            sort_key=dynamodb.Attribute(name="sk", type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED,
            encryption_key=key,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            time_to_live_attribute="expires_at",
            deletion_protection=deployment.keep_data,
            removal_policy=deployment.removal_policy,
        )

    def _back_up(self, key: LoopKey) -> None:
        """Copies of the catalog apart from it, for 35 days; the vault outlives the stack, since it can't be emptied."""
        vault = backup.BackupVault(self, "BackupVault", encryption_key=key, removal_policy=cdk.RemovalPolicy.RETAIN)
        plan = backup.BackupPlan.daily35_day_retention(self, "BackupPlan", vault)
        selection = plan.add_selection(
            "Catalog", resources=[backup.BackupResource.from_dynamo_db_table(self.foundation.catalog)]
        )
        acknowledge(
            selection,
            "AwsSolutions-IAM4[Policy::{}]",
            "AWS Backup's own policy for its service role: what a backup of a table takes is AWS's to say.",
            subject=f"arn:{cdk.Aws.PARTITION}:iam::aws:policy/service-role/AWSBackupServiceRolePolicyForBackup",
        )

    def _archive(self) -> None:
        bus = self.foundation.bus
        events.CfnArchive(
            self,
            "Archive",
            source_arn=bus.event_bus_arn,
            description=f"Events of {self.foundation.name}, for replays",
            event_pattern={"source": [said.SOURCE]},
            retention_days=self.foundation.deployment.log_retention_days,
        )

    def _ingest(self) -> None:
        """Landed files become batches and labels; captured requests become predictions."""
        base = self.foundation
        record = self._function("RecordBatch", record_batch, landing_bucket=True)
        record.may_read(base.lake, "ingest/*")
        _may_record_batches(record)
        poison = DeadLetters(self, "BatchesDeadLetters")
        self.large_batches = LargeBatches(self, "LargeBatches", foundation=base, record=record, dead_letters=poison)

        deployment = base.deployment
        validate = self._function(
            "ValidateBatch",
            validate_batch,
            landing_bucket=True,
            # One core takes a minute or two for the largest file; what is slow to parse takes longer.
            timeout=900,
            disk_mb=_disk_mb(deployment.max_object_bytes),
            large_batch_machine_arn=self.large_batches.machine.arn,
            max_object_bytes=deployment.max_object_bytes,
            max_job_bytes=deployment.max_job_bytes,
        )
        self.large_batches.let_start(validate)
        validate.may_read(base.landing, f"{keys.BATCHES_PREFIX}*", versions=True)
        validate.may_read(base.lake, "ids/*")
        validate.may_write(base.lake, "curated/batches/*", "quarantine/*", "profiles/batches/*", "ids/*", "ingest/*")
        _may_record_batches(validate)
        validate.may_read_catalog(Partition.ID_LOG, Partition.ID_TIMES, by=["Query"])
        validate.may_write_catalog(Partition.ID_LOG, Partition.ID_TIMES, Partition.ID_RECEIPTS, by=["PutItem"])
        validate.may_write_catalog(Partition.ID_SPAN, by=["UpdateItem"])

        labels = self._function("JoinLabels", join_labels, landing_bucket=True, timeout=300)
        labels.may_read(base.landing, f"{keys.LABELS_PREFIX}*", versions=True)
        labels.may_write(base.lake, "curated/labels/*", "quarantine/*")
        labels.may_read_catalog(Partition.TIMELINE, by=["Query"])
        labels.may_write_catalog(Partition.LABELS, by=["PutItem"])
        labels.may_write_catalog(Partition.LANDINGS, by=["UpdateItem"])
        labels.may_announce(said.LabelsJoined, said.LabelsRejected)

        capture = self._function("IngestCapture", ingest_capture, endpoint_name=base.endpoint_name, timeout=300)
        capture.may_read(base.lake, f"{keys.CAPTURE_PREFIX}*", versions=True)
        capture.may_write(base.lake, "predictions/*")
        capture.may_write_catalog(Partition.PREDICTIONS, by=["PutItem"])

        for name, function, bucket, prefix, dead_letters in (
            ("Batches", validate, base.landing, keys.BATCHES_PREFIX, poison),
            ("Labels", labels, base.landing, keys.LABELS_PREFIX, None),
            ("Captures", capture, base.lake, keys.CAPTURE_PREFIX, None),
        ):
            self.inboxes[name] = Inbox(
                self,
                f"{name}Inbox",
                consumer=function,
                # One file is one unit of work: what kills a call, or takes all of its time, takes no neighbour with it.
                batch_size=1,
                max_concurrency=10,
                dead_letters=dead_letters,
            )
            Route(
                self,
                f"{name}Landed",
                pattern=landed(bucket.bucket_name, prefix),
                to={name: self.inboxes[name]},
                dead_letters=self.undelivered,
                description=f"Objects under {prefix} wait for {function.node.id}",
            )

        self._reconcile()

    def _reconcile(self) -> None:
        """What landed although no event told of it is put into its queue a day later."""
        base, inboxes = self.foundation, self.inboxes
        reconcile = self._function(
            "ReconcileLandings",
            reconcile_landings,
            landing_bucket=True,
            dead=True,
            timeout=900,
            batches_queue_url=inboxes["Batches"].queue.queue_url,
            labels_queue_url=inboxes["Labels"].queue.queue_url,
        )
        reconcile.may(["s3:ListBucketVersions"], [base.landing.bucket_arn])
        reconcile.may(["sqs:SendMessage"], [inboxes[name].queue.queue_arn for name in ("Batches", "Labels")])
        reconcile.may_read_catalog(Partition.LANDINGS)
        Timetable(
            self,
            "ReconcileSchedule",
            expression="rate(1 day)",
            target=reconcile,
            payload=json.dumps({}),
            dead_letters=self.undelivered,
            description="Whether every landed file is known",
        )

    def _watch(self) -> None:
        """Accepted batches are compared with the reference, labels with predictions, silence with the contract."""
        base = self.foundation
        drift = self._function("CheckDrift", check_drift, dead=True, timeout=120)
        drift.may_read(base.lake, "profiles/*", "reports/evaluations/*", "reports/drift/*")
        drift.may_write(base.lake, "reports/drift/*")
        drift.may_read_catalog(Partition.LIVE)
        drift.may_read_catalog(Partition.TIMELINE, by=["Query"])
        drift.may_write_catalog(Partition.DRIFT)
        drift.may_announce(said.DriftDetected)

        performance = self._function("CheckPerformance", check_performance, dead=True, timeout=300)
        performance.may_read(base.lake, "curated/labels/*", "predictions/*", "reports/evaluations/*")
        performance.may_read_catalog(Partition.LIVE)
        performance.may_read_catalog(Partition.LABELS, Partition.PREDICTIONS, by=["Query"])
        performance.may_write_catalog(Partition.SCORES, by=["PutItem"])
        performance.may_write_catalog(Partition.PERFORMANCE)
        performance.may_announce(said.PerformanceFell)

        freshness = self._function("CheckFreshness", check_freshness, dead=True)
        freshness.may_read_catalog(Partition.ARRIVAL)
        freshness.may_write_catalog(Partition.OUTAGE, by=["UpdateItem"])
        freshness.may_announce(said.DataOutage)

        checks = {"CheckDrift": drift}
        if base.loop.triggers.business is not None:
            checks["CheckBusiness"] = self._check_business()
        self._on("BatchWasAccepted", checks, said.BatchAccepted)
        self._on("LabelsWereJoined", {"CheckPerformance": performance}, said.LabelsJoined)
        Timetable(
            self,
            "FreshnessSchedule",
            expression="rate(15 minutes)",
            target=freshness,
            payload=json.dumps({}),
            dead_letters=self.undelivered,
            description="Whether data still comes",
        )

    def _check_business(self) -> PythonFunction:
        base = self.foundation
        business = self._function("CheckBusiness", check_business, dead=True, timeout=120)
        business.may_read(base.lake, "profiles/*")
        business.may_read_catalog(Partition.LIVE)
        business.may_read_catalog(Partition.TIMELINE, by=["Query"])
        business.may_write_catalog(Partition.BUSINESS)
        business.may_announce(said.BusinessFell)
        return business

    def _record(self) -> None:
        """Every event becomes one entry of the ledger, in the bucket that nothing can be deleted from."""
        base = self.foundation
        ledger = self._function("AppendLedger", append_ledger, audit_bucket=base.audit.bucket_name)
        ledger.may_read(base.audit, "ledger/*")
        ledger.may_write(base.audit, "ledger/*")
        ledger.may_read_catalog(Partition.LEDGER, by=["Query"])
        ledger.may_write_catalog(Partition.LEDGER, Partition.LEDGER_RECEIPTS, by=["PutItem"])
        ledger.may_write_catalog(Partition.LEDGER_HEAD, by=["UpdateItem"])
        # Two at a time at most: entries are a chain, so writers of one loop only wait for each other.
        self.inboxes["Ledger"] = Inbox(
            self, "LedgerInbox", consumer=ledger, batch_size=10, max_concurrency=2, max_receives=20
        )
        self._on("AnythingHappened", {"Ledger": self.inboxes["Ledger"]})

    def _tell_people(self) -> None:
        self._on(
            "PeopleShouldKnow",
            {"Topic": self.foundation.topic},
            said.DataOutage,
            said.BatchRejected,
            said.LabelsRejected,
            said.ModelPromoted,
            said.ModelRolledBack,
        )
        self._tell_of_failed_runs()

    def _tell_of_failed_runs(self) -> None:
        """The alarm on the machine says that a run failed; this says why."""
        base = self.foundation
        pattern = announced(base, said.LearningConcluded)
        Route(
            self,
            "RunFailed",
            bus=base.bus,
            pattern={**pattern, "detail": {**pattern["detail"], "outcome": ["failed"]}},
            to={"Topic": base.topic},
            dead_letters=self.undelivered,
            description="Learning runs of the loop that failed",
        )

    def _on(self, name: str, to: dict[str, Any], *kinds: type[said.Event]) -> None:
        Route(
            self,
            name,
            bus=self.foundation.bus,
            pattern=announced(self.foundation, *kinds),
            to=to,
            dead_letters=self.undelivered,
            description=f"{', '.join(kind.detail_type for kind in kinds) or 'Every event'} of the loop",
        )

    def _function(
        self,
        name: str,
        module: Any,
        *,
        timeout: int = 60,
        disk_mb: int = 512,
        dead: bool = False,
        landing_bucket: bool = False,
        **settings: Any,
    ) -> PythonFunction:
        if landing_bucket:
            settings["landing_bucket"] = self.foundation.landing.bucket_name
        self.functions[name] = PythonFunction(
            self,
            name,
            module=module,
            foundation=self.foundation,
            settings=settings,
            timeout_seconds=timeout,
            disk_mb=disk_mb,
            dead_letters=self.undelivered if dead else None,
        )
        return self.functions[name]

    def _output(self) -> None:
        base = self.foundation
        TearDown(
            self,
            "TearDown",
            foundation=base,
            machine=self.large_batches.machine,
            # Captures and access logs come late: the lake goes before the bucket that its own emptying is logged in.
            buckets=() if base.deployment.keep_data else (base.landing, base.lake, base.audit, self.access_logs),
        )
        outputs = {
            "LandingBucket": base.landing.bucket_name,
            "LakeBucket": base.lake.bucket_name,
            "AuditBucket": base.audit.bucket_name,
            "CatalogTable": base.catalog.table_name,
            "BusName": base.bus.event_bus_name,
            "TopicArn": base.topic.topic_arn,
            "LargeBatchMachineArn": self.large_batches.machine.arn,
            **{f"{name}QueueUrl": inbox.queue.queue_url for name, inbox in self.inboxes.items()},
            **{f"{name}DeadLetterQueueUrl": inbox.dead_letters.queue_url for name, inbox in self.inboxes.items()},
            "UndeliveredQueueUrl": self.undelivered.queue_url,
        }
        for name, value in outputs.items():
            cdk.CfnOutput(self, name, value=value)


def _may_record_batches(function: PythonFunction) -> None:
    """What `BatchRecords` does, in whichever function."""
    function.may_write_catalog(Partition.BATCHES, Partition.TIMELINE, by=["PutItem"])
    function.may_write_catalog(Partition.LANDINGS, Partition.ARRIVAL, by=["UpdateItem"])
    function.may_announce(said.BatchAccepted, said.BatchRejected)


def _disk_mb(max_object_bytes: int) -> int:
    """Room for the file as it landed, for its rows again, and a little for ids and what was refused."""
    return min(10_240, 512 + math.ceil(2.375 * max_object_bytes / 2**20))
