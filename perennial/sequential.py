"""
Error shares compared at every look, without inflating false alarms.

A canary is looked at again and again; a fixed-sample test would then cry wolf. A confidence sequence holds at all times
at once. Ours is the Beta-Bernoulli mixture: for a true share p, the mixture's likelihood ratio
`B(a + k, b + n - k) / (B(a, b) p^k (1 - p)^(n - k))` is a non-negative martingale, so by Ville's inequality it ever
exceeds 1/alpha with probability at most alpha.

Sources: H. Robbins (1970), Statistical methods related to the law of the iterated logarithm, Annals of Mathematical
Statistics 41; S. Howard, A. Ramdas, J. McAuliffe, J. Sekhon (2021), Time-uniform, nonparametric, nonasymptotic
confidence sequences, Annals of Statistics 49.
"""

from __future__ import annotations

import math

__all__ = ["certainly_above", "hardly_above", "share_bounds"]

_A, _B = 0.5, 0.5


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _log_ratio(successes: int, trials: int, share: float) -> float:
    """Log of the mixture's likelihood ratio against `share`."""
    failures = trials - successes
    if (share <= 0 and successes) or (share >= 1 and failures):
        return math.inf
    fixed = (successes * math.log(share) if successes else 0.0) + (failures * math.log1p(-share) if failures else 0.0)
    return _log_beta(_A + successes, _B + failures) - _log_beta(_A, _B) - fixed


def share_bounds(successes: int, trials: int, *, alpha: float) -> tuple[float, float]:
    """
    Bounds that contain the true share at all times at once with probability at least 1 - alpha.

    No trials say nothing: (0, 1).

    >>> [round(bound, 3) for bound in share_bounds(5, 100, alpha=0.05)]
    [0.007, 0.156]
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"successes must lie between 0 and trials. Got {successes} of {trials} instead.")
    if trials == 0:
        return 0.0, 1.0
    limit, best = math.log(1 / alpha), successes / trials
    return _crossing(successes, trials, best, 0.0, limit), _crossing(successes, trials, best, 1.0, limit)


def _crossing(successes: int, trials: int, inside: float, outside: float, limit: float) -> float:
    """The last share between `inside` and `outside` that the evidence doesn't refute, by bisection."""
    if _log_ratio(successes, trials, outside) < limit:
        return outside
    for _ in range(60):
        middle = (inside + outside) / 2
        if _log_ratio(successes, trials, middle) < limit:
            inside = middle
        else:
            outside = middle
    return outside


def certainly_above(challenger: tuple[int, int], champion: tuple[int, int], *, floor: float, confidence: float) -> bool:
    """
    Whether the challenger's error share is above both `floor` and the champion's, at every look with `confidence`.

    Parameters
    ----------
    challenger, champion
        (errors, requests) so far. Half of the permitted error goes to each bound.
    floor
        A share that is never held against the challenger, even when the champion has no errors at all.

    >>> certainly_above((30, 300), (1, 2700), floor=0.01, confidence=0.99)
    True
    >>> certainly_above((1, 20), (0, 2000), floor=0.01, confidence=0.99)
    False
    """
    alpha = (1 - confidence) / 2
    lowest, _ = share_bounds(*challenger, alpha=alpha)
    _, highest = share_bounds(*champion, alpha=alpha) if champion[1] else (0.0, 0.0)
    return lowest > max(floor, highest)


def hardly_above(challenger: tuple[int, int], champion: tuple[int, int]) -> bool:
    """
    Whether the challenger's error share is at most what chance makes of the champion's: two standard errors above it.

    Of two variants that the same callers' mistakes reach alike, one is above the other half of the time. The standard
    error is the pooled one of two shares, with half an error added to each side, so that it is never 0.

    Parameters
    ----------
    challenger, champion
        (errors, requests), at least one request each.

    >>> hardly_above((33, 100), (2700, 9000)), hardly_above((60, 100), (2700, 9000))
    (True, False)
    """
    (mine, asked), (theirs, heard) = challenger, champion
    pooled = (mine + theirs + 0.5) / (asked + heard + 1)
    error = math.sqrt(pooled * (1 - pooled) * (1 / asked + 1 / heard))
    return mine / asked - theirs / heard <= 2 * error
