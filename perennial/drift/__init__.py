"""Drift: whether a window differs from the reference by more than batches of the reference differ among themselves."""

from perennial.drift.calibration import Calibration, calibrate_columns
from perennial.drift.check import check_columns
from perennial.drift.policy import DriftPolicy
from perennial.drift.report import ColumnDrift, DriftReport, WindowEvidence

__all__ = [
    "Calibration",
    "ColumnDrift",
    "DriftPolicy",
    "DriftReport",
    "WindowEvidence",
    "calibrate_columns",
    "check_columns",
]
