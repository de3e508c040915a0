"""
One learning run and one large file, by AWS's own packages, with parameters from the synthesized templates.

The rules' functions run against moto, as they do in tests/functions; each job's parameters are its state's, with the
paths filled from what the functions answered; the containers are tests/image/container's.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from moto import mock_aws
from moto.server import ThreadedMotoServer

from functions import freeze_dataset, join_labels, validate_batch
from infra.packaging import build_source_bundle
from localcloud.sagemaker.storage import split
from localcloud.states.paths import resolve
from loops.bikeshare import stream
from perennial.project import load_loop
from tests.functions.world import World, make_world
from tests.image.agent import Agent
from tests.image.container import reason_to_skip
from tests.infra.conftest import LOOP, ROOT, Assembly, synthesized
from tests.infra.definitions import definitions, resolved

# Its modules import what only the image has.
collect_ignore = ["glue"]

RUN = "b" * 40
WEEKS = 11
# Enough to beat the baseline, and quick.
HYPERPARAMETERS = {"max_iter": "40"}
TRAINING, PROCESSING, MODEL = "sagemaker:createTrainingJob", "sagemaker:createProcessingJob", "sagemaker:createModel"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say once for all why this machine can't run the image."""
    here = str(Path(__file__).parent)
    mine = [item for item in items if str(item.path).startswith(here)]
    if mine and (reason := reason_to_skip()):
        for item in mine:
            item.add_marker(pytest.mark.skip(reason=reason))


@dataclass(frozen=True)
class Deployed:
    """The synthesized stacks, as their jobs and functions see them."""

    assembly: Assembly

    @cached_property
    def _machines(self) -> list[Mapping[str, Any]]:
        templates = self.assembly.templates
        return [one for part in templates for one in definitions(templates[part], templates).values()]

    def parameters(self, action: str, state_input: Mapping[str, Any]) -> dict[str, Any]:
        """What the one state that does `action`, and can be filled from `state_input`, asks of SageMaker."""
        states = [
            state
            for machine in self._machines
            for state in machine["States"].values()
            if action in state.get("Resource", "") and _roots(state["Parameters"]) <= set(state_input)
        ]
        [state] = states
        found: dict[str, Any] = _filled(state["Parameters"], state_input)
        return found

    def variable(self, function: str, name: str) -> str:
        """An environment variable of a function of the learning stack."""
        _, resource = self.assembly.one("Learning", "AWS::Lambda::Function", function)
        templates = self.assembly.templates
        return str(resolved(resource["Properties"]["Environment"]["Variables"][name], templates["Learning"], templates))


def _roots(value: Any) -> set[str]:
    """First names of the paths in a state's parameters."""
    if isinstance(value, Mapping):
        paths = {path.split(".")[1] for key, path in value.items() if key.endswith(".$")}
        return paths.union(*(_roots(each) for each in value.values()))
    return set().union(*(_roots(each) for each in value)) if isinstance(value, list) else set()


def _filled(value: Any, state_input: Mapping[str, Any]) -> Any:
    if isinstance(value, Mapping):
        return {
            key.removesuffix(".$"): resolve(each, state_input) if key.endswith(".$") else _filled(each, state_input)
            for key, each in value.items()
        }
    return [_filled(each, state_input) for each in value] if isinstance(value, list) else value


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    return Deployed(synthesized(tmp_path_factory.mktemp("cdk") / "out", context={"loop": LOOP}))


@pytest.fixture(scope="session")
def account() -> Iterator[tuple[World, Agent]]:
    """A deployed account with a loop, and its SageMaker; containers reach it over the loopback interface."""
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name, value in {
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_DEFAULT_REGION": "us-east-1",
            "MOTO_ACCOUNT_ID": "123456789012",
            "POWERTOOLS_TRACE_DISABLED": "true",
        }.items():
            patch.setenv(name, value)
        world = make_world()
        world.deploy(load_loop(ROOT / "loops" / LOOP))
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
        server.start()
        host, port = server.get_host_and_port()
        yield world, Agent(world.clients.s3, f"http://{host}:{port}")
        server.stop()


@pytest.fixture(scope="session")
def dataset(account: tuple[World, Agent], deployed: Deployed) -> dict[str, Any]:
    """Eleven weeks have landed with their labels: freeze_dataset's answer, which the jobs run on."""
    world, _ = account
    weeks = list(stream.weeks(0, WEEKS))
    for week in weeks:
        world.now = week.labels_landed_at
        world.run(validate_batch, world.land(week.batch_csv(), f"batches/{week.batch_name}"), loop_name=LOOP)
    for week in weeks:
        labels = world.land(week.labels_csv(), f"labels/{week.labels_name}")
        world.run(join_labels, labels, loop_name=LOOP)
    event = {"run_id": RUN, "as_of": world.now.isoformat(), "hyperparameters": HYPERPARAMETERS}
    told = {"loop_name": LOOP}
    if "source_bundle_uri" in freeze_dataset.Settings.model_fields:
        told["source_bundle_uri"] = deployed.variable("FreezeDataset", "SOURCE_BUNDLE_URI")
    return dict(world.run(freeze_dataset, event, **told))


@pytest.fixture(scope="session")
def source(account: tuple[World, Agent], deployed: Deployed, dataset: dict[str, Any]) -> Path:
    """The loop's source bundle, published where the templates look for it; here, its folder."""
    world, _ = account
    folder = build_source_bundle(LOOP)
    asked = deployed.parameters(PROCESSING, {"dataset": dataset, "training": _trained("s3://any/model.tar.gz")})
    [uri] = [one["S3Input"]["S3Uri"] for one in asked["ProcessingInputs"] if one["InputName"] == "code"]
    bucket, prefix = split(uri)
    world.clients.s3.create_bucket(Bucket=bucket)
    for path in folder.iterdir():
        world.clients.s3.put_object(Bucket=bucket, Key=f"{prefix}{path.name}", Body=path.read_bytes())
    return folder


def _trained(uri: str) -> dict[str, Any]:
    return {"ModelArtifacts": {"S3ModelArtifacts": uri}}


@dataclass(frozen=True)
class Job:
    """A job that ran: what was asked, what its container printed, where its /opt/ml is."""

    asked: Mapping[str, Any]
    done: CompletedProcess[str]
    base: Path

    def read(self, name: str) -> Any:
        """A JSON file below /opt/ml."""
        return json.loads((self.base / name).read_text())


def train_command(toolkit: str) -> list[str]:
    """The image's `train`, as that toolkit's command."""
    return ["python", "-c", f"from {toolkit}.cli.train import main; main()"]


@dataclass(frozen=True)
class Training(Job):
    """A training job, and its model's archive, here and in S3."""

    archive: Path
    model_uri: str


@pytest.fixture(scope="session")
def training(
    account: tuple[World, Agent],
    deployed: Deployed,
    dataset: dict[str, Any],
    source: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Training:
    """The learning machine's training job, by AWS's training toolkit."""
    _, agent = account
    asked = deployed.parameters(TRAINING, {"dataset": dataset})
    base = tmp_path_factory.mktemp("training") / "ml"
    done = agent.training(asked, base).run(*train_command("sagemaker_training"))
    assert done.returncode == 0, done.stdout
    archive, uri = agent.take_model(asked, base)
    return Training(asked, done, base, archive, uri)


@pytest.fixture(scope="session")
def evaluation(
    account: tuple[World, Agent],
    deployed: Deployed,
    dataset: dict[str, Any],
    training: Training,
    tmp_path_factory: pytest.TempPathFactory,
) -> Job:
    """The learning machine's evaluation of that model."""
    _, agent = account
    asked = deployed.parameters(PROCESSING, {"dataset": dataset, "training": _trained(training.model_uri)})
    base = tmp_path_factory.mktemp("evaluation") / "ml"
    app = asked["AppSpecification"]
    done = agent.processing(asked, base).run(*app["ContainerEntrypoint"], *app.get("ContainerArguments", ()))
    assert done.returncode == 0, done.stdout
    return Job(asked, done, base)


def unpack(archive: Path, folder: Path) -> None:
    """A model's archive, as SageMaker unpacks it."""
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
