"""The containers' contract, kept by processes that get nothing but what SageMaker gives them."""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
from pathlib import Path

import pytest

from perennial.gate import Evaluation, judge
from tests.training.builders import bikeshare, make_rehearsal, run_job
from tests.training.conftest import FEW_TREES, Jobs, evaluate_in_subprocess
from training.rehearsal import Rehearsal

SERVE = """
import importlib, json, sys
sys.path.insert(0, sys.argv[1])
inference = importlib.import_module("inference")
model = inference.model_fn(sys.argv[2])
answers = []
for content_type, body in json.load(open(sys.argv[3])):
    try:
        document = inference.predict_fn(inference.input_fn(body, content_type), model)
        made = inference.output_fn(document, "application/json")
        answers.append([200, json.loads(made[0])] if isinstance(made, tuple) else [made.status_code, made.get_json()])
    except Exception as error:
        answers.append([500, f"{type(error).__name__}: {error}"])
origin = sys.modules["training.serving"].__file__
print(json.dumps({"answers": answers, "origin": origin}))
"""


def evaluation_of(rehearsal: Rehearsal) -> Evaluation:
    return Evaluation.model_validate_json((rehearsal.processing / "output" / "evaluation.json").read_bytes())


def smoke_of(rehearsal: Rehearsal) -> dict:
    return json.loads((rehearsal.processing / "output" / "smoke.json").read_bytes())


def serve(rehearsal: Rehearsal, folder: Path, requests: list[tuple[str, str]]) -> tuple[list, str]:
    """A serving process that has nothing but an unpacked model.tar.gz and a copy of inference.py in site-packages."""
    model, site = folder / "model", folder / "site"
    site.mkdir()
    with tarfile.open(rehearsal.archive) as archive:
        archive.extractall(model, filter="data")
    shutil.copyfile(model / "code" / "inference.py", site / "inference.py")
    (folder / "requests.json").write_text(json.dumps(requests))
    done = run_job(
        *("-c", SERVE, str(site), str(model), str(folder / "requests.json")),
        cwd=folder,
        environment={"SAGEMAKER_SUBMIT_DIRECTORY": str(model / "code")},
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    return said["answers"], said["origin"]


def test_a_first_model_is_trained_and_evaluated_by_bootstrap_without_a_champion(jobs: Jobs) -> None:
    assert jobs.evaluations[0].returncode == 0, jobs.evaluations[0].stderr
    evaluation = evaluation_of(jobs.first)
    assert evaluation.champion is None
    assert evaluation.paired is None
    assert evaluation.candidate.overall["accuracy"].value > evaluation.baseline["accuracy"].value


def test_a_candidate_and_the_champion_are_scored_on_the_same_rows(jobs: Jobs) -> None:
    assert jobs.evaluations[1].returncode == 0, jobs.evaluations[1].stderr
    evaluation = evaluation_of(jobs.second)
    mine, theirs = evaluation.candidate.overall["accuracy"], evaluation.champion.overall["accuracy"]
    assert mine.rows == theirs.rows == evaluation.paired.rows
    assert evaluation.paired.difference == pytest.approx(mine.value - theirs.value)
    assert evaluation.paired.low < evaluation.paired.difference < evaluation.paired.high
    assert set(evaluation.candidate.slices["workingday"]) == {"0", "1"}
    assert evaluation.candidate.anchor["accuracy"].rows == evaluation.champion.anchor["accuracy"].rows > 0


def test_the_gate_can_judge_what_the_evaluation_wrote(jobs: Jobs) -> None:
    verdict = judge(evaluation_of(jobs.second), bikeshare().gate)
    assert verdict.verdict == "passed", verdict.reasons


def test_the_evaluation_names_the_very_archive_that_it_judged(jobs: Jobs) -> None:
    archive = jobs.second.processing / "input" / "challenger" / "model.tar.gz"
    assert evaluation_of(jobs.second).artifact_digest == hashlib.sha256(archive.read_bytes()).hexdigest()


def test_importances_are_shares_and_the_hour_matters_most(jobs: Jobs) -> None:
    importances = evaluation_of(jobs.second).importances
    assert set(importances) == set(bikeshare().contract.features)
    assert sum(importances.values()) == pytest.approx(1.0)
    assert max(importances, key=importances.__getitem__) == "hr"


def test_features_are_served_exactly_as_they_were_trained(jobs: Jobs) -> None:
    assert evaluation_of(jobs.second).feature_skew == 0.0


def test_a_model_archive_serves_by_itself_and_answers_as_the_evaluation_did(jobs: Jobs, tmp_path: Path) -> None:
    smoke = smoke_of(jobs.second)
    header = list(smoke["rows"][0])
    csv = "\n".join([",".join(header), *(",".join(str(row[name]) for name in header) for row in smoke["rows"])])
    wrong = dict(smoke["rows"][0], temp="warm")
    unseen = dict(smoke["rows"][0], weathersit="5")
    lacking = {name: value for name, value in smoke["rows"][0].items() if name != "hum"}
    requests = [
        ("application/json", json.dumps({"instances": smoke["rows"]})),
        ("text/csv; charset=utf-8", csv),
        ("application/json", json.dumps({"instances": [smoke["rows"][1], wrong]})),
        ("application/json", json.dumps({"instances": [lacking]})),
        ("application/json", json.dumps({"instances": [unseen]})),
        ("application/json", "{"),
        ("image/png", "x"),
    ]
    answers, origin = serve(jobs.second, tmp_path, requests)
    assert Path(origin).is_relative_to(tmp_path / "model" / "code")
    for status, document in answers[:2]:
        assert (status, document["model_version"]) == (200, "second")
        assert [row["record_id"] for row in document["predictions"]] == [row["record_id"] for row in smoke["rows"]]
        for given, expected in zip(document["predictions"], smoke["predictions"], strict=True):
            assert given["prediction"] == expected["prediction"]
            assert given["score"] == pytest.approx(expected["score"], abs=smoke["tolerance"])
    assert answers[2] == [400, {"error": "row 1: temp must be a finite number. Got 'warm' instead."}]
    assert answers[3] == [400, {"error": "row 0: hum must be a finite number. It is missing."}]
    assert [status for status, _ in answers[4:]] == [200, 400, 415]


def test_a_code_that_training_never_saw_is_a_500_of_the_strict_model(jobs: Jobs, tmp_path: Path) -> None:
    strict = make_rehearsal(tmp_path / "strict", 4, 20, run_id="strict")
    environment = {**strict.environment, "SM_HPS": json.dumps({"unknown_category": "error", "max_iter": 20})}
    trained = run_job("train.py", cwd=jobs.bundle, environment=environment)
    assert trained.returncode == 0, trained.stderr
    strict.hand_over(None)
    new_code = dict(smoke_of(jobs.second)["rows"][0], weathersit="5")
    answers, _ = serve(strict, tmp_path, [("application/json", json.dumps({"instances": [new_code]}))])
    assert answers[0][0] == 500
    assert "unknown categories" in answers[0][1]
    card = json.loads((strict.model_dir / "model.json").read_text())
    assert (card["hyperparameters"]["unknown_category"], card["hyperparameters"]["max_iter"]) == ("error", "20")


def test_training_again_from_the_same_version_gives_the_same_model(jobs: Jobs, tmp_path: Path) -> None:
    again = make_rehearsal(tmp_path, 0, 20, run_id="second")
    environment = {**again.environment, "SM_HPS": json.dumps(FEW_TREES)}
    trained = run_job("train.py", cwd=jobs.bundle, environment=environment)
    assert trained.returncode == 0, trained.stderr
    cards = [json.loads((run.model_dir / "model.json").read_text()) for run in (jobs.second, again)]
    assert cards[0]["prediction_digest"] == cards[1]["prediction_digest"]
    assert cards[0]["data_digest"] == cards[1]["data_digest"]


def test_a_failing_training_leaves_a_sentence_and_exits_with_one(jobs: Jobs, tmp_path: Path) -> None:
    broken = make_rehearsal(tmp_path, 0, 11)
    next(iter(sorted((tmp_path / "ml/input/data/dataset/curated/batches").iterdir()))).unlink()
    trained = run_job("train.py", cwd=jobs.bundle, environment=broken.environment)
    assert trained.returncode == 1
    sentence = (tmp_path / "ml" / "output" / "failure").read_text()
    assert sentence.startswith("DataUnreadable: curated/batches/")
    assert sentence.strip() == trained.stderr.strip().splitlines()[-1]
    assert not (broken.model_dir / "model.joblib").exists()


def test_a_failing_evaluation_leaves_a_sentence_as_exit_message(jobs: Jobs, tmp_path: Path) -> None:
    empty = make_rehearsal(tmp_path, 0, 11)
    (empty.processing / "input" / "challenger").mkdir()
    done = evaluate_in_subprocess(empty, jobs.bundle)
    assert done.returncode == 1
    assert "model.tar.gz. There is none." in (tmp_path / "output" / "message").read_text()
    assert not (empty.processing / "output" / "evaluation.json").exists()
