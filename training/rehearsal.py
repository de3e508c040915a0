"""
A learning run in a folder: SageMaker's layout, the same train and evaluate, no AWS.

For tests, for figures and for whoever wants to look at what a job reads and writes:

    FOLDER/ml/input/data/{dataset,version}   what the training job's channels hold
    FOLDER/ml/model, FOLDER/model.tar.gz     what it leaves
    FOLDER/processing/input/..., output/     the evaluation's
"""

from __future__ import annotations

import gzip
import json
import shutil
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pandas as pd

from perennial.dataset import BatchEntry, DatasetVersion, LabelsEntry
from perennial.evaluation import Evaluation
from perennial.keys import content_digest, curated_key, curated_labels_key
from perennial.project import Loop
from training.container import BUNDLE_DIR, ProcessingContainer, TrainingContainer
from training.evaluation import evaluate
from training.fitting import train

__all__ = ["CuratedBatch", "CuratedLabels", "Rehearsal", "pack_model", "rehearse"]


@dataclass(frozen=True, slots=True)
class CuratedBatch:
    """An accepted batch: its rows, and the bytes it landed as, which name it."""

    rows: pd.DataFrame
    landed: bytes
    event_time: str

    @property
    def entry(self) -> BatchEntry:
        """What the catalog would know of it."""
        moments = pd.to_datetime(self.rows[self.event_time], utc=True)
        batch_id = content_digest(self.landed)[:40]
        return BatchEntry(
            batch_id=batch_id,
            curated_key=curated_key(batch_id),
            rows=len(self.rows),
            first_event_at=moments.min().to_pydatetime(),
            last_event_at=moments.max().to_pydatetime(),
        )


@dataclass(frozen=True, slots=True)
class CuratedLabels:
    """An accepted label file."""

    rows: pd.DataFrame
    landed: bytes
    as_of: datetime | None = None

    @property
    def entry(self) -> LabelsEntry:
        """What the catalog would know of it."""
        labels_id = content_digest(self.landed)[:40]
        return LabelsEntry(
            labels_id=labels_id, curated_key=curated_labels_key(labels_id), rows=len(self.rows), as_of=self.as_of
        )


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """One run's folders, as both jobs see them."""

    folder: Path

    @property
    def archive(self) -> Path:
        """The model.tar.gz."""
        return self.folder / "model.tar.gz"

    @property
    def processing(self) -> Path:
        """The processing job's base folder."""
        return self.folder / "processing"

    @property
    def model_dir(self) -> Path:
        """The training job's SM_MODEL_DIR."""
        return self.folder / "ml" / "model"

    @property
    def environment(self) -> dict[str, str]:
        """The training job's SM_* variables."""
        data = self.folder / "ml" / "input" / "data"
        return {
            "SM_CHANNEL_DATASET": str(data / "dataset"),
            "SM_CHANNEL_VERSION": str(data / "version"),
            "SM_MODEL_DIR": str(self.model_dir),
            "SM_OUTPUT_DIR": str(self.folder / "ml" / "output"),
            "TRAINING_JOB_NAME": "rehearsal",
        }

    def lay_out(
        self,
        version: DatasetVersion,
        loop: Loop,
        batches: Iterable[CuratedBatch],
        labels: Iterable[CuratedLabels],
    ) -> None:
        """Write the channels of both jobs, with just the files that the version lists."""
        listed = {entry.curated_key for entry in (*version.batches, *version.labels)}
        for base in (self.folder / "ml" / "input" / "data", self.processing / "input"):
            (base / "version").mkdir(parents=True, exist_ok=True)
            (base / "version" / "version.json").write_text(version.model_dump_json(), encoding="utf-8")
            (base / "version" / "loop.json").write_text(loop.to_json(), encoding="utf-8")
            for curated in (*batches, *labels):
                if curated.entry.curated_key in listed:
                    target = base / "dataset" / curated.entry.curated_key
                    target.parent.mkdir(parents=True, exist_ok=True)
                    curated.rows.to_parquet(target, index=False)

    def hand_over(self, champion: Path | None) -> None:
        """Pack the trained model and put it, and the champion, into the processing job's inputs."""
        pack_model(self.model_dir, self.archive)
        inputs = self.processing / "input"
        for name in ("challenger", "champion"):
            (inputs / name).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.archive, inputs / "challenger" / "model.tar.gz")
        if champion is None:
            (inputs / "champion" / "no-champion.txt").write_text("There is no champion yet.\n", encoding="utf-8")
        else:
            shutil.copyfile(champion, inputs / "champion" / "model.tar.gz")


def rehearse(
    rehearsal: Rehearsal,
    *,
    champion: Path | None,
    hyperparameters: Mapping[str, str] | None = None,
    bundle_dir: Path = BUNDLE_DIR,
) -> Evaluation:
    """Train and evaluate what was laid out, in this process."""
    environment = {**rehearsal.environment, "SM_HPS": json.dumps(dict(hyperparameters or {}))}
    train(TrainingContainer.from_environment(environment), bundle_dir)
    rehearsal.hand_over(champion)
    return evaluate(ProcessingContainer.at(rehearsal.processing))


def pack_model(model_dir: Path, archive: Path) -> Path:
    """A model.tar.gz of a model's folder, as SageMaker makes it, with times left out so that equal models are equal."""
    with (
        archive.open("wb") as raw,
        gzip.GzipFile("", "wb", compresslevel=1, fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        for path in sorted(model_dir.rglob("*")):
            if path.is_file():
                entry = tar.gettarinfo(path, path.relative_to(model_dir).as_posix())
                entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname = 0, 0, 0, "", ""
                with path.open("rb") as content:
                    tar.addfile(entry, content)
    return archive
