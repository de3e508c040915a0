"""What SageMaker's agent does around a container: a job's inputs and configuration below /opt/ml, its result to S3."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from botocore import xform_name

from localcloud.context import Context
from localcloud.sagemaker.storage import Storage, pack
from tests.image.container import Container

__all__ = ["Agent"]

ML = "/opt/ml/"
# The one host must have a name that resolves, or the toolkit waits for it for ever.
RESOURCES = {"current_host": "localhost", "hosts": ["localhost"], "network_interface_name": "lo"}


class _Account:
    """S3 as localcloud's storage asks for it, answered by a client."""

    def __init__(self, s3: Any) -> None:
        self._s3, self.region = s3, s3.meta.region_name

    def call(self, _service: str, action: str, params: dict[str, Any], *, role: str) -> Any:
        del role
        return getattr(self._s3, xform_name(action))(**params)


@dataclass(frozen=True)
class Agent:
    """
    An account's SageMaker.

    Parameters
    ----------
    s3
        Where inputs come from.
    endpoint_url
        Where containers that have a network find the account.
    """

    s3: Any
    endpoint_url: str

    @property
    def _store(self) -> Storage:
        return Storage(cast(Context, _Account(self.s3)), "role")

    def training(self, asked: Mapping[str, Any], base: Path) -> Container:
        """The container of a training job, from CreateTrainingJob's parameters."""
        for name in ("input/config", "input/data", "model", "output/data"):
            (base / name).mkdir(parents=True)
        channels = {}
        for channel in asked["InputDataConfig"]:
            name = channel["ChannelName"]
            self._store.download_source(channel["DataSource"]["S3DataSource"], base / "input" / "data" / name)
            channels[name] = {
                "TrainingInputMode": channel.get("InputMode", "File"),
                "S3DistributionType": channel["DataSource"]["S3DataSource"]["S3DataDistributionType"],
                "RecordWrapperType": "None",
            }
        self._configure(
            base / "input" / "config",
            hyperparameters=asked["HyperParameters"],
            inputdataconfig=channels,
            resourceconfig=RESOURCES,
        )
        told = {"TRAINING_JOB_NAME": asked["TrainingJobName"], **asked.get("Environment", {})}
        return self._container(base, told, isolated=asked.get("EnableNetworkIsolation", False))

    def take_model(self, asked: Mapping[str, Any], base: Path) -> tuple[Path, str]:
        """The trained model's archive, here and under its S3 address."""
        archive = pack(base / "model", base.parent / f"{base.name}-model.tar.gz")
        uri = f"{asked['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{asked['TrainingJobName']}/output/model.tar.gz"
        self._store.upload(archive, uri)
        return archive, uri

    def processing(self, asked: Mapping[str, Any], base: Path) -> Container:
        """The container of a processing job, from CreateProcessingJob's parameters."""
        for name in ("config", "output", "processing"):
            (base / name).mkdir(parents=True)
        for given in asked["ProcessingInputs"]:
            source = given["S3Input"]
            self._store.download_source(source, base / source["LocalPath"].removeprefix(ML))
        for output in asked.get("ProcessingOutputConfig", {}).get("Outputs", ()):
            (base / output["S3Output"]["LocalPath"].removeprefix(ML)).mkdir(parents=True, exist_ok=True)
        self._configure(base / "config", resourceconfig=RESOURCES)
        isolated = asked.get("NetworkConfig", {}).get("EnableNetworkIsolation", False)
        return self._container(base, asked.get("Environment", {}), isolated=isolated)

    def serving(self, asked: Mapping[str, Any], base: Path) -> Container:
        """The container of a model, from CreateModel's parameters, its archive unpacked where nobody may write."""
        (base / "model").mkdir(parents=True)
        told = asked["PrimaryContainer"]["Environment"]
        isolated = asked["EnableNetworkIsolation"]
        return self._container(base, told, isolated=isolated, read_only=["model"])

    def _container(self, base: Path, told: Mapping[str, str], *, isolated: bool, read_only: Any = ()) -> Container:
        # With isolation there are no credentials either.
        account = {} if isolated else {"AWS_ENDPOINT_URL": self.endpoint_url, **_CREDENTIALS}
        return Container(base=base, environment={**account, **told}, isolated=isolated, read_only=read_only)

    def _configure(self, folder: Path, **files: object) -> None:
        for name, content in files.items():
            (folder / f"{name}.json").write_text(json.dumps(content))


_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
