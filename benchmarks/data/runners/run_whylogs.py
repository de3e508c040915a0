"""whylogs: a profile of each file, and the drift scores that compare them."""

import sys
from importlib.metadata import version

import pandas as pd
import whylogs
from clock import measure
from whylogs.viz.drift.column_drift_algorithms import calculate_drift_scores

SKIPPED = ["record_id", "event_at"]


def job():
    """Log both frames, compare the views."""
    views = [whylogs.log(pd.read_parquet(path).drop(columns=SKIPPED)).view() for path in sys.argv[1:3]]
    scores = calculate_drift_scores(target_view=views[1], reference_view=views[0], with_thresholds=True)
    return sorted(name for name, score in scores.items() if score and score["drift_category"] == "DRIFT")


measure(job, version("whylogs"))
