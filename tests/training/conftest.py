from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.training.builders import make_rehearsal, run_job, unpack_bundle
from training.rehearsal import Rehearsal

# What the toolkit makes of hyperparameters: decoded JSON.
FEW_TREES = {"max_iter": 40}


@dataclass(frozen=True)
class Jobs:
    """Two learning runs in subprocesses: the first model, and a candidate that is compared with it."""

    bundle: Path
    first: Rehearsal
    second: Rehearsal
    evaluations: tuple[subprocess.CompletedProcess[str], ...]


def evaluate_in_subprocess(rehearsal: Rehearsal, bundle: Path) -> subprocess.CompletedProcess[str]:
    """What bootstrap.py does after it has unpacked the bundle."""
    environment = {"PROCESSING_BASE": str(rehearsal.processing)}
    return run_job("-m", "training.evaluate", cwd=bundle, environment=environment)


def bootstrap_in_subprocess(rehearsal: Rehearsal, bundle: Path) -> subprocess.CompletedProcess[str]:
    """The processing job's own command: bootstrap.py beside the packed bundle, and nothing told about where it is."""
    code = rehearsal.processing / "input" / "code"
    code.mkdir()
    shutil.copyfile(bundle / "training" / "bootstrap.py", code / "bootstrap.py")
    with tarfile.open(code / "sourcedir.tar.gz", "w:gz", compresslevel=1) as archive:
        archive.add(bundle, arcname=".")
    return run_job(str(code / "bootstrap.py"), cwd=rehearsal.folder, environment={})


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="session")
def jobs(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Jobs:
    folder = tmp_path_factory.mktemp("jobs")
    first = make_rehearsal(folder / "first", 0, 11, run_id="first")
    second = make_rehearsal(folder / "second", 0, 20, run_id="second")
    for rehearsal, champion in ((first, None), (second, first)):
        environment = {**rehearsal.environment, "SM_HPS": json.dumps(FEW_TREES)}
        trained = run_job("train.py", "--max_iter", "40", cwd=bundle, environment=environment)
        assert trained.returncode == 0, trained.stderr
        rehearsal.hand_over(champion.archive if champion else None)
    evaluations = (bootstrap_in_subprocess(first, bundle), evaluate_in_subprocess(second, bundle))
    return Jobs(bundle, first, second, evaluations)
