"""evidently: the data drift preset with its defaults, one report over both files."""

import evidently
import pandas as pd
from clock import measure, numbers_and_categories
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset


def drift(reference, current):
    """Columns that the report says drifted."""
    frames = [pd.read_parquet(path) for path in (reference, current)]
    numbers, categories = numbers_and_categories(frames[0])
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=categories)
    then, now = (Dataset.from_pandas(f[numbers + categories], data_definition=definition) for f in frames)
    found = Report([DataDriftPreset()]).run(now, then).dict()
    return sorted(m["config"]["column"] for m in found["metrics"] if "column" in m["config"] and _drifted(m))


def _drifted(metric):
    value, limit = float(metric["value"]), metric["config"]["threshold"]
    return value < limit if "p_value" in metric["config"]["method"] else value >= limit


measure({"drift": drift}, evidently.__version__)
