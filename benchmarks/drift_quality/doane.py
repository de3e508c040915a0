"""The bins in which NannyML compares numbers: as many of equal width as Doane's rule says of the reference."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

__all__ = ["group_counts"]


def group_counts(reference: Floats, counts: Floats, values: Floats, rows: Floats) -> Floats:
    """
    Rows in each of the reference's bins, and last those outside of them.

    Parameters
    ----------
    reference, counts
        The reference's distinct values in ascending order, and the rows of each, all above 0.
    values, rows
        The values to be grouped, and their rows: the last axis runs over values.

    >>> group_counts(np.arange(4.0), np.full(4, 25.0), np.array([0.0, 3.0, 9.0]), np.array([5.0, 6.0, 7.0]))
    array([5., 0., 0., 0., 0., 0., 0., 6., 7.])
    """
    low, high = reference[0], reference[-1]
    if low == high:  # numpy gives a constant a bin of width 1
        low, high = low - 0.5, high + 0.5
    groups = _how_many(reference, counts)
    edges = np.linspace(low, high, groups + 1)
    place = np.where(values == high, groups - 1, np.searchsorted(edges, values, side="right") - 1)
    place = np.where((values < low) | (values > high), groups, place)
    return np.asarray(rows @ np.eye(groups + 1)[place])


def _how_many(values: Floats, counts: Floats) -> int:
    """Doane's number of bins, as numpy's `histogram_bin_edges` computes it."""
    total = counts.sum()
    mean = counts @ values / total
    deviation = np.sqrt(counts @ (values - mean) ** 2 / total)
    if not deviation or total < 3:
        return 1
    skewness = counts @ ((values - mean) / deviation) ** 3 / total
    usual = np.sqrt(6 * (total - 2) / ((total + 1) * (total + 3)))
    return int(np.ceil(1 + np.log2(total) + np.log2(1 + abs(skewness) / usual)))
