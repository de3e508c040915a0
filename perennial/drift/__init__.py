"""
Drift: whether a window differs from the reference by more than batches of the reference differ among themselves.

Names are loaded when first used: who only reads a policy needs neither numpy nor pyarrow.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perennial.drift.calibration import Calibration
    from perennial.drift.classifier import look_jointly
    from perennial.drift.policy import DriftPolicy, policy_for, weights_of
    from perennial.drift.report import ColumnDrift, DriftReport, WindowEvidence
    from perennial.drift.shares import compare_shares
    from perennial.drift.watch import calibrate, check, choose_reference

__all__ = [
    "Calibration",
    "ColumnDrift",
    "DriftPolicy",
    "DriftReport",
    "WindowEvidence",
    "calibrate",
    "check",
    "choose_reference",
    "compare_shares",
    "look_jointly",
    "policy_for",
    "weights_of",
]

_HOMES = {
    "Calibration": "calibration",
    "ColumnDrift": "report",
    "DriftPolicy": "policy",
    "DriftReport": "report",
    "WindowEvidence": "report",
    "calibrate": "watch",
    "check": "watch",
    "choose_reference": "watch",
    "compare_shares": "shares",
    "look_jointly": "classifier",
    "policy_for": "policy",
    "weights_of": "policy",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
