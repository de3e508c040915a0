"""whylogs: a profile of each file, and the drift scores that compare them."""

from importlib.metadata import version

import pandas as pd
import whylogs
from clock import SKIPPED, measure
from whylogs.viz.drift.column_drift_algorithms import calculate_drift_scores


def drift(reference, current):
    """Columns that the scores call drifted."""
    then, now = (whylogs.log(pd.read_parquet(path).drop(columns=list(SKIPPED))).view() for path in (reference, current))
    scores = calculate_drift_scores(target_view=now, reference_view=then, with_thresholds=True)
    return sorted(name for name, score in scores.items() if score and score["drift_category"] == "DRIFT")


measure({"drift": drift}, version("whylogs"))
