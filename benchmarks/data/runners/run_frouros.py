"""frouros: a two-sample Kolmogorov-Smirnov test per number, chi-square per category."""

import sys
from importlib.metadata import version

import pandas as pd
from clock import measure
from frouros.detectors.data_drift import ChiSquareTest, KSTest

SKIPPED = ("record_id", "event_at")


def job():
    """Fit each detector on the reference column, compare the current one."""
    reference, current = (pd.read_parquet(path) for path in sys.argv[1:3])
    drifted = []
    for name in reference.columns:
        if name in SKIPPED:
            continue
        numeric = pd.api.types.is_numeric_dtype(reference[name]) and reference[name].dtype != bool
        then, now = reference[name].dropna(), current[name].dropna()
        detector = KSTest() if numeric else ChiSquareTest()
        if not numeric:
            then, now = then.astype(str), now.astype(str)
        detector.fit(X=then.to_numpy())
        found, _ = detector.compare(X=now.to_numpy())
        if found.p_value < 0.05:
            drifted.append(name)
    return drifted


measure(job, version("frouros"))
