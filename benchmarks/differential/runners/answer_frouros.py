"""frouros: each detector's statistic, p-value or distance of the column."""

from importlib.metadata import version

from answer import answer, is_number
from frouros.detectors.data_drift import EMD, JS, PSI, ChiSquareTest, KSTest


def distances(reference, current):
    """Statistics and p-values of tests, distances of the others, for the column `x`."""
    then, now = (frame["x"].dropna().to_numpy() for frame in (reference, current))
    detectors = (
        {"ks": KSTest, "emd": EMD, "psi": PSI, "js": JS} if is_number(reference["x"]) else {"chi2": ChiSquareTest}
    )
    said = {}
    for name, kind in detectors.items():
        detector = kind()
        detector.fit(X=then)
        found, _ = detector.compare(X=now)
        if hasattr(found, "distance"):
            said[name] = float(found.distance)
        else:
            said |= {name: float(found.statistic), f"{name} p": float(found.p_value)}
    return said


answer({"distances": distances}, version("frouros"))
