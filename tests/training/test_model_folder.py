"""A stored model is loaded only under its own versions, unchanged, and with the code it was trained with."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd
import pytest

from perennial.artifact import folder_digest, list_contents
from perennial.errors import ArtifactChanged
from tests.training.builders import bikeshare
from training import serving
from training.container import VersionsMismatch, runtime_versions
from training.fitting import build_estimator
from training.model_folder import CARD, ESTIMATOR, FeaturesLacking, ModelCard, load, save

MODEL = """
from sklearn.base import BaseEstimator
class Constant(BaseEstimator):
    def fit(self, rows, labels):
        self.classes_ = [0, 1]
        return self
    def predict(self, rows):
        return [{answer}] * len(rows)
    def predict_proba(self, rows):
        return [[1 - {answer}, {answer}]] * len(rows)
def build_estimator(hyperparameters):
    return Constant().fit(None, None)
"""


def make_model(folder: Path, *, answer: int, version: str = "m") -> Path:
    """A model whose class lives in its own loops/constant/model.py, which answers the same to everything."""
    code = folder / "code"
    (code / "loops" / "constant").mkdir(parents=True)
    (code / "loops" / "constant" / "model.py").write_text(MODEL.format(answer=answer))
    card = ModelCard(
        model_version=version, dataset_id="d", loop="constant", loop_digest="l", task="binary", features=("temp",),
        classes=(0, 1), hyperparameters={}, training_rows=1, dropped_rows={}, data_digest="", prediction_digest="",
        versions=runtime_versions(),
    )  # fmt: skip
    save(folder, estimator=build_estimator(code, "constant", {}), card=card, loop=bikeshare())
    list_contents(folder)
    sys.path.remove(str(code))
    for name in [name for name in sys.modules if name.startswith("loops.constant")]:
        del sys.modules[name]
    return folder


def test_two_models_keep_each_its_own_code_in_one_process(tmp_path: Path) -> None:
    champion = load(make_model(tmp_path / "a", answer=0))
    challenger = load(make_model(tmp_path / "b", answer=1))
    rows = pd.DataFrame({"temp": [0.5, 0.6]})
    assert champion.answer(rows).values.tolist() == [0, 0]
    assert challenger.answer(rows).values.tolist() == [1, 1]
    assert not [name for name in sys.modules if name.startswith("loops.constant")]


def test_a_model_of_other_versions_is_refused_before_it_is_unpickled(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "m", answer=1)
    card = json.loads((folder / CARD).read_text())
    card["versions"]["scikit-learn"] = "1.2.1"
    (folder / CARD).write_text(json.dumps(card))
    (folder / ESTIMATOR).write_bytes(b"unpickling this would fail")
    with pytest.raises(VersionsMismatch, match=r"scikit-learn 1\.2\.1, but scikit-learn 1\.9\.0 is here"):
        load(folder)


def test_an_estimator_that_is_not_the_cards_is_refused_before_it_is_unpickled(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "m", answer=1)
    (folder / ESTIMATOR).write_bytes(b"unpickling this would fail")
    with pytest.raises(ArtifactChanged):
        load(folder)


def test_serving_refuses_a_model_that_is_not_the_one_it_was_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P60: whoever can write the archive can make its own card fit, but not what the environment says."""
    approved, other = make_model(tmp_path / "a", answer=0), make_model(tmp_path / "b", answer=1)
    monkeypatch.setenv("MODEL_DIGEST", folder_digest(approved))

    assert serving.model_fn(str(approved)).card.model_version
    with pytest.raises(ArtifactChanged, match="must be the approved one"):
        serving.model_fn(str(other))
    (approved / "code" / "loops" / "constant" / "model.py").write_text("raise SystemExit")
    with pytest.raises(ArtifactChanged, match="1 changed"):
        serving.model_fn(str(approved))


def test_rows_without_a_feature_that_the_model_learnt_from_are_refused_by_name(tmp_path: Path) -> None:
    model = load(make_model(tmp_path / "m", answer=1))
    with pytest.raises(FeaturesLacking, match="The rows lack temp"):
        model.answer(pd.DataFrame({"hum": [0.5]}))
