"""
AWS's serving stack (sagemaker-containers 2.8.6.post2, Flask, gunicorn) serves the trained model as the rollout asks.

What stands between a caller and our code there, and what it makes of a request that it can't read (run 2026-12-01).
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from functions import prepare_rollout
from tests.functions.builders import put_model
from tests.functions.world import World
from tests.image.agent import Agent
from tests.image.conftest import MODEL, RUN, Deployed, Job, Training, unpack
from tests.image.container import Container

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Served:
    """A container that served, and what it answered to each request."""

    container: Container
    done: CompletedProcess[str]
    answers: dict[str, tuple[int, str, bytes]]

    def document(self, name: str, status: int = 200) -> Any:
        """The JSON document of an answer of that status."""
        given, kind, body = self.answers[name]
        assert (given, kind) == (status, "application/json"), (given, kind, body)
        return json.loads(body)


def requests(smoke: dict[str, Any]) -> dict[str, tuple[str, str | None, bytes]]:
    """Content type, Accept and body of each request."""
    rows = smoke["rows"]
    header = list(rows[0])
    lines = [",".join(header), *(",".join(str(row[name]) for name in header) for row in rows)]
    document = json.dumps({"instances": rows}).encode()
    bad = json.dumps({"instances": [rows[0], {**rows[0], "temp": "warm"}]}).encode()
    return {
        "json": ("application/json", "application/json", document),
        "csv": ("text/csv", "application/json", "\n".join(lines).encode()),
        "any accept": ("application/json", None, document),
        "bad row": ("application/json", "application/json", bad),
        "unknown type": ("image/png", "application/json", b"x"),
        "no UTF-8": ("application/json", "application/json", b'{"instances": [{"temp": "\xff"}]}'),
        "no UTF-8 in CSV": ("text/csv", "application/json", b"temp\n\xff\n"),
    }


@pytest.fixture(scope="module")
def served(
    account: tuple[World, Agent],
    deployed: Deployed,
    training: Training,
    evaluation: Job,
    tmp_path_factory: pytest.TempPathFactory,
) -> Served:
    """One container that answers all requests: no network, a model that nobody may write."""
    world, agent = account
    url = put_model(world, RUN, data=training.archive.read_bytes())
    digest = world.catalog.get({"pk": "demo#models", "sk": RUN})["approved_digest"]
    rollout = {"rollout_id": RUN, "run_id": RUN, "model_version": RUN, "model_data_url": url, "artifact_digest": digest}
    plan = world.run(prepare_rollout, rollout)
    base = tmp_path_factory.mktemp("serving") / "ml"
    container = agent.serving(deployed.parameters(MODEL, {"plan": plan}), base)
    unpack(training.archive, base / "model")
    asked = requests(evaluation.read("processing/output/smoke.json"))
    said = [
        {"type": kind, "accept": accept, "body": base64.b64encode(body).decode()}
        for kind, accept, body in asked.values()
    ]
    (base.parent / "requests.json").write_text(json.dumps(said))
    files = [str(base.parent / name) for name in ("requests.json", "answers.json")]
    done = container.run("python", str(HERE / "converse.py"), *files, "python", "-m", "image_glue.serving")
    assert done.returncode == 0, done.stdout
    answers = [(status, kind, base64.b64decode(body)) for status, kind, body in json.loads(Path(files[1]).read_text())]
    return Served(container, done, dict(zip(asked, answers, strict=True)))


def test_it_is_isolated_and_its_model_is_read_only(served: Served) -> None:
    assert served.container.isolated
    written = served.container.run("touch", "/opt/ml/model/x")
    assert "Read-only file system" in written.stdout
    connect = "import socket; socket.create_connection(('192.0.2.1', 80))"
    assert "Network is unreachable" in served.container.run("python", "-c", connect).stdout


@pytest.mark.parametrize("name", ["json", "csv", "any accept"])
def test_it_predicts_what_the_evaluation_predicted(name: str, served: Served, evaluation: Job) -> None:
    smoke = evaluation.read("processing/output/smoke.json")
    document = served.document(name)
    assert document["model_version"] == RUN
    assert [one["prediction"] for one in document["predictions"]] == [one["prediction"] for one in smoke["predictions"]]
    scores = [one["score"] for one in smoke["predictions"]]
    assert [one["score"] for one in document["predictions"]] == pytest.approx(scores, abs=smoke["tolerance"])


def test_a_bad_row_is_a_400_with_its_sentence(served: Served) -> None:
    sentence = "row 1: temp must be a finite number. Got 'warm' instead."
    assert served.document("bad row", 400) == {"error": sentence}


def test_an_unknown_type_is_a_415(served: Served) -> None:
    assert "image/png" in served.document("unknown type", 415)["error"]


@pytest.mark.parametrize("name", ["no UTF-8", "no UTF-8 in CSV"])
def test_bytes_that_are_no_utf8_reach_our_code_as_replacement_characters_and_are_a_400(
    name: str, served: Served
) -> None:
    assert "the body must be UTF-8 text" in served.document(name, 400)["error"]
