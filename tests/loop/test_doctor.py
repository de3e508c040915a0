"""`perennial doctor` on the local cloud: what it can be asked is good, and what it hasn't got is said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from localcloud.identity import ACCOUNT
from tests.loop.conftest import ROOT, Cycle
from tests.loop.journey import LOOP, Journey

pytestmark = pytest.mark.local_cloud


@pytest.fixture(scope="module")
def lines(journey: Journey, first_model: Cycle) -> Mapping[str, Any]:
    """What the command says of the deployed loop, by subject."""
    command = [str(Path(sys.prefix) / "bin" / "perennial"), "doctor", LOOP, "--json"]
    environment = {**os.environ, **journey.cloud.server.environment()}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    answer = json.loads(done.stdout)
    assert answer["good"]
    return {line["subject"]: line for line in answer["lines"]}


def test_credentials_region_and_bootstrap_are_looked_at(lines: Mapping[str, Any]) -> None:
    assert lines["credentials"]["sentence"].endswith(f"of account {ACCOUNT}")
    assert [lines[subject]["verdict"] for subject in ("region", "CDK bootstrap")] == ["good", "good"]


@pytest.mark.parametrize("subject", ["functions at once", f"{LOOP}: quotas"])
def test_the_local_cloud_has_no_quotas_and_the_line_says_so(lines: Mapping[str, Any], subject: str) -> None:
    assert (lines[subject]["verdict"], lines[subject]["sentence"]) == ("not asked", "the local cloud has no quotas")


def test_the_deployed_stacks_and_the_endpoint_are_told(lines: Mapping[str, Any]) -> None:
    stacks = lines[f"{LOOP}: stacks of stage dev"]
    assert stacks["verdict"] == "good"
    assert stacks["sentence"].count("_COMPLETE") == 4
    assert lines[f"{LOOP}: endpoint perennial-{LOOP}--dev"]["sentence"] == "InService"


def test_the_state_machines_may_pass_their_roles(lines: Mapping[str, Any]) -> None:
    passing = lines[f"{LOOP}: permissions to pass roles"]
    assert passing["verdict"] == "good"
    assert "LearningMachine" in passing["sentence"]
