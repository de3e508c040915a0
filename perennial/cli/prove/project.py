"""A small loop in a copy of this project: cheap to learn, quick to deploy, and its own to change in mid-canary."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

__all__ = ["DAYS", "FIRST_SHARE", "LOOP", "STAGE", "Day", "Project", "copy_project", "days", "labels_csv"]

LOOP: Final = "proof"
STAGE: Final = "prove"
DAYS: Final = 8
FIRST_SHARE: Final = 0.1
# What a synthesis reads; what it only runs or caches is linked.
_COPIED = ("infra", "functions", "perennial", "training", "requirements")
_FILES = ("app.py", "cdk.json", "package.json", "package-lock.json", "pyproject.toml")
_LINKED = (".venv", "node_modules", ".build")
_ROWS = 100
_FIRST_DAY = datetime(2026, 1, 1, tzinfo=UTC)

# Nothing starts to learn but what the script asks for, and no step of a rollout ends before callers have asked: what
# holds it until then is the lack of requests.
_LOOP_TOML = """
[loop]
name = "{loop}"
description = "Shows on a real account that a deployment works there."
task = "binary"

[data]
format = "csv"
record_id = "id"
event_time = "at"
label = "busy"

[data.columns]
id = {{ type = "text", drift = false }}
at = {{ type = "timestamp", drift = false }}
load = {{ type = "number", min = 0, max = 1 }}
wind = {{ type = "number", min = 0, max = 1 }}
{column}busy = {{ type = "integer", allowed = [0, 1] }}

[labels]
latency = "1h"

[training]
mode = "window"
window = "{days}d"
max_runtime = "30m"

[training.hyperparameters]
depth = 1

[triggers]
schedule = "never"
drift = false
performance = false
new_data = false
first_batches = {days}
first_labelled = {labelled}

[rollout]
steps = [{share}, 1.0]
bake = "{bake_minutes}m"
min_samples = 20
max_holds = 100
instance_type = "{instance_type}"

[rollout.fast]
max_latency_ratio = 1000
"""
_MODEL = '''"""A tree: its depth is what a run may ask for."""

from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier


def build_estimator(hyperparameters):
    """A fresh tree on the two columns that every version of the contract has."""
    features = ColumnTransformer([("numbers", "passthrough", ["load", "wind"])])
    return make_pipeline(features, DecisionTreeClassifier(max_depth=int(hyperparameters["depth"]), random_state=0))
'''


def copy_project(source: Path, root: Path) -> None:
    """Put what a synthesis needs of the project at `source` into a new folder, without a loop."""
    root.mkdir(parents=True)
    for name in _COPIED:
        shutil.copytree(source / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in _FILES:
        shutil.copy2(source / name, root / name)
    for name in _LINKED:
        (root / name).symlink_to((source / name).resolve())
    (root / "loops").mkdir()


@dataclass(frozen=True)
class Project:
    """A copy of the project with the proof's loop in it, and nothing else."""

    root: Path

    @classmethod
    def copy(cls, source: Path, root: Path) -> Project:
        """The copy, without a loop."""
        copy_project(source, root)
        return cls(root)

    def write_loop(self, *, instance_type: str, needs_rain: bool = False, bake_minutes: int = 5) -> None:
        """
        Write the loop's files.

        Parameters
        ----------
        instance_type
            Of the endpoint.
        needs_rain
            The contract has a column that callers don't know of yet: a model that is learnt under it refuses them.
        """
        folder = self.root / "loops" / LOOP
        folder.mkdir(parents=True, exist_ok=True)
        column = 'rain = { type = "number", min = 0, max = 1 }\n' if needs_rain else ""
        toml = _LOOP_TOML.format(
            loop=LOOP, column=column, days=DAYS, labelled=DAYS * _ROWS, share=FIRST_SHARE,
            bake_minutes=bake_minutes, instance_type=instance_type,
        )  # fmt: skip
        (folder / "loop.toml").write_text(toml, encoding="utf-8")
        (folder / "model.py").write_text(_MODEL, encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Day:
    """One file of rows, and their labels."""

    name: str
    rows: tuple[dict[str, str], ...]
    labels: tuple[int, ...]

    def batch_csv(self) -> bytes:
        """The rows as they land."""
        return "\n".join([",".join(self.rows[0]), *(",".join(row.values()) for row in self.rows), ""]).encode()


def labels_csv(files: Sequence[Day]) -> bytes:
    """The labels of all their rows, each known an hour later."""
    lines = ["id,busy,labeled_at"]
    for day in files:
        for row, label in zip(day.rows, day.labels, strict=True):
            known_at = datetime.fromisoformat(row["at"]) + timedelta(hours=1)
            lines.append(f"{row['id']},{label},{known_at.isoformat()}")
    return "\n".join([*lines, ""]).encode()


def days(*, since: int, with_rain: bool = False) -> Iterator[Day]:
    """
    As many days of rows as a model is learnt from, the same for the same arguments.

    A row is busy where load is high, and the reverse where wind is too: a stump is right four times of five, a deeper
    tree nearly always.
    """
    for number in range(since, since + DAYS):
        dice = random.Random(number)
        rows, labels = [], []
        for place in range(_ROWS):
            load, wind = dice.random(), dice.random()
            at = _FIRST_DAY + timedelta(days=number, minutes=10 * place)
            row = {"id": f"{number}-{place}", "at": at.isoformat(), "load": f"{load:.6f}", "wind": f"{wind:.6f}"}
            rows.append(row | ({"rain": f"{dice.random():.6f}"} if with_rain else {}))
            labels.append(int((load > 0.5) != (wind > 0.8)))
        yield Day(f"day-{number}", tuple(rows), tuple(labels))
