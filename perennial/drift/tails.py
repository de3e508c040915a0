"""
Tail probabilities and gamma-function relatives, with numpy and the standard library alone.

The Lambda that checks drift carries no scipy (60 MB); the unit tests compare each function here with scipy's.
"""

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

_TINY = 1e-300
_LARGEST_DF = 1e4
"""Beyond this many degrees of freedom a variance counts as known."""


def kolmogorov_sf(x: float) -> float:
    """
    Chance that the Kolmogorov statistic exceeds `x` (Marsaglia, Tsang and Wang 2003, limiting form).

    >>> round(kolmogorov_sf(1.3581), 4)
    0.05
    """
    if x <= 0:
        return 1.0
    if x < 1.18:
        y = math.exp(-(math.pi**2) / (8 * x * x))
        return 1 - math.sqrt(2 * math.pi) / x * (y + y**9 + y**25 + y**49)
    y = math.exp(-2 * x * x)
    return max(0.0, 2 * (y - y**4 + y**9))


def chi2_sf(x: float, df: float) -> float:
    """
    Chance that a chi-square variable with `df` degrees of freedom exceeds `x`.

    The regularised upper incomplete gamma function: a series below its mean, Lentz's continued fraction above
    (Numerical Recipes 6.2).

    >>> round(chi2_sf(3.8415, 1), 4)
    0.05
    """
    a, half = df / 2, x / 2
    if half <= 0:
        return 1.0
    scale = a * math.log(half) - half - math.lgamma(a)
    if half < a + 1:
        return max(0.0, 1 - _gamma_series(a, half) * math.exp(scale))
    return math.exp(scale) * _gamma_fraction(a, half)


def _gamma_series(a: float, x: float) -> float:
    term = total = 1 / a
    while abs(term) > abs(total) * 1e-16:
        a += 1
        term *= x / a
        total += term
    return total


def _gamma_fraction(a: float, x: float) -> float:
    b, c = x + 1 - a, 1e300
    d = 1 / b
    value = d
    for step in range(1, 10_000):
        numerator = -step * (step - a)
        b += 2
        d = 1 / _away_from_zero(numerator * d + b)
        c = _away_from_zero(b + numerator / c)
        value *= d * c
        if abs(d * c - 1) < 1e-15:
            break
    return value


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def f_sf(statistic: ArrayLike, df1: ArrayLike, df2: ArrayLike) -> Floats:
    """
    Chance that an F variable exceeds `statistic`, element by element; `df2` may be infinite.

    >>> f_sf([4.0, 9.0], 1, [10, np.inf]).round(4)
    array([0.0734, 0.0027])
    """
    f, d1, d2 = np.broadcast_arrays(
        np.maximum(np.asarray(statistic, float), 0.0),
        np.asarray(df1, float),
        np.minimum(np.asarray(df2, float), _LARGEST_DF),
    )
    return _incomplete_beta(d2 / 2, d1 / 2, d2 / (d2 + d1 * f))


def f_log_density(statistic: Floats, df1: float, df2: float) -> Floats:
    """Log density of the F distribution at positive values; `df2` may be infinite."""
    d2 = min(df2, _LARGEST_DF)
    x = np.maximum(statistic, 1e-12)
    front = math.lgamma((df1 + d2) / 2) - math.lgamma(df1 / 2) - math.lgamma(d2 / 2) + df1 / 2 * math.log(df1 / d2)
    return np.asarray(front + (df1 / 2 - 1) * np.log(x) - (df1 + d2) / 2 * np.log1p(df1 * x / d2))


def t_sf(statistic: float, df: float) -> float:
    """
    Chance that a Student t variable with `df` degrees of freedom exceeds `statistic`.

    >>> round(t_sf(2.0930, 19), 4)
    0.025
    """
    half = float(f_sf(statistic**2, 1, df)) / 2
    return half if statistic >= 0 else 1 - half


def _incomplete_beta(a: Floats, b: Floats, x: Floats) -> Floats:
    """Regularised incomplete beta function I_x(a, b), vectorised (Numerical Recipes 6.4)."""
    shape = x.shape
    a, b, x = (np.array(part, float).ravel() for part in (a, b, x))
    swapped = x >= (a + 1) / (a + b + 2)
    p, q, y = np.where(swapped, b, a), np.where(swapped, a, b), np.where(swapped, 1 - x, x)
    inside = (y > 0) & (y < 1)
    safe = np.where(inside, y, 0.5)
    front = np.exp(_log_beta_front(p, q, safe)) / p
    value = np.where(inside, front * _beta_fraction(p, q, safe), (y >= 1).astype(float))
    return np.asarray(np.clip(np.where(swapped, 1 - value, value), 0.0, 1.0).reshape(shape))


def _log_beta_front(p: Floats, q: Floats, y: Floats) -> Floats:
    lgamma = np.vectorize(math.lgamma, otypes=[float])
    return np.asarray(lgamma(p + q) - lgamma(p) - lgamma(q) + p * np.log(y) + q * np.log1p(-y))


def _beta_fraction(p: Floats, q: Floats, y: Floats) -> Floats:
    c = np.ones_like(y)
    d = 1 / _nonzero(1 - (p + q) * y / (p + 1))
    value = d.copy()
    for m in range(1, 400):
        step = m * (q - m) * y / ((p + 2 * m - 1) * (p + 2 * m))
        d, c = 1 / _nonzero(1 + step * d), _nonzero(1 + step / c)
        value *= d * c
        step = -(p + m) * (p + q + m) * y / ((p + 2 * m) * (p + 2 * m + 1))
        d, c = 1 / _nonzero(1 + step * d), _nonzero(1 + step / c)
        change = d * c
        value *= change
        if np.max(np.abs(change - 1), initial=0.0) < 1e-12:
            break
    return value


def _nonzero(value: Floats) -> Floats:
    return np.where(np.abs(value) < _TINY, _TINY, value)


def normal_quantile(probabilities: ArrayLike) -> Floats:
    """
    Standard normal quantiles of probabilities strictly between 0 and 1.

    >>> normal_quantile([0.5, 0.975]).round(3)
    array([0.  , 1.96])
    """
    inverse = NormalDist().inv_cdf
    return np.array([inverse(p) for p in np.atleast_1d(np.asarray(probabilities, float))])


def digamma(x: float) -> float:
    """
    Derivative of log gamma, for positive `x` (recurrence up to 10, then the asymptotic series).

    >>> round(digamma(1.0), 6)
    -0.577216
    """
    shift = 0.0
    while x < 10:
        shift -= 1 / x
        x += 1
    inverse = 1 / (x * x)
    series = inverse * (1 / 12 - inverse * (1 / 120 - inverse * (1 / 252 - inverse * (1 / 240 - inverse / 132))))
    return shift + math.log(x) - 0.5 / x - series


def trigamma(x: float) -> float:
    """
    Second derivative of log gamma, for positive `x`.

    >>> round(trigamma(1.0), 6)
    1.644934
    """
    shift = 0.0
    while x < 10:
        shift += 1 / (x * x)
        x += 1
    inverse = 1 / (x * x)
    series = inverse * (1 / 6 - inverse * (1 / 30 - inverse * (1 / 42 - inverse * (1 / 30 - inverse * 5 / 66))))
    return shift + 1 / x + inverse / 2 + series / x


def inverse_trigamma(value: float) -> float:
    """
    The x whose trigamma is `value` > 0, by bisection on a log scale.

    >>> round(inverse_trigamma(trigamma(7.5)), 6)
    7.5
    """
    low, high = math.log(1e-6), math.log(1e9)
    for _ in range(90):
        middle = (low + high) / 2
        low, high = (middle, high) if trigamma(math.exp(middle)) > value else (low, middle)
    return math.exp((low + high) / 2)
