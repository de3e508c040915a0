"""NannyML: the univariate calculator's values with the whole file as one chunk, and its alerts batch by batch."""

import warnings

import nannyml
from answer import answer, is_number

warnings.filterwarnings("ignore")
METHODS = {
    "continuous_methods": ["kolmogorov_smirnov", "jensen_shannon", "wasserstein"],
    "categorical_methods": ["chi2", "jensen_shannon", "l_infinity"],
}


def distances(reference, current):
    """The value of each method for the column `x`."""
    kind = "continuous_methods" if is_number(reference["x"]) else "categorical_methods"
    calculator = nannyml.UnivariateDriftCalculator(column_names=["x"], chunk_number=1, **METHODS)
    found = calculator.fit(reference).calculate(current).filter(period="analysis").to_df()
    return {method: float(found["x", method, "value"].iloc[0]) for method in METHODS[kind]}


def decisions(reference, current):
    """Columns with an alert, one list for each window of `current`; defaults, a batch a chunk."""
    columns = [c for c in reference if c != "batch"]
    rows = len(reference) // reference["batch"].nunique()
    calculator = nannyml.UnivariateDriftCalculator(column_names=columns, chunk_size=rows)
    found = calculator.fit(reference).calculate(current).filter(period="analysis").to_df()
    return [sorted(c for c in columns if row[c, "jensen_shannon", "alert"]) for _, row in found.iterrows()]


answer({"distances": distances, "decisions": decisions}, nannyml.__version__)
