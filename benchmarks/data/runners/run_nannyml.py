"""NannyML: univariate drift of every column, Kolmogorov-Smirnov for numbers and chi-square for categories."""

import sys

import nannyml
import pandas as pd
from clock import measure

SKIPPED = ("record_id", "event_at")


def job():
    """Fit on the reference, calculate on the current batch."""
    reference, current = (pd.read_parquet(path) for path in sys.argv[1:3])
    columns = [c for c in reference.columns if c not in SKIPPED]
    calculator = nannyml.UnivariateDriftCalculator(
        column_names=columns,
        continuous_methods=["kolmogorov_smirnov"],
        categorical_methods=["chi2"],
        chunk_number=10,
    )
    found = calculator.fit(reference).calculate(current).filter(period="analysis").to_df()
    return sorted({column for column, *_ in found.columns if column in columns and _any_alert(found[column])})


def _any_alert(found):
    return bool(found.xs("alert", axis=1, level=-1).any().any())


measure(job, nannyml.__version__)
