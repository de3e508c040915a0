"""Train the candidate of one dataset version."""

from __future__ import annotations

import importlib
import logging
import random
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from perennial.artifact import list_contents
from perennial.errors import DatasetTooSmall
from perennial.project import Loop
from training.container import BUNDLE_DIR, TrainingContainer, runtime_versions
from training.dataset import Rows, read_dataset, read_loop, read_version
from training.model_code import copy_code
from training.model_folder import ModelCard, save
from training.predictions import predict

__all__ = ["build_estimator", "effective_hyperparameters", "fit", "train"]

logger = logging.getLogger(__name__)


def train(container: TrainingContainer, bundle_dir: Path = BUNDLE_DIR) -> ModelCard:
    """
    Fit the loop's estimator on the training part and write the model's folder.

    The same dataset version and hyperparameters give the same model, whenever and wherever it is trained.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    version, loop = read_version(container.version_dir), read_loop(container.version_dir)
    dataset = read_dataset(container.dataset_dir, version, loop)
    rows = dataset.parts["train"]
    hyperparameters = effective_hyperparameters(loop, container.hyperparameters)
    logger.info("training %s of %s on %d rows, left out: %s", version.run_id, loop.name, len(rows), dataset.dropped)
    estimator = fit(build_estimator(bundle_dir, loop.name, hyperparameters), rows, loop, seed=loop.training.seed)
    made = predict(estimator, rows.features, loop.task)
    card = ModelCard(
        model_version=version.run_id,
        dataset_id=version.dataset_id,
        loop=loop.name,
        loop_digest=loop.digest,
        task=loop.task,
        features=loop.contract.features,
        classes=made.classes,
        hyperparameters=hyperparameters,
        training_rows=len(rows),
        dropped_rows=dataset.dropped,
        data_digest=rows.digest(),
        prediction_digest=made.digest(),
        versions=runtime_versions(),
    )
    save(container.model_dir, estimator=estimator, card=card, loop=loop)
    copy_code(bundle_dir, loop.name, container.model_dir / "code")
    list_contents(container.model_dir)
    logger.info("trained %s: data %s, predictions %s", card.model_version, card.data_digest, card.prediction_digest)
    return card


def effective_hyperparameters(loop: Loop, overriding: Mapping[str, str]) -> dict[str, str]:
    """The loop's hyperparameters, its seed, and over both of them those of this job."""
    own = {name: str(value) for name, value in loop.training.hyperparameters.items()}
    return {"seed": str(loop.training.seed), **own, **overriding}


def build_estimator(bundle_dir: Path, loop: str, hyperparameters: Mapping[str, str]) -> Any:
    """The unfitted estimator that the loop's model.py builds; its module keeps the name that pickles refer to."""
    if str(bundle_dir) not in sys.path:
        sys.path.insert(0, str(bundle_dir))
    return importlib.import_module(f"loops.{loop}.model").build_estimator(dict(hyperparameters))


def fit(estimator: Any, rows: Rows, loop: Loop, *, seed: int) -> Any:
    """
    The fitted estimator.

    Raises
    ------
    DatasetTooSmall
        A classifier was given rows of one class only: whatever it learnt, it could say nothing else.
    """
    if loop.task != "regression" and rows.labels.nunique() < 2:
        raise DatasetTooSmall(f"labels of at least two classes are needed. All {len(rows)} rows have the same one.")
    # For estimators that take no seed of their own.
    random.seed(seed)
    np.random.seed(seed % 2**32)
    return estimator.fit(rows.features, rows.labels)
