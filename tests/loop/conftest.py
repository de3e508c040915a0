"""
One local cloud with one deployment for all journeys, and the stations that they pass, each once a session.

The stations follow each other: history lands, the first model, a challenger that is promoted, a candidate that the gate
refuses, a challenger that fails in service. A fixture takes the loop to its station and keeps what was seen on the way;
the tests only look. Stopping and destroying come last, whatever the modules are called.
"""

from __future__ import annotations

import itertools
import random
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from localcloud.scales import Scales
from loops.bikeshare import stream
from perennial import keys
from perennial.cli.deployment import find_deployment
from perennial.cli.local import local_cloud
from perennial.stage import DEFAULT_STAGE
from tests.iam.recorded import Deployed, deployed_policies
from tests.infra.conftest import PARTS
from tests.loop.canary_watch import Call, Callers, Watch
from tests.loop.journey import (
    LOOP,
    Execution,
    Journey,
    LocalSession,
    batch_file,
    labels_file,
    rows_of,
)
from tests.waiting import until

ROOT = Path(__file__).parents[2]
# A bake of half an hour takes 6 s; schedules stand still, so that every run has a cause that a test knows of.
SCALES = Scales(waits=300, alarms=60, schedules=1)
LATE = (
    *("test_large_batches", "test_aws_cli", "test_next_door", "test_two_engines", "test_restart", "test_destroy"),
    "test_replay",
)

# No week is that large; several in one file are, and go by the way of what is too large for a function.
LARGEST_DIRECT_BYTES = 20_000
SMALL_FILES, SMALL_ROWS = 200, 24
FIRST_SMALL_WEEK = 3
# Weeks whose labels land together: each time one file, so one signal.
FIRST_LABELS, SECOND_LABELS, THIRD_LABELS = (0, 12), (12, 44), (44, 60)
TRAFFIC_WEEK = 5
# What every role asked for, for test_replay.
RECORD = "asked.jsonl"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What stops or removes the deployment comes after everything that needs it."""
    here = str(Path(__file__).parent)
    mine = [item for item in items if str(item.path).startswith(here)]
    place = {id(item): LATE.index(item.path.stem) if item.path.stem in LATE else -1 for item in mine}
    ordered = iter(sorted(mine, key=lambda item: place[id(item)]))
    items[:] = [next(ordered) if id(item) in place else item for item in items]


def _free_port() -> int:
    """A port that stays the same over a restart."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def journey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journey]:
    """The loop, deployed by the CDK CLI."""
    state = tmp_path_factory.mktemp("cloud")
    record = state / RECORD
    with local_cloud(ROOT, LOOP, port=_free_port(), state_dir=state, scales=SCALES, record=record) as cloud:
        assembly = state / "cdk.out"
        cloud.synthesize(assembly, max_object_bytes=str(LARGEST_DIRECT_BYTES))
        cloud.deploy(assembly)
        session = LocalSession(cloud.server.endpoint_url)
        yield Journey(cloud, find_deployment(LOOP, session), assembly)


@pytest.fixture(scope="session")
def permissions(journey: Journey) -> Deployed:
    """The policies of the deployed stacks, read while they stand."""
    stacks = {part: keys.stack_name(LOOP, DEFAULT_STAGE, part) for part in PARTS}
    return deployed_policies(journey, stacks)


@dataclass(frozen=True)
class History:
    """What landed, and the catalog as it was seen in between."""

    # Keys and versions of the landed files.
    first: tuple[str, str]
    again: Sequence[tuple[str, str]]
    small: Sequence[tuple[str, str]]
    # Record ids of the small files.
    small_ids: Sequence[str]
    landings: Mapping[tuple[str, str], Mapping[str, Any]]
    # Batches after the first file, and in the end.
    batches_before: Mapping[str, Mapping[str, Any]]
    batches: Mapping[str, Mapping[str, Any]]
    # Batches, times and curated bytes of two files, by the order in which they landed.
    orders: Sequence[Mapping[str, Any]]


@pytest.fixture(scope="session")
def history(journey: Journey, tmp_path_factory: pytest.TempPathFactory) -> History:
    """Sixty weeks land without labels: one by the AWS CLI, two in two orders, 200 small files at once, the rest."""
    week = tmp_path_factory.mktemp("landing") / stream.week(0).batch_name
    week.write_bytes(stream.week(0).batch_csv())
    key = f"batches/{week.name}"
    journey.aws("s3", "cp", str(week), f"s3://{journey.deployment['LandingBucket']}/{key}")
    head = journey.aws("s3api", "head-object", "--bucket", journey.deployment["LandingBucket"], "--key", key)
    first = (key, head["VersionId"])
    journey.await_landed([first])
    before = journey.partition("batches")

    orders = [_landed_in_order(journey, (1, 2), run=1), _landed_in_order(journey, (2, 1), run=2)]

    header, slices, last = _small_files()
    bodies = [(f"small-{number:03}.csv", batch_file(lines, header)) for number, lines in enumerate(slices)]
    small, again = [], []
    for number, (name, body) in enumerate(bodies):
        small.append(journey.land("batches", name, body))
        if number in (50, 150):  # while the small ones are being processed
            again.append(journey.land("batches", week.name, week.read_bytes()))
            again.append(journey.land("batches", f"copy-{number}.csv", week.read_bytes()))
    rest = [journey.land("batches", one.batch_name, one.batch_csv()) for one in stream.weeks(last, THIRD_LABELS[1])]
    landings = journey.await_landed([first, *small, *again, *rest])
    journey.await_decisions(len(journey.partition("landings")))
    ids = [line.partition(",")[0] for lines in slices for line in lines]
    return History(first, again, small, ids, landings, before, journey.partition("batches"), orders)


def _small_files() -> tuple[str, list[list[str]], int]:
    """Header, the lines of 200 files of about a day each, and the first week that isn't among them."""
    header, lines, number = "", [], FIRST_SMALL_WEEK
    while len(lines) < SMALL_FILES * SMALL_ROWS:
        header, *more = stream.week(number).batch_csv().decode().splitlines()
        lines += more
        number += 1
    bounds = [len(lines) * part // SMALL_FILES for part in range(SMALL_FILES + 1)]
    slices = [lines[start:end] for start, end in itertools.pairwise(bounds)]
    random.Random(7).shuffle(slices)
    return header, slices, number


def _landed_in_order(journey: Journey, weeks: Sequence[int], *, run: int) -> dict[str, Any]:
    """Land weeks in this order in a catalog that doesn't know them: what the catalog and the lake then hold of them."""
    known = set(journey.partition("batches"))
    files = []
    for number in weeks:
        name = stream.week(number).batch_name
        files.append(
            journey.land("batches", name if run == 1 else f"order-{run}-{name}", stream.week(number).batch_csv())
        )
        if run == 2:
            journey.await_landed(files)
    journey.await_landed(files)
    batches = {sort: item for sort, item in journey.partition("batches").items() if sort not in known}
    times = {sort: item for sort, item in journey.partition("timeline").items() if item["batch_id"] in batches}
    s3, lake = journey.client("s3"), journey.deployment["LakeBucket"]
    curated = {
        sort: s3.get_object(Bucket=lake, Key=item["curated_key"])["Body"].read() for sort, item in batches.items()
    }
    if run == 1:
        for name, sorts in (("batches", batches), ("timeline", times)):
            for sort in sorts:
                journey.forget(name, sort)
    return {"batches": batches, "times": times, "curated": curated}


@dataclass(frozen=True)
class Cycle:
    """One learning run with its rollout, and what was seen meanwhile."""

    learning: Execution
    rollout: Execution | None = None
    watch: Watch | None = None
    calls: Sequence[Call] = ()

    @property
    def run_id(self) -> str:
        """The run's name, which is the model's version."""
        return self.learning.name


def _known(journey: Journey) -> list[str]:
    return [execution["name"] for execution in journey.executions("LearningMachineArn")]


@pytest.fixture(scope="session")
def first_model(journey: Journey, history: History) -> Cycle:
    """The labels of twelve weeks land: there is enough to learn from."""
    known = _known(journey)
    assert not known, f"nothing may be learnt without labels. Got {known} instead."
    journey.land("labels", "first.csv", labels_file(stream.weeks(*FIRST_LABELS)))
    learning = journey.await_execution("LearningMachineArn", known=known)
    assert learning.run.status == "SUCCEEDED", learning.run
    return Cycle(learning, journey.await_execution("RolloutMachineArn", name=learning.name))


def _two_variants(journey: Journey) -> bool:
    endpoint = journey.endpoint()
    weights = [one["CurrentWeight"] for one in endpoint["ProductionVariants"]]
    return endpoint["EndpointStatus"] == "InService" and len(weights) == 2 and min(weights) > 0


def _traffic_rows() -> list[dict[str, str]]:
    return rows_of(stream.week(TRAFFIC_WEEK).batch_csv())


@pytest.fixture(scope="session")
def promoted(journey: Journey, first_model: Cycle) -> Cycle:
    """Half a year's labels land: the history has grown, and what is learnt from it beats the first model in service."""
    known = _known(journey)
    journey.land("labels", "second.csv", labels_file(stream.weeks(*SECOND_LABELS)))
    with Watch(journey) as watch:
        journey.until(lambda: _two_variants(journey), what="a canary")
        with Callers(journey, _traffic_rows(), per_second=120) as callers:
            learning = journey.await_execution("LearningMachineArn", known=known)
    return Cycle(learning, journey.await_execution("RolloutMachineArn", name=learning.name), watch, callers.calls)


@pytest.fixture(scope="session")
def refused(journey: Journey, promoted: Cycle) -> Cycle:
    """Somebody retrains with one tree: the gate must not let that through."""
    labels = journey.land("labels", "third.csv", labels_file(stream.weeks(*THIRD_LABELS)))
    journey.await_landed([labels])
    run = journey.retrain("one tree must do", max_iter="1", learning_rate="0.001")
    return Cycle(journey.await_execution("LearningMachineArn", name=run))


@pytest.fixture(scope="session")
def rolled_back(journey: Journey, refused: Cycle) -> Cycle:
    """A challenger that refuses unknown weather passes the gate and takes traffic; then unknown weather comes."""
    run = journey.retrain("strict categories", unknown_category="error")
    with Watch(journey) as watch:
        journey.until(lambda: _two_variants(journey), what="a canary")
        weights = {one["VariantName"]: one["CurrentWeight"] for one in journey.endpoint()["ProductionVariants"]}
        with Callers(journey, _traffic_rows(), per_second=100) as callers:
            callers.change = lambda row: {**row, "weathersit": "5"}
            # A tenth of what a busy machine manages may be too little for an alarm to speak of a share.
            callers.target = min(weights, key=weights.__getitem__)
            journey.until(
                lambda: "ALARM" in watch.seen[-1].alarms.values() or len(journey.endpoint()["ProductionVariants"]) == 1,
                what="an alarm",
            )
            callers.target = None
            rollout = journey.await_execution("RolloutMachineArn", name=run)
            callers.change = None
            learning = journey.await_execution("LearningMachineArn", name=run)
            until(lambda: set(watch.seen[-1].alarms.values()) == {"OK"}, what="every alarm at rest again")
    return Cycle(learning, rollout, watch, callers.calls)
