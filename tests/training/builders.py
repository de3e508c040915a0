"""Bike-share weeks as curated batches, frozen versions of them, and jobs as processes under script mode's contract."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import cache
from pathlib import Path

import pandas as pd

from infra import shipped
from loops.bikeshare import stream
from perennial.dataset import DatasetVersion, freeze
from perennial.project import Loop, load_loop
from training.rehearsal import CuratedBatch, CuratedLabels, Rehearsal

ROOT = Path(__file__).resolve().parent.parent.parent


@cache
def bikeshare() -> Loop:
    return load_loop(ROOT / "loops" / "bikeshare")


@cache
def make_batch(number: int, *, weathersit: str | None = None) -> CuratedBatch:
    landed = stream.week(number).batch_csv(weathersit=weathersit)
    return CuratedBatch(pd.read_csv(io.BytesIO(landed), dtype={"weathersit": str}), landed, "ts")


@cache
def make_labels(number: int, *, flipped: bool = False, delay: timedelta = timedelta(0)) -> CuratedLabels:
    landed = stream.week(number).labels_csv(flipped=flipped, delay=delay)
    return CuratedLabels(pd.read_csv(io.BytesIO(landed)), landed)


def make_version(
    batches: Iterable[CuratedBatch],
    labels: Iterable[CuratedLabels],
    *,
    run_id: str = "run",
    champion_version: str = "none",
    champion_batches: Iterable[str] = (),
) -> DatasetVersion:
    entries = [batch.entry for batch in batches]
    return freeze(
        entries,
        [each.entry for each in labels],
        bikeshare().training,
        bikeshare().labels,
        loop="bikeshare",
        run_id=run_id,
        as_of=max(entry.last_event_at for entry in entries) + stream.LABEL_LATENCY,
        champion_version=champion_version,
        champion_batches=set(champion_batches),
        loop_digest=bikeshare().digest,
    )


def make_rehearsal(folder: Path, first: int, last: int, *, run_id: str = "run") -> Rehearsal:
    """Weeks `first` up to, not including, `last`, frozen and laid out."""
    batches = [make_batch(number) for number in range(first, last)]
    labels = [make_labels(number) for number in range(first, last)]
    rehearsal = Rehearsal(folder)
    rehearsal.lay_out(make_version(batches, labels, run_id=run_id), bikeshare(), batches, labels)
    return rehearsal


def unpack_bundle(target: Path) -> Path:
    """The source bundle as SageMaker would unpack it, by the allow-lists that package it, without wheels."""
    for folder, without in (
        ("training", frozenset[str]()),
        ("perennial", shipped.NOT_IN_CONTAINERS),
        ("loops/bikeshare", frozenset({"data"})),
    ):
        for path in (ROOT / folder).rglob("*"):
            inside = path.relative_to(ROOT / folder).parts
            if path.suffix in shipped.SUFFIXES and "__pycache__" not in inside and Path(inside[0]).stem not in without:
                destination = target / path.relative_to(ROOT)
                destination.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, destination)
    for name in shipped.ENTRY_POINTS:
        shutil.copyfile(ROOT / "training" / name, target / name)
    return target


def run_job(*command: str, cwd: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """A container's process: nothing of this process's environment but a path and a place for temporary files."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env={
            "PATH": os.defpath,
            "TMPDIR": str(cwd),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PIP_NO_INDEX": "1",
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )
