"""Calibrating on profiles of a reference, choosing a reference for the season, and checking a window's profile."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from perennial.drift.calibration import Calibration, calibrate_columns
from perennial.drift.judge import check_columns
from perennial.drift.places import place_in_time, reference_spans, season_of
from perennial.drift.policy import PAIR, WORDS, DriftPolicy
from perennial.drift.profiles import columns_of, common_resolution, resolution_of
from perennial.drift.report import DriftReport, WindowEvidence
from perennial.profile.model import Profile, merge

MOST_WINDOWS = 32
"""Windows of the history that are looked at: the cost of a check doesn't grow with it."""

__all__ = ["calibrate", "check", "choose_reference"]


def calibrate(
    batch_profiles: Sequence[Profile],
    *,
    policy: DriftPolicy,
    window_batches: int | None = None,
    seasons: Sequence[str] | None = None,
    times: Sequence[datetime] | None = None,
) -> Calibration:
    """
    Learn from a reference's batches how much batches differ among themselves.

    Parameters
    ----------
    batch_profiles
        One profile per batch, in the order of time.
    window_batches
        Batches that a window will merge; the policy's where None.
    seasons
        A label per batch; derived from `times` and the policy's season where None.
    times
        When each batch's data begin, aware. They give the cadence (hence the number of checks a year), seasons, and
        how far windows are from the reference. Without them a window counts as far away: safe, but where
        neighbouring batches resemble each other a window next to the reference is then judged with less power.

    Returns
    -------
    A calibration; with fewer batches than the policy asks for it says so (`sufficient`, `reason`), and checks fall
    back on fixed thresholds.
    """
    for name, given in (("seasons", seasons), ("times", times)):
        if given is not None and len(given) != len(batch_profiles):
            raise ValueError(f"{name} must be one for each of {len(batch_profiles)} batches. Got {len(given)} instead")
    resolution = common_resolution(batch_profiles)
    out = _left_out(policy.weights)
    spans, every = reference_spans([p.rows for p in batch_profiles], seasons, times, policy.season)
    return calibrate_columns(
        [columns_of(profile, resolution, out) for profile in batch_profiles],
        spans,
        policy=policy,
        cadence_seconds=every,
        origin=times[0] if times else None,
        resolution=resolution,
        window_batches=window_batches or policy.window_batches,
    )


def check(
    reference: Profile,
    window: Profile,
    *,
    calibration: Calibration | None,
    policy: DriftPolicy,
    weights: Mapping[str, float] | None = None,
    history: Sequence[WindowEvidence | DriftReport] = (),
    now: datetime | None = None,
    season: str | None = None,
    position: float | None = None,
) -> DriftReport:
    """
    Whether `window` drifted away from `reference`.

    Parameters
    ----------
    reference, window
        Merged profiles of the reference's batches and of the window's.
    calibration
        Of the reference's batches; None: fixed thresholds, and the report says so.
    weights
        Share of the false-alarm budget by column (the champion's importances); 0 leaves a column out. The policy's
        where None.
    history
        Reports (or their evidence) of the windows since the reference, oldest first.
    now
        When the window's last batch begins, aware, in the data's own time: `since`, season and distance follow from it.
    season, position
        The window's season label and place in batches after the first of the reference, where `now` doesn't tell.
    """
    columns = common_resolution([reference, window])
    readable = resolution_of(window, calibration.resolution) if calibration is not None else columns
    weights = policy.weights if weights is None else weights
    weights = _weights(weights, reference)
    out = _left_out(weights)
    batches = calibration.window_batches if calibration is not None else policy.window_batches
    return check_columns(
        columns_of(reference, columns, out),
        columns_of(window, columns, out),
        rows=window.rows,
        calibration=calibration,
        policy=policy,
        weights=weights,
        history=[item.evidence if isinstance(item, DriftReport) else item for item in history[-MOST_WINDOWS:]],
        now=now,
        positions=_positions(calibration, now, position, batches),
        seasons=_seasons(calibration, policy, now, season, batches),
        scored=columns_of(window, readable, out) if readable != columns else None,
    )


def choose_reference(
    batch_profiles: Sequence[Profile],
    seasons: Sequence[str],
    season: str,
    *,
    policy: DriftPolicy,
    least_batches: int = 4,
) -> tuple[Profile, str]:
    """
    The reference for a window of `season`: batches of the same season where there are enough, else all.

    Returns
    -------
    The merged profile, and a sentence that says which batches it holds.
    """
    same = [profile for profile, label in zip(batch_profiles, seasons, strict=True) if label == season]
    rows = sum(profile.rows for profile in same)
    if policy.season != "none" and len(same) >= least_batches and rows >= policy.min_rows:
        return merge(same), f"compared with the {len(same)} reference batches of the same {policy.season} ({season})"
    return merge(batch_profiles), f"compared with all {len(batch_profiles)} reference batches"


def _weights(weights: Mapping[str, float], reference: Profile) -> dict[str, float]:
    """Weights of words and pairs too: those of the text, and of the lesser of both columns, unless they are given."""
    pairs = {PAIR.join(pair): min(weights.get(name, 1.0) for name in pair) for pair in reference.pairs}
    return {name + WORDS: weight for name, weight in weights.items()} | pairs | dict(weights)


def _left_out(weights: Mapping[str, float]) -> frozenset[str]:
    names = {name for name, weight in weights.items() if weight <= 0}
    return frozenset(names | {name + WORDS for name in names})


def _positions(
    calibration: Calibration | None, now: datetime | None, position: float | None, batches: int
) -> tuple[float, ...] | None:
    if position is None and calibration is not None and now is not None:
        if calibration.origin is None or calibration.cadence_seconds is None:
            return None
        position = place_in_time(now, calibration.origin, calibration.cadence_seconds)
    if position is None:
        return None
    return tuple(position - back for back in reversed(range(batches)))


def _seasons(
    calibration: Calibration | None, policy: DriftPolicy, now: datetime | None, season: str | None, batches: int
) -> tuple[str, ...]:
    if season is not None:
        return (season,) * batches
    every = calibration.cadence_seconds if calibration is not None else None
    if now is None or policy.season == "none":
        return ("",) * batches
    return tuple(
        season_of(now - timedelta(seconds=(every or 0) * back), policy.season) for back in reversed(range(batches))
    )
