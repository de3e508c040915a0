"""Training jobs: really run, under the container contract, in a directory that stands for /opt/ml."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from localcloud.context import Context
from localcloud.sagemaker import images, storage, toolkit
from localcloud.sagemaker.errors import ResourceInUse, SageMakerError, ValidationException
from localcloud.sagemaker.faults import Faults
from localcloud.sagemaker.jobs import FINAL, Exit, Jobs, ProgramFailed
from localcloud.sagemaker.logs import LogShipper
from localcloud.sagemaker.state import Record, State
from localcloud.sagemaker.storage import Storage

_MESSAGES = {
    "Starting": "Preparing the instances for training",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Uploading": "Uploading generated training model",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopping": "Stopping the training job",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
}
_DEFAULT_RUNTIME_SECONDS = 86_400
_UNSUPPORTED = ("VpcConfig", "DebugHookConfig", "TensorBoardOutputConfig", "ServerlessJobConfig", "ModelPackageConfig")


class TrainingJobs(Jobs):
    """Create, describe, stop and run."""

    def __init__(self, context: Context, state: State, shipper: LogShipper, faults: Faults) -> None:
        super().__init__(context, state, shipper, faults, collection="training-job", prefix="TrainingJob")

    def create(self, params: Mapping[str, Any]) -> Record:
        """Start a job whose name was never used before."""
        _check(params)
        name = params["TrainingJobName"]
        with self.state.lock:
            arn = self.state.arn("training-job", name)
            if name in self.state["training-job"]:
                raise ResourceInUse(
                    "Training job names must be unique within an AWS account and region, and a training job with this "
                    f"name already exists ({arn})"
                )
            output = params["OutputDataConfig"]["S3OutputPath"].rstrip("/")
            now = self.state.now()
            record = {
                **{key: value for key, value in params.items() if key != "Tags"},
                "TrainingJobArn": arn,
                "TrainingJobStatus": "InProgress",
                "SecondaryStatus": "Starting",
                "CreationTime": now,
                "LastModifiedTime": now,
                "SecondaryStatusTransitions": [],
                "EnableNetworkIsolation": params.get("EnableNetworkIsolation", False),
                "EnableManagedSpotTraining": params.get("EnableManagedSpotTraining", False),
                "EnableInterContainerTrafficEncryption": params.get("EnableInterContainerTrafficEncryption", False),
                "ModelArtifacts": {"S3ModelArtifacts": f"{output}/{name}/output/model.tar.gz"},
            }
            self.state["training-job"][name] = record
            self.state.tag(arn, params.get("Tags", ()))
        self.move(record, "InProgress", SecondaryStatus="Starting")
        self.start(name)
        return {"TrainingJobArn": arn}

    def describe(self, params: Mapping[str, Any]) -> Record:
        """A job; its artifact is shown once it is there."""
        record = self.state.get("training-job", params["TrainingJobName"], _missing)
        return record if "_uploaded" in record else {**record, "ModelArtifacts": None}

    def request_stop(self, params: Mapping[str, Any]) -> None:
        """Stop a job that runs."""
        record = self.state.get("training-job", params["TrainingJobName"], _missing)
        if record["TrainingJobStatus"] in FINAL:
            raise ValidationException(
                f"The request was rejected because the training job is in status {record['TrainingJobStatus']}."
            )
        self.stop(params["TrainingJobName"])

    def note_move(self, record: Record, status: str) -> None:
        """Keep the secondary status and its transitions in step."""
        if status in (*FINAL, "Stopping") and record.get("SecondaryStatus") != "MaxRuntimeExceeded":
            record["SecondaryStatus"] = status
        transitions, secondary = record["SecondaryStatusTransitions"], record["SecondaryStatus"]
        if transitions and transitions[-1]["Status"] == secondary:
            return
        now = self.state.now()
        if transitions:
            transitions[-1]["EndTime"] = now
        transitions.append({"Status": secondary, "StartTime": now, "StatusMessage": _MESSAGES[secondary]})
        if status in FINAL:
            transitions[-1]["EndTime"] = now
            start = record.get("TrainingStartTime")
            if start is not None:
                seconds = max(1, math.ceil(now - start))
                record |= {"TrainingEndTime": now, "TrainingTimeInSeconds": seconds, "BillableTimeInSeconds": seconds}

    def run(self, record: Record, folder: Path) -> None:
        """Download, run the program, upload."""
        name, base = record["TrainingJobName"], folder / "ml"
        store = Storage(self.context, record["RoleArn"])
        self._step(record, "Downloading", TrainingStartTime=self.state.now())
        user, own = toolkit.split_hyperparameters(record.get("HyperParameters", {}))
        channels = self._download(record, store, base)
        code = _fetch_source(own, store, base, isolated=record["EnableNetworkIsolation"])
        told = toolkit.TrainingRun(user, own, base, name, record["TrainingJobArn"], channels, self.context.region)
        env = self._environment(record, folder, told.variables())
        env["PYTHONPATH"] = str(code)
        if target := self.install_requirements(name, code, folder, env):
            env["PYTHONPATH"] += f":{target}"
        if self.is_stopped(name):
            self.move(record, "Stopped")
            return
        self._step(record, "Training")
        argv = toolkit.command(own["sagemaker_program"], code, toolkit.arguments(user))
        limit = record["StoppingCondition"].get("MaxRuntimeInSeconds", _DEFAULT_RUNTIME_SECONDS)
        ended = self.execute(name, argv, env=env, folder=folder, cwd=code, limit=limit)
        self._conclude(record, store, folder, argv, ended)

    def _step(self, record: Record, secondary: str, **changes: Any) -> None:
        with self.state.lock:
            status = record["TrainingJobStatus"]
            if status == "InProgress":
                changes["SecondaryStatus"] = secondary
        self.move(record, status, **changes)

    def _download(self, record: Record, store: Storage, base: Path) -> dict[str, dict[str, Any]]:
        for part in (
            "input/config",
            "input/data",
            "model",
            "output/data",
            "output/intermediate",
            "code",
            "checkpoints",
        ):
            (base / part).mkdir(parents=True)
        channels = {}
        for channel in record.get("InputDataConfig", ()):
            name = channel["ChannelName"]
            store.download_source(channel["DataSource"]["S3DataSource"], base / "input" / "data" / name)
            shown = {"S3DistributionType": "FullyReplicated", "TrainingInputMode": "File", "RecordWrapperType": "None"}
            content = {"ContentType": channel["ContentType"]} if "ContentType" in channel else {}
            channels[name] = shown | content
        config = base / "input" / "config"
        (config / "hyperparameters.json").write_text(json.dumps(record.get("HyperParameters", {})))
        (config / "inputdataconfig.json").write_text(json.dumps(channels))
        (config / "resourceconfig.json").write_text(json.dumps(toolkit.RESOURCES))
        return channels

    def _environment(self, record: Record, folder: Path, contract: Mapping[str, str]) -> dict[str, str]:
        asked = {k: toolkit.in_directory(v, folder / "ml") for k, v in record.get("Environment", {}).items()}
        # A container without a network has no credentials either: nothing answers where it would ask for them.
        isolated = record["EnableNetworkIsolation"]
        account = {} if isolated else self.context.child_environment(record["RoleArn"])
        return toolkit.process_environment(folder) | account | dict(contract) | asked

    def _conclude(self, record: Record, store: Storage, folder: Path, argv: list[str], ended: Exit) -> None:
        if self.context.stopping:
            return
        metrics = _final_metrics(record, ended.log, self.state.now())
        if ended.code and ended.why == "exited":
            failure = folder / "ml" / "output" / "failure"
            written = failure.read_text(errors="replace").strip() if failure.exists() else ""
            message = written or toolkit.failure_message(ended.log, argv, ended.code)
            tail = f", exit code: {ended.code}"
            self.fail(record, f"AlgorithmError: {message}"[: 1024 - len(tail)] + tail, FinalMetricDataList=metrics)
            return
        self._step(record, "Uploading", FinalMetricDataList=metrics)
        self._upload(record, store, folder)
        if ended.why == "too long":
            self.move(record, "Stopped", SecondaryStatus="MaxRuntimeExceeded")
        else:
            self.move(record, "Completed" if ended.why == "exited" else "Stopped")

    def _upload(self, record: Record, store: Storage, folder: Path) -> None:
        base, uri = folder / "ml", record["ModelArtifacts"]["S3ModelArtifacts"]
        kms_key = record["OutputDataConfig"].get("KmsKeyId")
        if any((base / "model").iterdir()):
            store.upload(storage.pack(base / "model", folder / "model.tar.gz"), uri, kms_key=kms_key)
            record["_uploaded"] = True
        if any((base / "output" / "data").iterdir()):
            archive = storage.pack(base / "output" / "data", folder / "output.tar.gz")
            store.upload(archive, uri.removesuffix("model.tar.gz") + "output.tar.gz", kms_key=kms_key)


def _fetch_source(own: Mapping[str, str], store: Storage, base: Path, *, isolated: bool) -> Path:
    program, bundle = own.get("sagemaker_program"), own.get("sagemaker_submit_directory")
    if not program or not bundle:
        raise ProgramFailed(
            "AlgorithmError: the scikit-learn image needs the hyperparameters sagemaker_program and "
            "sagemaker_submit_directory, exit code: 1"
        )
    code = base / "code"
    archive = Path(toolkit.in_directory(bundle, base))
    if not bundle.startswith("/"):
        if isolated:
            raise ProgramFailed(f"AlgorithmError: {bundle} can't be read without a network, exit code: 1")
        archive = store.download(bundle, base / "sourcedir.tar.gz")
    elif not archive.is_file():
        raise ProgramFailed(f"AlgorithmError: there is no {bundle}, exit code: 1")
    storage.unpack(archive, code)
    if not (code / program).is_file():
        raise ProgramFailed(f"AlgorithmError: {program} is not in {bundle}, exit code: 1")
    return code


def _final_metrics(record: Record, log: str, now: float) -> list[dict[str, Any]] | None:
    found = []
    for definition in record["AlgorithmSpecification"].get("MetricDefinitions", ()):
        values = [match[match.lastindex or 0] for match in re.finditer(definition["Regex"], log)]
        numbers = [float(value) for value in values if _is_number(value)]
        if numbers:
            found.append({"MetricName": definition["Name"], "Value": numbers[-1], "Timestamp": now})
    return found or None


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _missing(arn: str) -> SageMakerError:
    return ValidationException("Requested resource not found.")


def _check(params: Mapping[str, Any]) -> None:
    images.check(params["AlgorithmSpecification"].get("TrainingImage"))
    if unsupported := [key for key in _UNSUPPORTED if key in params]:
        raise ValidationException(f"not part of the local cloud: {', '.join(unsupported)}")
    for channel in params.get("InputDataConfig", ()):
        if "S3DataSource" not in channel["DataSource"]:
            raise ValidationException(f"channel {channel['ChannelName']} must have an S3DataSource here")
        if channel.get("CompressionType", "None") != "None" or channel.get("InputMode", "File") == "Pipe":
            raise ValidationException(f"channel {channel['ChannelName']} must be uncompressed and in File mode here")
    if params["ResourceConfig"].get("InstanceCount", 1) != 1:
        raise ValidationException("InstanceCount must be 1 here: the local cloud is one machine")
    for definition in params["AlgorithmSpecification"].get("MetricDefinitions", ()):
        try:
            re.compile(definition["Regex"])
        except re.error as error:
            raise ValidationException(f"Invalid regular expression for metric {definition['Name']}: {error}") from error
    _check_spot(params)


def _check_spot(params: Mapping[str, Any]) -> None:
    limit = params["StoppingCondition"]
    wait, runtime = limit.get("MaxWaitTimeInSeconds"), limit.get("MaxRuntimeInSeconds", _DEFAULT_RUNTIME_SECONDS)
    if params.get("EnableManagedSpotTraining"):
        if wait is None or wait < runtime:
            raise ValidationException(
                "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds"
            )
    elif wait is not None:
        raise ValidationException("MaxWaitTimeInSeconds is only supported when EnableManagedSpotTraining is true")
