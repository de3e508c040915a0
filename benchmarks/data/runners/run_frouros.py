"""frouros: a two-sample Kolmogorov-Smirnov test for each number, chi-square for each category."""

from importlib.metadata import version

import pandas as pd
from clock import measure, numbers_and_categories
from frouros.detectors.data_drift import ChiSquareTest, KSTest


def drift(reference, current):
    """Columns whose p-value is below 0.05: fit each detector on the reference column, compare the current one."""
    then, now = (pd.read_parquet(path) for path in (reference, current))
    numbers, categories = numbers_and_categories(then)
    drifted = []
    for names, kind in ((numbers, KSTest), (categories, ChiSquareTest)):
        for name in names:
            detector = kind()
            detector.fit(X=then[name].dropna().to_numpy())
            found, _ = detector.compare(X=now[name].dropna().to_numpy())
            if found.p_value < 0.05:
                drifted.append(name)
    return sorted(drifted)


measure({"drift": drift}, version("frouros"))
