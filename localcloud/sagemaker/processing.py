"""Processing jobs: a command, its inputs below /opt/ml/processing, and its outputs taken away at the end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from localcloud.context import Context
from localcloud.sagemaker import images, toolkit
from localcloud.sagemaker.errors import ResourceInUse, ValidationException
from localcloud.sagemaker.faults import Faults
from localcloud.sagemaker.jobs import FINAL, Jobs
from localcloud.sagemaker.logs import LogShipper
from localcloud.sagemaker.state import Record, State, job_not_found
from localcloud.sagemaker.storage import Storage

_ML = "/opt/ml/"
_PYTHON = ("python", "python3", "/usr/bin/python3", "/miniconda3/bin/python")
_DEFAULT_RUNTIME_SECONDS = 86_400
_EXIT_MESSAGE_CHARACTERS = 1024


class ProcessingJobs(Jobs):
    """Create, describe, stop and run."""

    def __init__(self, context: Context, state: State, shipper: LogShipper, faults: Faults) -> None:
        super().__init__(context, state, shipper, faults, collection="processing-job", prefix="ProcessingJob")

    def create(self, params: Mapping[str, Any]) -> Record:
        """Start a job whose name was never used before."""
        _check(params)
        name = params["ProcessingJobName"]
        with self.state.lock:
            arn = self.state.arn("processing-job", name)
            if name in self.state["processing-job"]:
                raise ResourceInUse(
                    "Job name must be unique within an AWS account and region, and a job with this name already exists "
                    f"({arn})"
                )
            now = self.state.now()
            record = {
                **{key: value for key, value in params.items() if key != "Tags"},
                "ProcessingJobArn": arn,
                "ProcessingJobStatus": "InProgress",
                "CreationTime": now,
                "LastModifiedTime": now,
            }
            self.state["processing-job"][name] = record
            self.state.tag(arn, params.get("Tags", ()))
        self.move(record, "InProgress")
        self.start(name)
        return {"ProcessingJobArn": arn}

    def describe(self, params: Mapping[str, Any]) -> Record:
        """A job."""
        return self.state.get("processing-job", params["ProcessingJobName"], job_not_found)

    def request_stop(self, params: Mapping[str, Any]) -> None:
        """Stop a job that runs."""
        record = self.describe(params)
        if record["ProcessingJobStatus"] in FINAL:
            raise ValidationException(
                f"The request was rejected because the processing job is in status {record['ProcessingJobStatus']}."
            )
        self.stop(params["ProcessingJobName"])

    def note_move(self, record: Record, status: str) -> None:
        """An ended job has an end."""
        if status in FINAL:
            record["ProcessingEndTime"] = self.state.now()

    def run(self, record: Record, folder: Path) -> None:
        """Download, run the command, upload."""
        name, base = record["ProcessingJobName"], folder / "ml"
        store = Storage(self.context, record["RoleArn"])
        for given in record.get("ProcessingInputs", ()):
            store.download_source(given["S3Input"], _local(given["S3Input"]["LocalPath"], base))
        outputs = [output["S3Output"] for output in record.get("ProcessingOutputConfig", {}).get("Outputs", ())]
        for output in outputs:
            _local(output["LocalPath"], base).mkdir(parents=True, exist_ok=True)
        (base / "output").mkdir(parents=True, exist_ok=True)
        self._write_config(record, base)
        app = record["AppSpecification"]
        argv = [*app["ContainerEntrypoint"], *app.get("ContainerArguments", ())]
        if argv[0] in _PYTHON:
            # What follows may be an option (-m, -c) or a program: only a program can go through the launcher.
            launched = len(argv) > 1 and argv[1].endswith(".py")
            argv = [*(toolkit.PYTHON if launched else toolkit.PYTHON[:1]), *argv[1:]]
        argv = [toolkit.in_directory(part, base) for part in argv]
        if self.is_stopped(name):
            self.move(record, "Stopped")
            return
        record["ProcessingStartTime"] = self.state.now()
        limit = record.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", _DEFAULT_RUNTIME_SECONDS)
        env = self._environment(record, folder)
        ended = self.execute(name, argv, env=env, folder=folder, cwd=base / "processing", limit=limit)
        if self.context.stopping:
            return
        message = {"ExitMessage": _exit_message(base)}
        if ended.why != "exited":
            reason = {"FailureReason": "Job exceeded MaxRuntimeInSeconds"} if ended.why == "too long" else {}
            self.move(record, "Stopped", **message, **reason)
        elif ended.code:
            shown = message["ExitMessage"] or "See job logs for more information"
            self.fail(record, f"AlgorithmError: {shown}, exit code: {ended.code}", **message)
        else:
            for output in outputs:
                self._upload(record, store, output, base)
            self.move(record, "Completed", **message)

    def _upload(self, record: Record, store: Storage, output: Mapping[str, Any], base: Path) -> None:
        kms_key = record.get("ProcessingOutputConfig", {}).get("KmsKeyId")
        store.upload_directory(_local(output["LocalPath"], base), output["S3Uri"], kms_key=kms_key)

    def _environment(self, record: Record, folder: Path) -> dict[str, str]:
        base = folder / "ml"
        # A container without a network has no credentials either.
        isolated = record.get("NetworkConfig", {}).get("EnableNetworkIsolation", False)
        return (
            toolkit.process_environment(folder)
            | ({} if isolated else self.context.child_environment(record["RoleArn"]))
            | {
                "PROCESSING_JOB_NAME": record["ProcessingJobName"],
                "PROCESSING_JOB_ARN": record["ProcessingJobArn"],
                "SAGEMAKER_BASE_DIR": str(base),
                "SM_PROCESSING_BASE_DIR": str(base / "processing"),
            }
            | {name: toolkit.in_directory(value, base) for name, value in record.get("Environment", {}).items()}
        )

    def _write_config(self, record: Record, base: Path) -> None:
        (base / "processing").mkdir(parents=True, exist_ok=True)
        (base / "config").mkdir(exist_ok=True)
        shown = {key: value for key, value in record.items() if not key.startswith("_")}
        (base / "config" / "processingjobconfig.json").write_text(json.dumps(shown))
        (base / "config" / "resourceconfig.json").write_text(json.dumps(toolkit.RESOURCES))


def _local(path: str, base: Path) -> Path:
    return base / path.removeprefix(_ML)


def _exit_message(base: Path) -> str | None:
    message = base / "output" / "message"
    return message.read_text(errors="replace")[:_EXIT_MESSAGE_CHARACTERS] if message.is_file() else None


def _check(params: Mapping[str, Any]) -> None:
    app = params["AppSpecification"]
    images.check(app["ImageUri"])
    if not app.get("ContainerEntrypoint"):
        raise ValidationException(
            "ContainerEntrypoint is required here: the scikit-learn image has none for processing"
        )
    if params["ProcessingResources"].get("ClusterConfig", {}).get("InstanceCount", 1) != 1:
        raise ValidationException("InstanceCount must be 1 here: the local cloud is one machine")
    for given in params.get("ProcessingInputs", ()):
        source = given.get("S3Input")
        if source is None or source.get("S3CompressionType", "None") != "None" or "LocalPath" not in source:
            raise ValidationException(
                f"input {given['InputName']} must be an uncompressed S3Input with a LocalPath here"
            )
        _check_path(source["LocalPath"])
    for output in params.get("ProcessingOutputConfig", {}).get("Outputs", ()):
        target = output.get("S3Output")
        if target is None or target.get("S3UploadMode", "EndOfJob") != "EndOfJob" or "LocalPath" not in target:
            raise ValidationException(
                f"output {output['OutputName']} must be an S3Output with a LocalPath at EndOfJob here"
            )
        _check_path(target["LocalPath"])


def _check_path(path: str) -> None:
    if not path.startswith(f"{_ML}processing") or ".." in path:
        raise ValidationException(f"LocalPath must be below /opt/ml/processing. Got {path}")
