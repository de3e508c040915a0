"""NannyML: univariate drift of every column over ten chunks, by its defaults or by KS and chi-square."""

import nannyml
import pandas as pd
from clock import SKIPPED, measure


def by_default(reference, current):
    """Jensen-Shannon distances of numbers and categories."""
    return _drifted(reference, current)


def by_ks(reference, current):
    """Kolmogorov-Smirnov for numbers, chi-square for categories."""
    return _drifted(reference, current, continuous_methods=["kolmogorov_smirnov"], categorical_methods=["chi2"])


def _drifted(reference, current, **methods):
    then, now = (pd.read_parquet(path) for path in (reference, current))
    columns = [c for c in then if c not in SKIPPED]
    calculator = nannyml.UnivariateDriftCalculator(column_names=columns, **methods)
    found = calculator.fit(then).calculate(now).filter(period="analysis").to_df()
    alerts = [c for c in found.columns if c[-1] == "alert" and bool(found[c].any())]
    return sorted({column for column, *_ in alerts})


measure({"drift": by_default, "ks": by_ks}, nannyml.__version__)
