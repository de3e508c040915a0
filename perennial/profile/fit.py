"""Grids for a contract that has none, from a sample of its data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from perennial.contract import Contract, Grid
from perennial.profile.arrays import present_numbers

__all__ = ["fit_grid", "fit_grids"]

#: Interquartile range of a normal distribution, in standard deviations.
_NORMAL_RANGE = 1.349
_DIGITS = 3


def fit_grid(values: Any) -> Grid:
    """
    The grid of a numeric Arrow array: its median, and a robust standard deviation, both short numbers.

    >>> fit_grid(pa.array([10.0, 12.0, 14.0, 16.0, 1000.0]))
    Grid(center=14.0, scale=2.97)
    """
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    x = present_numbers(values.cast(pa.float64(), safe=False))
    x = x[np.isfinite(x)]
    if not len(x):
        return Grid()
    low, middle, high = (float(q) for q in np.quantile(x, [0.25, 0.5, 0.75]))
    scale = (high - low) / _NORMAL_RANGE or float(x.std()) or abs(middle) or 1.0
    scale = float(f"{scale:.{_DIGITS}g}")
    # The centre need be no finer than a thousandth of the scale.
    step = 10.0 ** (np.floor(np.log10(scale)) - _DIGITS)
    return Grid(center=float(f"{round(middle / step) * step:.15g}"), scale=scale)


def fit_grids(table: Any, contract: Contract) -> Contract:
    """The contract with a grid for every numeric column of the table that had none."""
    columns = dict(contract.columns)
    for name, column in contract.columns.items():
        if column.is_numeric and column.center is None and column.scale is None and name in table.column_names:
            grid = fit_grid(table.column(name))
            columns[name] = column.model_copy(update={"center": grid.center, "scale": grid.scale})
    return contract.model_copy(update={"columns": columns})
