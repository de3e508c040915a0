"""Loops that a test writes itself, cheap to learn, in a copy of the project that it may change."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from perennial.cli.prove.project import copy_project

__all__ = ["BATCHES", "Project", "SmallBatch", "batches"]

ROOT = Path(__file__).parents[2]
BATCHES, _ROWS = 8, 100

# A bake is 8 s where waits run 300 times faster: short, since nothing but requests lets a rollout go on.
_LOOP = """
[loop]
name = "{name}"
task = "binary"

[data]
format = "csv"
record_id = "id"
event_time = "at"
label = "y"

[data.columns]
id = {{ type = "text", drift = false }}
at = {{ type = "timestamp", drift = false }}
a = {{ type = "number", min = 0, max = 1 }}
b = {{ type = "number", min = 0, max = 1 }}
y = {{ type = "integer", allowed = [0, 1] }}

[labels]
latency = "1h"

[training.hyperparameters]
depth = 1

[triggers]
schedule = "never"
drift = false
performance = false
new_data = false
first_batches = {batches}
first_labelled = {labelled}

[rollout]
steps = [0.5, 1.0]
bake = "40m"
min_samples = {min_samples}
max_holds = {max_holds}

[rollout.fast]
max_latency_ratio = 1000
"""
_MODEL = """
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier


def build_estimator(hyperparameters):
    features = ColumnTransformer([("numbers", "passthrough", ["a", "b"])])
    return make_pipeline(features, DecisionTreeClassifier(max_depth=int(hyperparameters["depth"]), random_state=0))
"""


@dataclass(frozen=True)
class Project:
    """A copy of this project whose loops and functions are a test's own."""

    root: Path

    @classmethod
    def copy(cls, root: Path) -> Project:
        """The copy, without a loop."""
        copy_project(ROOT, root)
        return cls(root)

    def write_loop(self, name: str, *, min_samples: int = 20, max_holds: int = 100) -> None:
        """A loop whose first model, a stump, is right four times of five; `depth = 4` learns the rule."""
        folder = self.root / "loops" / name
        folder.mkdir(exist_ok=True)
        toml = _LOOP.format(
            name=name, batches=BATCHES, labelled=BATCHES * _ROWS, min_samples=min_samples, max_holds=max_holds
        )
        (folder / "loop.toml").write_text(toml)
        (folder / "model.py").write_text(_MODEL)

    def break_function(self, name: str) -> None:
        """From the next deployment on, the function fails whenever it is called."""
        path = self.root / "functions" / f"{name}.py"
        handler = "handler = _shell.lambda_handler(Settings, run)"
        text = path.read_text()
        assert handler in text
        broken = (
            "def _broken(event: Any, shell: Any) -> Any:\n    raise RuntimeError('code of a later deployment')\n\n\n"
        )
        path.write_text(text.replace(handler, broken + handler.replace("run)", "_broken)")))


@dataclass(frozen=True, slots=True)
class SmallBatch:
    """One file of rows and the file of their labels."""

    name: str
    rows: tuple[dict[str, str], ...]
    labels: tuple[int, ...]

    def batch_csv(self) -> bytes:
        """The rows as they land."""
        lines = ["id,at,a,b", *(",".join(row.values()) for row in self.rows)]
        return ("\n".join(lines) + "\n").encode()

    def labels_csv(self) -> bytes:
        """Their labels, known an hour later."""
        lines = ["id,y,labeled_at"]
        for row, label in zip(self.rows, self.labels, strict=True):
            known_at = datetime.fromisoformat(row["at"]) + timedelta(hours=1)
            lines.append(f"{row['id']},{label},{known_at.isoformat()}")
        return ("\n".join(lines) + "\n").encode()


def batches(seed: int) -> Iterator[SmallBatch]:
    """Days of rows whose label says whether `a` is large, and the reverse where `b` is; the same for the same seed."""
    dice = random.Random(seed)
    for day in range(BATCHES):
        start = datetime(2026, 1, 1 + day, tzinfo=UTC)
        rows, labels = [], []
        for number in range(_ROWS):
            a, b = dice.random(), dice.random()
            at = start + timedelta(minutes=10 * number)
            rows.append({"id": f"{seed}-{day}-{number}", "at": at.isoformat(), "a": f"{a:.6f}", "b": f"{b:.6f}"})
            labels.append(int((a > 0.5) != (b > 0.8)))
        yield SmallBatch(f"day-{day}", tuple(rows), tuple(labels))
