"""evidently: the data drift preset with its defaults."""

import sys

import evidently
import pandas as pd
from clock import measure
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset

SKIPPED = ["record_id", "event_at"]


def job():
    """One report over both files."""
    frames = [pd.read_parquet(path).drop(columns=SKIPPED) for path in sys.argv[1:3]]
    categories = [
        c for c in frames[0].columns if not pd.api.types.is_numeric_dtype(frames[0][c]) or frames[0][c].dtype == bool
    ]
    numbers = [c for c in frames[0].columns if c not in categories]
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=categories)
    reference, current = (Dataset.from_pandas(f, data_definition=definition) for f in frames)
    found = Report([DataDriftPreset()]).run(current, reference).dict()
    return len(found["metrics"])


measure(job, evidently.__version__)
