"""
What a model.tar.gz holds: the fitted estimator, what it is, its loop, and the code that serves it.

    model.joblib   the estimator (a pickle: only this package loads it, only inside a container)
    model.json     the model card: version, versions it was written under, columns, digests
    loop.json      the loop as it was when the model was trained
    code/          the source bundle's files
    contents.json  all of these with their digests
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel, ConfigDict

from perennial.artifact import folder_digest
from perennial.errors import ArtifactChanged
from perennial.metrics import Task
from perennial.project import Loop
from training.container import refuse_other_versions
from training.predictions import Answers, predict

__all__ = ["CARD", "ESTIMATOR", "LOOP", "FeaturesLacking", "LoadedModel", "ModelCard", "load", "save"]

ESTIMATOR = "model.joblib"
CARD = "model.json"
LOOP = "loop.json"


class FeaturesLacking(RuntimeError):
    """Rows without a column that a model learnt from."""


class ModelCard(BaseModel):
    """
    What a model is.

    `data_digest` is of the training rows as the estimator saw them, `prediction_digest` of its predictions on those
    rows: training again from the same dataset version gives the same two.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model_version: str
    dataset_id: str
    loop: str
    loop_digest: str
    task: Task
    features: tuple[str, ...]
    classes: tuple[str | bool | int | float, ...]
    hyperparameters: dict[str, str]
    training_rows: int
    dropped_rows: dict[str, int]
    data_digest: str
    prediction_digest: str
    estimator_digest: str = ""
    versions: dict[str, str]


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model ready to predict."""

    card: ModelCard
    loop: Loop
    estimator: Any

    def answer(self, features: pd.DataFrame) -> Answers:
        """
        Its answers to rows, from the columns that it learnt from.

        Raises
        ------
        FeaturesLacking
            The rows lack one of them: the contract changed since it was trained.
        """
        lacking = [name for name in self.card.features if name not in features]
        if lacking:
            raise FeaturesLacking(
                f"model {self.card.model_version} must be given {', '.join(self.card.features)}. "
                f"The rows lack {', '.join(lacking)}: the contract changed since it was trained."
            )
        return predict(self.estimator, features[list(self.card.features)], self.card.task)


def save(folder: Path, *, estimator: Any, card: ModelCard, loop: Loop) -> None:
    """Write everything but the code."""
    import joblib

    folder.mkdir(parents=True, exist_ok=True)
    joblib.dump(estimator, folder / ESTIMATOR)
    card = card.model_copy(update={"estimator_digest": _digest(folder / ESTIMATOR)})
    (folder / CARD).write_text(card.model_dump_json(indent=1) + "\n", encoding="utf-8")
    (folder / LOOP).write_text(loop.to_json(), encoding="utf-8")


def load(folder: Path, *, expected: str | None = None) -> LoadedModel:
    """
    The model in a folder.

    Parameters
    ----------
    expected
        The digest of what the folder must hold, known from elsewhere than the folder.

    Raises
    ------
    VersionsMismatch
        It was written under other versions than these; nothing was unpickled.
    ArtifactChanged
        The folder isn't the expected one, or the estimator isn't the one the card was written for; nothing was
        unpickled.
    FileNotFoundError
        The folder holds no model.
    """
    import joblib

    if expected is not None and (actual := folder_digest(folder)) != expected:
        raise ArtifactChanged(f"the model must be the approved one, of digest {expected}. Got {actual} instead.")
    card = ModelCard.model_validate_json((folder / CARD).read_text(encoding="utf-8"))
    refuse_other_versions(card.versions)
    found = _digest(folder / ESTIMATOR)
    if found != card.estimator_digest:
        raise ArtifactChanged(f"{ESTIMATOR} must have the digest {card.estimator_digest}. Got {found} instead.")
    loop = Loop.from_json((folder / LOOP).read_text(encoding="utf-8"))
    with _own_code(folder / "code"):
        return LoadedModel(card, loop, joblib.load(folder / ESTIMATOR))


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


@contextmanager
def _own_code(code_dir: Path) -> Iterator[None]:
    """
    Let a pickle find `loops.<name>.model` as it was when the model was trained.

    Champion and challenger are loaded into one process to be compared, and a loop's model.py may have changed between
    them. What is unpickled keeps its own functions after the modules are forgotten.
    """
    if not (code_dir / "loops").is_dir():
        yield
        return
    others = _forget_loops()
    sys.path.insert(0, str(code_dir))
    try:
        yield
    finally:
        sys.path.remove(str(code_dir))
        _forget_loops()
        sys.modules.update(others)


def _forget_loops() -> dict[str, Any]:
    names = [name for name in sys.modules if name == "loops" or name.startswith("loops.")]
    return {name: sys.modules.pop(name) for name in names}
