"""Evaluation and the large batch job on the packages of AWS's image, from the commands that the templates name."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pandas as pd

from functions import record_batch, validate_batch
from loops.bikeshare import stream
from perennial.evaluation import Evaluation
from perennial.events import BatchAccepted
from perennial.gate import judge
from perennial.keys import curated_key
from perennial.project import load_loop
from tests.functions.test_large_batches import started
from tests.functions.world import World
from tests.image.agent import Agent
from tests.image.conftest import LOOP, PROCESSING, ROOT, WEEKS, Deployed, Job


def test_the_evaluation_is_written_without_a_network_and_the_gate_passes_it(evaluation: Job) -> None:
    assert evaluation.asked["NetworkConfig"]["EnableNetworkIsolation"] is True
    written = Evaluation.model_validate(evaluation.read("processing/output/evaluation.json"))
    assert judge(written, load_loop(ROOT / "loops" / LOOP).gate).verdict == "passed"
    assert evaluation.read("processing/output/smoke.json")["rows"]


def test_a_large_file_becomes_the_batch_that_a_function_would_have_made(
    account: tuple[World, Agent], deployed: Deployed, dataset: dict[str, Any], source: Path, tmp_path: Path
) -> None:
    world, agent = account
    week = stream.week(WEEKS)
    event = world.land(week.batch_csv(), "batches/large.csv")
    world.run(validate_batch, event, loop_name=LOOP, max_object_bytes=10)
    [order] = started(world).values()
    asked = deployed.parameters(PROCESSING, order)
    app = asked["AppSpecification"]

    done = agent.processing(asked, tmp_path / "ml").run(*app["ContainerEntrypoint"], *app["ContainerArguments"])

    assert done.returncode == 0, done.stdout
    world.announced()
    world.run(record_batch, {**order, "job": {}}, loop_name=LOOP)
    [accepted] = [one for one in world.announced() if isinstance(one, BatchAccepted)]
    made = pd.read_parquet(io.BytesIO(world.objects()[curated_key(accepted.batch_id)]))
    assert (accepted.rows, len(made)) == (week.rows, week.rows)
    landed = pd.read_csv(io.BytesIO(week.batch_csv()))
    pd.testing.assert_series_equal(made["temp"], landed["temp"], check_dtype=False)
