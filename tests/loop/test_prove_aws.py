"""`perennial prove` on the local cloud, as on AWS: every step is good, nothing is left, and one log tells it all."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from localcloud.identity import ACCOUNT
from localcloud.identity import ROOT as ROOT_KEYS
from localcloud.scales import Scales
from localcloud.server import Server
from perennial.cli.prove.leftovers import leftovers
from perennial.cli.prove.project import LOOP, STAGE
from tests.loop.conftest import ROOT
from tests.loop.journey import LocalSession

pytestmark = pytest.mark.local_cloud

# A bake of five minutes takes a second. The script is the same as for AWS: this is all that differs.
SCALES = Scales(waits=300, alarms=60, schedules=1)


@dataclass(frozen=True)
class Proved:
    """A proof that is over: its exit code, what it printed, its log, and what was there before and after."""

    code: int
    said: str
    log: str
    left: list[str]


def _prove(server: Server, *arguments: str) -> tuple[int, str]:
    command = [str(Path(sys.prefix) / "bin" / "perennial"), "prove", *arguments]
    environment = {**os.environ, **server.environment(), "PERENNIAL_ROOT": str(ROOT), "COLUMNS": "200"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A local cloud of its own, on which nothing is yet."""
    with Server(state_dir=tmp_path_factory.mktemp("proof"), scales=SCALES) as server:
        yield server


@pytest.fixture(scope="module")
def proved(server: Server) -> Proved:
    """The whole script."""
    code, said = _prove(server, "--yes")
    path = next(line.removeprefix("log: ").split(" (")[0] for line in said.splitlines() if line.startswith("log: "))
    left = list(leftovers(LocalSession(server.endpoint_url).client, LOOP, STAGE))
    return Proved(code, said, (ROOT / path).read_text(encoding="utf-8"), left)


def test_who_does_not_say_yes_spends_nothing(server: Server):
    code, said = _prove(server)
    assert code == 1
    assert "Spend about" in said
    stacks = LocalSession(server.endpoint_url).client("cloudformation").describe_stacks()["Stacks"]
    assert stacks == []


def test_every_step_is_good(proved: Proved):
    verdicts = [line for line in proved.said.splitlines() if line.startswith(("good", "bad", "skipped"))]
    assert proved.code == 0, proved.said + proved.log
    assert len(verdicts) == 13
    assert all(line.startswith("good") for line in verdicts)


def test_nothing_is_left(proved: Proved):
    assert proved.left == []


def test_the_log_tells_each_step_and_the_ledger_and_names_no_account(proved: Proved):
    assert "everything was shown, and nothing is left" in proved.log
    assert "Model Promoted" in proved.log
    assert "for endpoint usage" in proved.log
    for secret in (ACCOUNT, ROOT_KEYS.secret_key):
        assert secret not in proved.log
