"""What each role of the deployment may do of all that matters, and calls that find it out without doing any of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from perennial import events as said
from perennial.keys import Partition, partition_name

__all__ = ["MAY", "PROBES", "Account", "may"]

_WRITTEN = (
    *(Partition.LIVE, Partition.MODELS, Partition.APPROVALS, Partition.RUNS, Partition.TRIGGER, Partition.LEDGER),
    *(Partition.LANDINGS, Partition.BATCHES, Partition.LABELS, Partition.ID_LOG, Partition.PREDICTIONS),
    *(Partition.DRIFT, Partition.PERFORMANCE, Partition.OUTAGE, Partition.DATASETS, Partition.ROLLOUTS),
)
_SAID = (
    *(said.BatchAccepted, said.LabelsJoined, said.DriftDetected, said.PerformanceFell, said.DataOutage),
    *(said.RetrainingRequested, said.DatasetFrozen, said.CandidateJudged, said.ModelRegistered, said.ApprovalGranted),
    *(said.RolloutStarted, said.RolloutAdvanced, said.ModelPromoted, said.ModelRolledBack, said.LearningConcluded),
)
_PUT = (
    *("curated/batches", "curated/labels", "predictions", "profiles/references", "datasets", "models", "approved"),
    *("reports/evaluations", "reports/drift", "capture"),
)


@dataclass(frozen=True)
class Account:
    """A role's clients, and what stands in the stacks' outputs."""

    client: Callable[[str], Any]
    outputs: Mapping[str, str]
    loop: str


Probe = Callable[[Account], None]


def _writes(partition: Partition) -> Probe:
    """Under a condition that no item meets: allowed, it changes nothing."""

    def call(account: Account) -> None:
        key = {"pk": {"S": partition_name(account.loop, partition)}, "sk": {"S": "next door"}}
        table = {"TableName": account.outputs["CatalogTable"], "ConditionExpression": "attribute_exists(nothing)"}
        db = account.client("dynamodb")
        try:
            db.put_item(Item=key, **table)
        except ClientError as error:
            if not _denied(error):
                return
            db.update_item(Key=key, **table)

    return call


def _says(kind: type[said.Event]) -> Probe:
    """Without a loop in it, so that no rule matches."""

    def call(account: Account) -> None:
        entry = {"EventBusName": account.outputs["BusName"], "Source": said.SOURCE, "DetailType": kind.detail_type}
        account.client("events").put_events(Entries=[{**entry, "Detail": "{}"}])

    return call


def _puts(bucket: str, prefix: str) -> Probe:
    """In place of an object that isn't there: allowed, it is refused for that."""

    def call(account: Account) -> None:
        where = {"Bucket": account.outputs[bucket], "Key": f"{prefix}/next-door"}
        account.client("s3").put_object(**where, Body=b"x", IfMatch='"0123456789abcdef0123456789abcdef"')

    return call


def _starts(machine: str) -> Probe:
    """By a name that no execution may have."""

    def call(account: Account) -> None:
        account.client("stepfunctions").start_execution(
            stateMachineArn=account.outputs[machine], name="no name: <>", input="{}"
        )

    return call


def _stops(machine: str) -> Probe:
    def call(account: Account) -> None:
        arn = account.outputs[machine].replace(":stateMachine:", ":execution:")
        account.client("stepfunctions").stop_execution(executionArn=f"{arn}:next-door")

    return call


def _sends(queue: str) -> Probe:
    """Larger than a queue takes."""

    def call(account: Account) -> None:
        account.client("sqs").send_message(QueueUrl=account.outputs[queue], MessageBody="x" * (1024**2 + 1))

    return call


def _registers(account: Account) -> None:
    account.client("sagemaker").create_model_package(
        ModelPackageGroupName=account.outputs["ModelPackageGroupName"], ModelApprovalStatus="Nearly"
    )


def _approves(account: Account) -> None:
    arn = f"arn:aws:sagemaker:us-east-1:{account.outputs['account']}:model-package"
    account.client("sagemaker").update_model_package(
        ModelPackageArn=f"{arn}/{account.outputs['ModelPackageGroupName']}/999999", ModelApprovalStatus="Approved"
    )


def _turns(account: Account) -> None:
    account.client("sagemaker").update_endpoint_weights_and_capacities(
        EndpointName=account.outputs["EndpointName"],
        DesiredWeightsAndCapacities=[{"VariantName": "nobody", "DesiredWeight": 1.0}],
    )


def _asks(account: Account) -> None:
    account.client("sagemaker-runtime").invoke_endpoint(EndpointName=account.outputs["EndpointName"], Body=b"{")


def _trains(account: Account) -> None:
    """A job without a role that anybody could pass is refused before it begins."""
    account.client("sagemaker").describe_training_job(TrainingJobName=f"{account.loop}--dev--next-door")


def _deletes(bucket: str) -> Probe:
    def call(account: Account) -> None:
        account.client("s3").delete_object(Bucket=account.outputs[bucket], Key="next-door/nothing")

    return call


def _tells(account: Account) -> None:
    account.client("sns").publish(TopicArn=account.outputs["TopicArn"], Message="x" * (256 * 1024 + 1))


def _calls(function: str) -> Probe:
    """Without running it."""

    def call(account: Account) -> None:
        account.client("lambda").invoke(FunctionName=account.outputs[function], InvocationType="DryRun")

    return call


PROBES: Mapping[str, Probe] = {
    **{f"write {one}": _writes(one) for one in _WRITTEN},
    **{f"say {one.detail_type}": _says(one) for one in _SAID},
    **{f"put {one}": _puts("LakeBucket", one) for one in _PUT},
    "put ledger": _puts("AuditBucket", "ledger"),
    "put landed": _puts("LandingBucket", "batches"),
    "delete ledger": _deletes("AuditBucket"),
    "delete lake": _deletes("LakeBucket"),
    "register": _registers,
    "approve": _approves,
    "turn traffic": _turns,
    "ask endpoint": _asks,
    "look at training": _trains,
    "start learning": _starts("LearningMachineArn"),
    "start rollout": _starts("RolloutMachineArn"),
    "start large batch": _starts("LargeBatchMachineArn"),
    "stop learning": _stops("LearningMachineArn"),
    "stop rollout": _stops("RolloutMachineArn"),
    "stop large batch": _stops("LargeBatchMachineArn"),
    "send batch": _sends("BatchesQueueUrl"),
    "send dead batch": _sends("BatchesDeadLetterQueueUrl"),
    "send undelivered": _sends("UndeliveredQueueUrl"),
    "tell people": _tells,
    "call decide_retraining": _calls("DecideRetrainingFunction"),
    "call roll_back": _calls("RollBackFunction"),
}
"""All that is tried as each role; nothing comes of it, allowed or not."""

_RECORDS_BATCHES = {"write landings", "write batches", "say Batch Accepted"}
_TURNS = {"write live", "write rollouts", "write models", "turn traffic"}
_UNDELIVERED = {"send undelivered"}

MAY: Mapping[str, set[str]] = {
    "Data.ValidateBatchRole": _RECORDS_BATCHES | {"write id-log", "put curated/batches", "start large batch"},
    "Data.RecordBatchRole": _RECORDS_BATCHES,
    "Data.JoinLabelsRole": {"write landings", "write labels", "say Labels Joined", "put curated/labels"},
    "Data.IngestCaptureRole": {"write predictions", "put predictions"},
    "Data.ReconcileLandingsRole": {"send batch"} | _UNDELIVERED,
    "Data.CheckDriftRole": {"write evidence-drift", "say Drift Detected", "put reports/drift"} | _UNDELIVERED,
    "Data.CheckPerformanceRole": {"write evidence-performance", "say Performance Fell"} | _UNDELIVERED,
    "Data.CheckFreshnessRole": {"write evidence-outage", "say Data Outage"} | _UNDELIVERED,
    "Data.AppendLedgerRole": {"write ledger", "put ledger"},
    "Data.FreshnessScheduleRole": _UNDELIVERED,
    "Data.ReconcileScheduleRole": _UNDELIVERED,
    "Data.LargeBatchesJobRole": {"write id-log", "put curated/batches"},
    "Data.LargeBatchesMachineRole": {"send dead batch"},
    "Data.TearDownFunctionRole": {"delete ledger", "delete lake", "stop large batch"},
    "Serving.PrepareRolloutRole": {"write live", "write rollouts", "say Rollout Started"},
    "Serving.SmokeTestRole": {"ask endpoint"},
    "Serving.AnalyseCanaryRole": {"write rollouts", "say Rollout Advanced"},
    "Serving.FinishRolloutRole": _TURNS | {"say Model Promoted"},
    "Serving.RollBackRole": _TURNS | {"say Model Rolled Back"},
    "Serving.RolloutMachineRole": {"turn traffic"},
    "Serving.ModelRole": {"put capture"},
    "Serving.TearDownFunctionRole": {"stop rollout"},
    "Learning.FreezeDatasetRole": {
        *("write runs", "write datasets", "say Dataset Frozen", "put datasets", "put profiles/references")
    },
    "Learning.JudgeCandidateRole": {"write runs", "say Candidate Judged"},
    "Learning.ConcludeRunRole": {"write runs", "say Learning Concluded"},
    "Learning.RegisterModelRole": {"write models", "say Model Registered", "put approved", "register"},
    "Learning.RequestApprovalRole": {
        *("write models", "write approvals", "say Approval Granted", "approve", "tell people")
    },
    "Learning.SettleApprovalRole": {"write models", "write approvals", "say Approval Granted", "approve"},
    "Learning.DecideRetrainingRole": {*("write trigger", "write runs", "say Retraining Requested", "start learning")},
    "Learning.RetrainingScheduleRole": {"call decide_retraining"},
    "Learning.LearningMachineRole": {"look at training", "start rollout", "stop rollout", "call roll_back"},
    "Learning.TrainingRole": {"put models"},
    "Learning.EvaluationRole": {"put reports/evaluations"},
    "Learning.TearDownFunctionRole": {"stop learning"},
}
"""By stack and role: all of the probes that it may do. Whatever is missing here must be denied."""


def may(account: Account, probe: str) -> bool:
    """Whether AWS would let this caller do it, whatever else it says of the request."""
    try:
        PROBES[probe](account)
    except ClientError as error:
        return not _denied(error)
    return True


def _denied(error: ClientError) -> bool:
    return str(error.response["Error"]["Code"]).startswith(("AccessDenied", "AuthorizationError"))


def trusting(document: Any, account_id: str) -> str:
    """A role's trust policy, with the account's root besides: how a test becomes the role."""
    trust = json.loads(document) if isinstance(document, str) else document
    root = {
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Principal": {"AWS": f"arn:aws:iam::{account_id}:root"},
    }
    return json.dumps({**trust, "Statement": [*trust["Statement"], root]})
