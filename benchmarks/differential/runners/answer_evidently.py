"""evidently: one report over the column for each method, and the preset's decisions."""

import warnings

import evidently
from answer import answer, is_number
from evidently import DataDefinition, Dataset, Report
from evidently.metrics import ValueDrift
from evidently.presets import DataDriftPreset

warnings.filterwarnings("ignore")
METHODS = {True: ("ks", "wasserstein", "psi", "jensenshannon"), False: ("chisquare", "psi", "jensenshannon")}


def distances(reference, current):
    """The value of each method for the column `x`."""
    methods = METHODS[is_number(reference["x"])]
    then, now = (_dataset(frame) for frame in (reference, current))
    metrics = Report([ValueDrift(column="x", method=method) for method in methods]).run(now, then).dict()["metrics"]
    return {method: float(metric["value"]) for method, metric in zip(methods, metrics, strict=True)}


def decisions(reference, current):
    """Columns that drifted, one list for each window of `current`; the preset's defaults."""
    found = []
    for _, window in current.groupby("batch"):
        then, now = (_dataset(frame.drop(columns="batch")) for frame in (reference, window))
        metrics = Report([DataDriftPreset()]).run(now, then).dict()["metrics"]
        found.append(sorted(m["config"]["column"] for m in metrics if "column" in m["config"] and _drifted(m)))
    return found


def _dataset(frame):
    numbers = [c for c in frame if is_number(frame[c])]
    categories = [c for c in frame if c not in numbers]
    return Dataset.from_pandas(
        frame, data_definition=DataDefinition(numerical_columns=numbers, categorical_columns=categories)
    )


def _drifted(metric):
    value, limit = float(metric["value"]), metric["config"]["threshold"]
    return value < limit if "p_value" in metric["config"]["method"] else value >= limit


answer({"distances": distances, "decisions": decisions}, evidently.__version__)
