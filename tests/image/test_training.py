"""
AWS's training toolkit runs the loop as the learning machine asks for it.

sagemaker-training 4.8.0 and the packages of sagemaker-scikit-learn:1.9-0-cpu-py3 (AWS's lock, read 2026-12-01).
"""

from __future__ import annotations

import tarfile
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest

from tests.functions.world import World
from tests.image.agent import Agent
from tests.image.conftest import HYPERPARAMETERS, RUN, TRAINING, Deployed, Training, train_command
from tests.image.container import IMAGE
from training.container import PICKLE_VERSIONS


def installed() -> dict[str, str]:
    site = next(IMAGE.glob("lib/python*/site-packages"))
    return {one.metadata["Name"].lower(): one.version for one in distributions(path=[str(site)])}


def test_the_toolkit_reports_success_and_the_model_brings_its_own_code(training: Training) -> None:
    assert "Reporting training SUCCESS" in training.done.stdout
    with tarfile.open(training.archive) as archive:
        names = set(archive.getnames())
    assert {"model.joblib", "model.json", "code/inference.py", "code/training/serving.py"} <= names


def test_the_model_is_of_this_run_with_these_hyperparameters_by_the_images_own_versions(training: Training) -> None:
    card = training.read("model/model.json")
    assert card["model_version"] == RUN
    assert HYPERPARAMETERS.items() <= card["hyperparameters"].items()
    image = installed()
    expected = {name: image[name] for name in PICKLE_VERSIONS if name != "python"}
    assert {name: card["versions"][name] for name in expected} == expected


def test_nothing_is_installed_for_a_training_job(training: Training) -> None:
    assert "pip install" not in training.done.stdout


# Two of AWS's packages bring a command `train`, and the image has the one that was installed last. The newer lets the
# program's own failure file stand; the older writes its own words over it.
FAILURES = {
    "sagemaker_training": "DataUnreadable: curated/",
    "sagemaker_containers": 'ExecuteUserScriptError:\nExitCode 1\nErrorMessage ""',
}


@pytest.mark.parametrize("toolkit", FAILURES)
def test_a_failures_sentence_is_in_the_log_and_with_the_newer_toolkit_in_the_failure_file(
    toolkit: str,
    account: tuple[World, Agent],
    deployed: Deployed,
    dataset: dict[str, Any],
    training: Training,
    tmp_path: Path,
) -> None:
    _, agent = account
    container = agent.training(deployed.parameters(TRAINING, {"dataset": dataset}), tmp_path / "ml")
    next((tmp_path / "ml/input/data/dataset").rglob("*.parquet")).unlink()

    done = container.run(*train_command(toolkit))

    assert done.returncode != 0
    assert FAILURES["sagemaker_training"] in done.stdout
    assert FAILURES[toolkit] in (tmp_path / "ml/output/failure").read_text()
    assert not (tmp_path / "ml/model/model.joblib").exists()
