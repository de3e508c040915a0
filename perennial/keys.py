"""
Where everything is kept and what it is called: every S3 key, every key of the catalog table, every physical name.

Identities come from content, so the same file always gets the same keys, in whatever order and however often it
lands. Object keys given by producers are opaque text: they are hashed, never used as paths.

Longer than 400 lines because a name that is made in two places is two names sooner or later.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, Literal

__all__ = [
    "BATCHES_PREFIX",
    "CAPTURE_PREFIX",
    "LABELS_PREFIX",
    "STACKS_PREFIX",
    "STACK_PARTS",
    "EvidenceKind",
    "Partition",
    "TableKey",
    "approval_item",
    "approved_key",
    "arrival_item",
    "batch_item",
    "batches_partition",
    "content_digest",
    "curated_key",
    "curated_labels_key",
    "dataset_item",
    "dataset_prefix",
    "deployment_name",
    "deployment_of_stack",
    "drift_page_key",
    "drift_report_key",
    "endpoint_name",
    "evaluation_prefix",
    "id_log_item",
    "id_log_partition",
    "id_receipt_item",
    "id_span_item",
    "id_time_item",
    "id_times_partition",
    "ids_key",
    "labels_item",
    "labels_partition",
    "landing_item",
    "large_batch_name",
    "large_order_key",
    "large_outcome_key",
    "ledger_head_item",
    "ledger_item",
    "ledger_key",
    "ledger_partition",
    "ledger_receipt_item",
    "live_item",
    "lock_item",
    "messages_partition",
    "model_item",
    "models_partition",
    "models_prefix",
    "outage_item",
    "package_group_name",
    "partition_name",
    "predictions_item",
    "predictions_key",
    "predictions_partition",
    "profile_key",
    "quarantine_key",
    "quarantined_original_key",
    "reference_key",
    "resource_name",
    "resource_prefix",
    "rollout_item",
    "rollouts_partition",
    "run_item",
    "runs_partition",
    "score_item",
    "scores_partition",
    "short_id",
    "signal_item",
    "sortable",
    "stack_name",
    "streak_item",
    "timeline_item",
    "timeline_partition",
    "trigger_item",
]

# Landing bucket: producers write under these two prefixes only.
BATCHES_PREFIX: Final = "batches/"
LABELS_PREFIX: Final = "labels/"
# Lake bucket: SageMaker's data capture writes here.
CAPTURE_PREFIX: Final = "capture/"

TableKey = dict[str, str]


def short_id(*parts: str) -> str:
    """
    A name of 40 hex digits made from `parts`: fits execution, job, model and endpoint-config names.

    >>> short_id("bikeshare", "drift") == short_id("bikeshare", "drift"), len(short_id("a"))
    (True, 40)
    """
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:40]


def content_digest(data: bytes) -> str:
    """SHA-256 of a whole object in hex: a batch's identity."""
    return hashlib.sha256(data).hexdigest()


def sortable(moment: datetime) -> str:
    """
    A moment as text that sorts as time does; for sort keys.

    >>> sortable(datetime(2026, 1, 2, tzinfo=UTC))
    '2026-01-02T00:00:00.000000Z'
    """
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


# --- S3, lake bucket -------------------------------------------------------------------------------------------


def curated_key(batch_id: str) -> str:
    """Accepted rows of one batch, as Parquet."""
    return f"curated/batches/{batch_id}.parquet"


def curated_labels_key(labels_id: str) -> str:
    """Accepted labels of one label file, as Parquet."""
    return f"curated/labels/{labels_id}.parquet"


def quarantine_key(batch_id: str) -> str:
    """Rows of one batch that broke the contract, as JSON lines: row number, reasons, original text."""
    return f"quarantine/rows/{batch_id}.jsonl"


def quarantined_original_key(batch_id: str) -> str:
    """A file that was refused as a whole, as it landed."""
    return f"quarantine/files/{batch_id}"


def profile_key(batch_id: str) -> str:
    """The profile of one batch's accepted rows."""
    return f"profiles/batches/{batch_id}.profile"


def ids_key(batch_id: str, digest: str) -> str:
    """Ids of the rows of one batch that its file alone would have accepted; the digest is of these bytes."""
    return f"ids/{batch_id}/{digest}.ids"


def large_batch_name(landing: TableKey, attempt: int) -> str:
    """The execution that makes a batch of a large file: an attempt's own, so that a failed one can be made again."""
    return short_id("large batch", landing["sk"], str(attempt))


def large_order_key(name: str) -> str:
    """What a job is to make a batch of; `name` is of its execution."""
    return f"ingest/{name}/order.json"


def large_outcome_key(name: str) -> str:
    """What the job has made: written after everything that it speaks of."""
    return f"ingest/{name}/outcome.json"


def models_prefix(run_id: str) -> str:
    """Where the training job of one learning run writes: nothing is served from here."""
    return f"models/{run_id}/"


def approved_key(artifact_digest: str) -> str:
    """A model archive that passed the gate, as register_model copied it: what is approved, compared with, served."""
    return f"approved/{artifact_digest}/model.tar.gz"


def reference_key(model_version: str) -> str:
    """The merged profile and calibration of a model's own training batches."""
    return f"profiles/references/{model_version}.json"


def dataset_prefix(dataset_id: str) -> str:
    """A dataset version: `version.json` (batches, split, label cut-off, contract) and its channel manifests."""
    return f"datasets/{dataset_id}/"


def evaluation_prefix(run_id: str) -> str:
    """What the evaluation of one learning run wrote: `evaluation.json`, `smoke.json`."""
    return f"reports/evaluations/{run_id}/"


def drift_report_key(batch_id: str) -> str:
    """The drift report made when this batch landed."""
    return f"reports/drift/{batch_id}.json"


def drift_page_key(batch_id: str) -> str:
    """The same report as a page for people; there where it is worth a look."""
    return f"reports/drift/{batch_id}.html"


def predictions_key(capture_id: str) -> str:
    """Predictions read from one capture file, as Parquet."""
    return f"predictions/{capture_id}.parquet"


# --- S3, audit bucket ------------------------------------------------------------------------------------------


def ledger_key(sequence: int) -> str:
    """One ledger entry as JSON; zero-padded so that listing is chronological."""
    return f"ledger/{sequence:012d}.json"


# --- SageMaker names -------------------------------------------------------------------------------------------


# No loop's and no stage's name contains it, so that no deployment's resources are named like another's: fraud--dev--1
# is neither of loop fraud-x nor of stage dev-2.
_OF: Final = "--"
# 72 bits of a run's id. The longest prefix has 43 characters (loop 29, stage 10), a kind needs two, SageMaker takes 63.
_RUN_DIGITS: Final = 18


def deployment_name(loop: str, stage: str) -> str:
    """
    What one deployment of a loop is called, as the tag `deployment` of everything it has.

    >>> deployment_name("bikeshare", "dev")
    'bikeshare--dev'
    """
    return f"{loop}{_OF}{stage}"


def resource_prefix(loop: str, stage: str) -> str:
    """What the names of all jobs and models of a deployment begin with, and no other's: permissions end with it."""
    return f"{deployment_name(loop, stage)}{_OF}"


def resource_name(loop: str, stage: str, run_id: str, kind: str = "") -> str:
    """
    A job, model or endpoint configuration of a run, as SageMaker takes names: 63 characters at most.

    Parameters
    ----------
    kind
        One letter that tells apart what a run makes of the same sort: an evaluation, a large batch, a retirement.

    >>> resource_name("bikeshare", "dev", "0123456789abcdef0123456789abcdef01234567", "e")
    'bikeshare--dev--0123456789abcdef01-e'
    """
    run = run_id[:_RUN_DIGITS].rstrip("-")
    return f"{resource_prefix(loop, stage)}{run}{'-' if kind else ''}{kind}"


def endpoint_name(loop: str, stage: str) -> str:
    """A deployment's endpoint: known at synthesis, so that alarms can watch its variants before it exists."""
    return f"perennial-{deployment_name(loop, stage)}"


def package_group_name(loop: str, stage: str) -> str:
    """A deployment's model package group."""
    return f"perennial-{deployment_name(loop, stage)}"


# --- CloudFormation stacks ---------------------------------------------------------------------------------------

STACKS_PREFIX: Final = "Perennial-"
STACK_PARTS: Final = ("Data", "Learning", "Serving", "Observability")


def stack_name(loop: str, stage: str, part: str) -> str:
    """
    One of a deployment's stacks; `part` is one of STACK_PARTS.

    >>> stack_name("bikeshare", "dev", "Data")
    'Perennial-bikeshare--dev-Data'
    """
    return f"{STACKS_PREFIX}{deployment_name(loop, stage)}-{part}"


def deployment_of_stack(name: str) -> tuple[str, str] | None:
    """
    Loop and stage of a stack by its name; None if it isn't a deployment's.

    >>> deployment_of_stack("Perennial-bikeshare--dev-Data"), deployment_of_stack("CDKToolkit")
    (('bikeshare', 'dev'), None)
    """
    deployment, separator, _ = name.removeprefix(STACKS_PREFIX).rpartition("-")
    loop, found, stage = deployment.partition(_OF)
    return (loop, stage) if name.startswith(STACKS_PREFIX) and separator and found else None


# --- Catalog table: partition key `pk`, sort key `sk` ------------------------------------------------------------


class Partition(StrEnum):
    """
    What the catalog is made of: a role may use partitions, so what one role alone may write is a partition of its own.
    """

    BATCHES = "batches"
    TIMELINE = "timeline"
    ID_LOG = "id-log"
    ID_RECEIPTS = "id-receipts"
    ID_TIMES = "id-times"
    ID_SPAN = "id-span"
    LANDINGS = "landings"
    LABELS = "labels"
    PREDICTIONS = "predictions"
    SCORES = "scores"
    ARRIVAL = "evidence-arrival"
    OUTAGE = "evidence-outage"
    DRIFT = "evidence-drift"
    PERFORMANCE = "evidence-performance"
    BUSINESS = "evidence-business"
    DATASETS = "datasets"
    MODELS = "models"
    RUNS = "runs"
    ROLLOUTS = "rollouts"
    LIVE = "live"
    TRIGGER = "trigger"
    LOCKS = "locks"
    APPROVALS = "approvals"
    MESSAGES = "messages"
    LEDGER = "ledger"
    LEDGER_RECEIPTS = "ledger-receipts"
    LEDGER_HEAD = "ledger-head"


EvidenceKind = Literal["drift", "performance", "business"]
_EVIDENCE: Final[dict[EvidenceKind, Partition]] = {
    "drift": Partition.DRIFT,
    "performance": Partition.PERFORMANCE,
    "business": Partition.BUSINESS,
}
# The sort key of what a partition has but one of.
_ONLY: Final = "now"


def partition_name(loop: str, partition: Partition) -> str:
    """
    The partition key of a loop's items of one kind.

    >>> partition_name("bikeshare", Partition.LIVE)
    'bikeshare#live'
    """
    return f"{loop}#{partition}"


def _item(loop: str, partition: Partition, sort: str = _ONLY) -> TableKey:
    return {"pk": partition_name(loop, partition), "sk": sort}


def batches_partition(loop: str) -> str:
    """All batches of a loop; sort keys are batch ids."""
    return partition_name(loop, Partition.BATCHES)


def batch_item(loop: str, batch_id: str) -> TableKey:
    """One batch: what it held, where its parts are, whether it was accepted."""
    return _item(loop, Partition.BATCHES, batch_id)


def timeline_partition(loop: str) -> str:
    """Accepted batches in the order of their newest event, so that the latest window is read without a scan."""
    return partition_name(loop, Partition.TIMELINE)


def timeline_item(loop: str, last_event_at: datetime, batch_id: str) -> TableKey:
    """One accepted batch's place in time, with what a window needs of it."""
    return _item(loop, Partition.TIMELINE, f"{sortable(last_event_at)}#{batch_id}")


def id_log_partition(loop: str) -> str:
    """Batches in the order in which their record ids were entered; sort keys are zero-padded positions."""
    return partition_name(loop, Partition.ID_LOG)


def id_log_item(loop: str, position: int) -> TableKey:
    """Claims one position of the id log by a conditional write; says which batch has it."""
    return _item(loop, Partition.ID_LOG, f"{position:012d}")


def id_receipt_item(loop: str, batch_id: str, digest: str) -> TableKey:
    """A batch's entry in the id log, by the batch and the digest of its ids: written together with the position."""
    return _item(loop, Partition.ID_RECEIPTS, f"{batch_id}#{digest}")


def id_times_partition(loop: str) -> str:
    """The id log's entries in the order of their newest event, so that batches near a time are read without a scan."""
    return partition_name(loop, Partition.ID_TIMES)


def id_time_item(loop: str, last_event_at: datetime, position: int) -> TableKey:
    """One entry's place in time."""
    return _item(loop, Partition.ID_TIMES, f"{sortable(last_event_at)}#{position:012d}")


def id_span_item(loop: str) -> TableKey:
    """The longest time that any batch of the id log spans."""
    return _item(loop, Partition.ID_SPAN)


def landing_item(loop: str, bucket: str, key: str, version_id: str) -> TableKey:
    """One landed file version and the batch that its content is."""
    return _item(loop, Partition.LANDINGS, short_id(bucket, key, version_id))


def labels_partition(loop: str) -> str:
    """All label files of a loop."""
    return partition_name(loop, Partition.LABELS)


def labels_item(loop: str, labels_id: str) -> TableKey:
    """One label file."""
    return _item(loop, Partition.LABELS, labels_id)


def predictions_partition(loop: str) -> str:
    """All prediction files of a loop; sort keys start with the time of ingestion, so that the newest can be ranged."""
    return partition_name(loop, Partition.PREDICTIONS)


def predictions_item(loop: str, ingested_at: str, capture_id: str) -> TableKey:
    """One prediction file."""
    return _item(loop, Partition.PREDICTIONS, f"{ingested_at}#{capture_id}")


def scores_partition(loop: str) -> str:
    """Prequential scores of a loop, one for each label file and model version."""
    return partition_name(loop, Partition.SCORES)


def score_item(loop: str, labels_id: str, model_version: str) -> TableKey:
    """One prequential score."""
    return _item(loop, Partition.SCORES, f"{labels_id}#{model_version}")


def dataset_item(loop: str, dataset_id: str) -> TableKey:
    """One dataset version."""
    return _item(loop, Partition.DATASETS, dataset_id)


def models_partition(loop: str) -> str:
    """All model versions of a loop."""
    return partition_name(loop, Partition.MODELS)


def model_item(loop: str, model_version: str) -> TableKey:
    """One model version: artifact, digest, dataset, verdict, status."""
    return _item(loop, Partition.MODELS, model_version)


def runs_partition(loop: str) -> str:
    """All learning runs of a loop."""
    return partition_name(loop, Partition.RUNS)


def run_item(loop: str, run_id: str) -> TableKey:
    """One learning run: why, from what, how it ended."""
    return _item(loop, Partition.RUNS, run_id)


def rollouts_partition(loop: str) -> str:
    """All rollouts of a loop."""
    return partition_name(loop, Partition.ROLLOUTS)


def rollout_item(loop: str, rollout_id: str) -> TableKey:
    """One rollout: plan, step, status."""
    return _item(loop, Partition.ROLLOUTS, rollout_id)


def live_item(loop: str) -> TableKey:
    """The live pointer: which slot serves, which model version each slot holds, the rollout in progress."""
    return _item(loop, Partition.LIVE)


def trigger_item(loop: str) -> TableKey:
    """What the trigger remembers: last firing, counts per month, confirmations, paused."""
    return _item(loop, Partition.TRIGGER)


def arrival_item(loop: str) -> TableKey:
    """When data came last."""
    return _item(loop, Partition.ARRIVAL)


def outage_item(loop: str, last_batch_at: datetime) -> TableKey:
    """A silence of the data since `last_batch_at`: how often it was seen, what was said of it."""
    return _item(loop, Partition.OUTAGE, sortable(last_batch_at))


def streak_item(loop: str, kind: EvidenceKind) -> TableKey:
    """Consecutive evidence of one kind of signal."""
    return _item(loop, _EVIDENCE[kind])


def signal_item(loop: str, kind: EvidenceKind, *about: str) -> TableKey:
    """What was said of one kind of signal about one batch or label file, and the model version that it is held to."""
    return _item(loop, _EVIDENCE[kind], "#".join(("about", *about)))


def lock_item(loop: str, name: str) -> TableKey:
    """A lock with a fencing token that only grows."""
    return _item(loop, Partition.LOCKS, name)


def approval_item(loop: str, model_version: str) -> TableKey:
    """One request for approval and its task token."""
    return _item(loop, Partition.APPROVALS, model_version)


def messages_partition(loop: str) -> str:
    """What people were told, each once: sort keys are hashes of what a message is about; items expire."""
    return partition_name(loop, Partition.MESSAGES)


def ledger_partition(loop: str) -> str:
    """The ledger's entries; sort keys are zero-padded sequence numbers."""
    return partition_name(loop, Partition.LEDGER)


def ledger_item(loop: str, sequence: int) -> TableKey:
    """One ledger entry: claims its sequence number by a conditional write."""
    return _item(loop, Partition.LEDGER, f"{sequence:012d}")


def ledger_receipt_item(loop: str, entry_id: str) -> TableKey:
    """Which sequence number an event got: written together with the entry, so that no event gets two."""
    return _item(loop, Partition.LEDGER_RECEIPTS, entry_id)


def ledger_head_item(loop: str) -> TableKey:
    """The ledger's newest entry: sequence and digest."""
    return _item(loop, Partition.LEDGER_HEAD)
