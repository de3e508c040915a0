"""
The evidence that the gate judges: candidate and champion on the very same held-out and anchor rows.

Everything is measured by the code that serves (`training.predictions`, `training.serving`) and by the definitions
that watch the deployed model (`perennial.scores`); nothing here decides.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sys
import tarfile
import tempfile
from pathlib import Path

from perennial.dataset import DatasetVersion
from perennial.evaluation import Evaluation, ModelEvaluation
from perennial.project import Loop
from perennial.scores import paired
from training.container import ContainerInvalid, ProcessingContainer, runtime_versions
from training.dataset import Dataset, read_dataset, read_loop, read_version
from training.measuring import (
    answer_latencies_ms,
    baseline,
    by_group,
    feature_skew,
    importances,
    metrics,
    scored,
    smoke,
)
from training.model_folder import LoadedModel, load

__all__ = ["evaluate"]

logger = logging.getLogger(__name__)

CONFIDENCE = 0.95


def evaluate(container: ProcessingContainer) -> Evaluation:
    """
    Measure both models and write evaluation.json and smoke.json.

    Raises
    ------
    ContainerInvalid
        There is no challenger, or it isn't the model of this dataset version's run.
    VersionsMismatch
        A model was written under other versions than these.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    version, loop = read_version(container.version_dir), read_loop(container.version_dir)
    dataset = read_dataset(container.dataset_dir, version, loop)
    with tempfile.TemporaryDirectory(prefix="perennial-models-") as scratch:
        archive = _archive(container.challenger_dir)
        if archive is None:
            raise ContainerInvalid(
                f"a challenger must lie in {container.challenger_dir} as model.tar.gz. There is none."
            )
        challenger = _unpacked(archive, Path(scratch) / "challenger")
        champion_archive = _archive(container.champion_dir)
        champion = _unpacked(champion_archive, Path(scratch) / "champion") if champion_archive else None
        _same_run(challenger, version)
        evaluation = _compare(challenger, champion, dataset, loop, artifact_digest=_digest(archive))
        document = smoke(challenger, dataset.parts["holdout"])
    container.output_dir.mkdir(parents=True, exist_ok=True)
    (container.output_dir / "evaluation.json").write_text(evaluation.model_dump_json(indent=1) + "\n", encoding="utf-8")
    (container.output_dir / "smoke.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    logger.info("evaluated %s on %d rows: %s", version.run_id, len(dataset.parts["holdout"]), _told(evaluation))
    return evaluation


def _compare(
    challenger: LoadedModel, champion: LoadedModel | None, dataset: Dataset, loop: Loop, *, artifact_digest: str
) -> Evaluation:
    holdout, metric = dataset.parts["holdout"], loop.gate.metric
    difference = None
    if champion is not None:
        mine, theirs = (scored(holdout, model.answer(holdout.features)) for model in (challenger, champion))
        difference = paired(metric, mine, theirs, confidence=CONFIDENCE)
    return Evaluation(
        run_id=challenger.card.model_version,
        candidate=_measured(challenger, dataset, loop),
        champion=None if champion is None else _measured(champion, dataset, loop),
        baseline=baseline(dataset.parts["train"], holdout, loop.task, confidence=CONFIDENCE),
        paired=difference,
        importances=importances(challenger, holdout, metric, seed=loop.training.seed),
        champion_importances={}
        if champion is None
        else importances(champion, holdout, metric, seed=loop.training.seed),
        feature_skew=feature_skew(challenger, holdout),
        artifact_digest=artifact_digest,
        versions=runtime_versions(),
    )


def _measured(model: LoadedModel, dataset: Dataset, loop: Loop) -> ModelEvaluation:
    holdout, anchor = dataset.parts["holdout"], dataset.parts["anchor"]
    answers = model.answer(holdout.features)
    latencies = answer_latencies_ms(model, holdout)
    return ModelEvaluation(
        overall=metrics(holdout, answers, loop.task, confidence=CONFIDENCE),
        slices=by_group(holdout, answers, loop.task, loop.contract.segments, confidence=CONFIDENCE),
        groups=by_group(holdout, answers, loop.task, loop.contract.sensitive, confidence=CONFIDENCE),
        anchor=metrics(anchor, model.answer(anchor.features), loop.task, confidence=CONFIDENCE) if len(anchor) else {},
        latency_ms_p50=latencies[0],
        latency_ms_p99=latencies[1],
    )


def _archive(folder: Path) -> Path | None:
    """The one model.tar.gz below a channel's folder; a champion's channel may hold no-champion.txt instead."""
    return next(iter(sorted(folder.rglob("*.tar.gz"))), None)


def _unpacked(archive: Path, target: Path) -> LoadedModel:
    with tarfile.open(archive) as packed:
        packed.extractall(target, filter="data")
    return load(target)


def _digest(archive: Path) -> str:
    with archive.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _same_run(challenger: LoadedModel, version: DatasetVersion) -> None:
    card = challenger.card
    if (card.model_version, card.dataset_id) != (version.run_id, version.dataset_id):
        raise ContainerInvalid(
            f"the challenger must be model {version.run_id} of dataset version {version.dataset_id}. "
            f"Got model {card.model_version} of {card.dataset_id} instead."
        )


def _told(evaluation: Evaluation) -> str:
    candidate = {name: found.value for name, found in evaluation.candidate.overall.items()}
    champion = None if evaluation.champion is None else {n: f.value for n, f in evaluation.champion.overall.items()}
    return json.dumps({"candidate": candidate, "champion": champion})
