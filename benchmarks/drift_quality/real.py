"""
Detection delay and false alarms on streams whose drift points are known.

A data set is a folder with data.parquet (a `batch` column numbers the landed files) and meta.json (label, columns to
drop, drift points). None is shipped here: name the folder that holds them. Each stretch without drift is split into
a reference and held-out windows before the next drift point, where any alarm is false; the delay is counted from the
drift point to the first alarm.
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.drift_quality.doane import group_counts
from perennial.contract import Contract
from perennial.drift import DriftPolicy, DriftReport, calibrate, check, policy_for
from perennial.drift.calibration import merge_columns
from perennial.drift.distances import chi_square as chi_square_test
from perennial.drift.distances import jensen_shannon, kolmogorov_p_value, kolmogorov_smirnov, wasserstein
from perennial.drift.profiles import columns_of, common_resolution
from perennial.drift.scores import ColumnCounts, NumberCounts, build_scorer
from perennial.profile import Profile, merge, profile_table

DEFAULT_POLICY = DriftPolicy()
NATS = math.sqrt(math.log(2))
"""A Jensen-Shannon distance in nats, as Evidently computes it, over one in bits."""


@dataclass(frozen=True)
class Episode:
    """A reference's batches, the batches where nothing drifts, and where drift begins (None: never)."""

    data: str
    reference: range
    quiet: range
    drift: int | None
    last: int
    policy: DriftPolicy = DEFAULT_POLICY


EPISODES = (
    Episode("fdh_fraud", range(30, 60), range(60, 183), None, 183, DriftPolicy(season="weekday")),
    Episode("fdh_attack_shift", range(30, 60), range(60, 80), 80, 130, DriftPolicy(season="weekday")),
    Episode("fdh_attack_shift", range(82, 112), range(112, 130), 130, 183, DriftPolicy(season="weekday")),
    Episode("elec2", range(28), range(28, 36), 36, 95),
    Episode("support_intents", range(6), range(6, 8), 8, 14),
    Episode("support_intents", range(6), range(6, 8), 8, 14, DriftPolicy(min_reference_batches=6)),
    Episode("support_intents", range(8, 13), range(13, 14), 14, 20, DriftPolicy(min_reference_batches=5)),
    Episode("support_intents", range(14, 19), range(19, 20), 20, 24, DriftPolicy(min_reference_batches=5)),
)


def compare_real(folder: Path, *, show: bool) -> dict[str, Any]:
    """A table of delays and false alarms, ours beside others' rules on the same profiles."""
    results = []
    loaded: dict[str, tuple[list[Profile], list[datetime], Contract]] = {}
    for episode in EPISODES:
        if not (folder / episode.data).is_dir():
            continue
        if episode.data not in loaded:
            loaded[episode.data] = _load(folder / episode.data)
        result = _run(episode, *loaded[episode.data])
        results.append(result)
        if show:
            _show(result)
    return {"episodes": results}


def _load(folder: Path) -> tuple[list[Profile], list[datetime], Contract]:
    table = pq.read_table(folder / "data.parquet")
    meta = json.loads((folder / "meta.json").read_text())
    # Labels come later than the rows: what is checked when a batch lands can't rest on them.
    contract = _contract(table, set(meta["drop"]) | {"batch", "ts", meta["label"]})
    profiles, times = [], []
    for batch in range(int(pc.max(table["batch"]).as_py()) + 1):
        rows = table.filter(pc.equal(table["batch"], batch))
        times.append(pc.min(rows["ts"]).as_py().replace(tzinfo=UTC))
        profiles.append(profile_table(rows, contract))
    return profiles, times, contract


def _contract(table: pa.Table, out: Iterable[str]) -> Contract:
    columns: dict[str, dict[str, str]] = {}
    for field in table.schema:
        if field.name in out:
            continue
        numeric = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        columns[field.name] = {"type": "number" if numeric else "text" if field.name == "text" else "category"}
    return Contract(format="parquet", record_id="record", event_time="ts", columns=columns)


def _run(episode: Episode, profiles: list[Profile], times: list[datetime], contract: Contract) -> dict[str, Any]:
    reference = [profiles[place] for place in episode.reference]
    alarms = {"ours": _ours(episode, profiles, times, contract)}
    for name, rule in {
        "KS/chi2 p < .05": _p_value,
        "Evidently's default": _evidently,
        "NannyML's default": _nannyml,
    }.items():
        until = range(episode.quiet.start, episode.last)
        alarms[name] = {place: rule(reference, profiles[place]) for place in until}
    return {
        "data": episode.data,
        "reference": f"{episode.reference.start}-{episode.reference.stop - 1}",
        "drift": episode.drift,
        "calibrated": len(reference) >= episode.policy.min_reference_batches,
        "rules": {name: _score(found, episode) for name, found in alarms.items()},
    }


def _score(found: dict[int, list[str]], episode: Episode) -> dict[str, Any]:
    alarmed = [bool(found.get(place)) for place in episode.quiet]
    begun = sum(now and not before for before, now in zip([False, *alarmed], alarmed, strict=False))
    delay = None
    columns: list[str] = []
    if episode.drift is not None:
        for place in range(episode.drift, episode.last):
            if found.get(place):
                delay, columns = place - episode.drift, found[place][:4]
                break
    return {"false": sum(alarmed), "incidents": begun, "quiet": len(episode.quiet), "delay": delay, "columns": columns}


def _ours(episode: Episode, profiles: list[Profile], times: list[datetime], contract: Contract) -> dict[int, list[str]]:
    policy = policy_for(contract, episode.policy)
    batches = [profiles[place] for place in episode.reference]
    calibration = calibrate(batches, policy=policy, times=[times[place] for place in episode.reference])
    reference = merge(batches)
    history: list[DriftReport] = []
    found = {}
    for place in range(episode.quiet.start, episode.last):
        report = check(
            reference,
            profiles[place],
            calibration=calibration,
            policy=policy,
            history=history[-8:],
            now=times[place],
        )
        history.append(report)
        found[place] = list(report.drifted_columns)
    return found


def _pairs(reference: Sequence[Profile], window: Profile) -> dict[str, tuple[list[ColumnCounts], ColumnCounts]]:
    resolution = common_resolution([*reference, window])
    read = [columns_of(profile, resolution, frozenset({"record", "ts"})) for profile in [*reference, window]]
    return {name: ([one[name] for one in read[:-1]], read[-1][name]) for name in read[-1]}


def _p_value(reference: Sequence[Profile], window: Profile) -> list[str]:
    flagged = []
    for name, (batches, current) in _pairs(reference, window).items():
        pooled = merge_columns(batches)
        if isinstance(pooled, NumberCounts) and isinstance(current, NumberCounts):
            statistic = kolmogorov_smirnov(pooled.binned, current.binned)
            p_value = kolmogorov_p_value(statistic, pooled.binned.rows, current.binned.rows)
        else:
            p_value = chi_square_test(*_tables(pooled, current))[2]
        if p_value < 0.05:
            flagged.append(name)
    return flagged


def _evidently(reference: Sequence[Profile], window: Profile) -> list[str]:
    """Evidently's default above 1,000 reference rows."""
    pairs = _pairs(reference, window).items()
    return [name for name, (batches, now) in pairs if _evidently_size(merge_columns(batches), now) >= 0.1]


def _evidently_size(pooled: ColumnCounts, current: ColumnCounts) -> float:
    """Wasserstein over the reference's deviation; Jensen-Shannon in nats for categories and for up to five numbers."""
    if isinstance(pooled, NumberCounts) and isinstance(current, NumberCounts):
        values = np.union1d(pooled.binned.values, current.binned.values)
        if len(values) > 5:
            return wasserstein(pooled.binned, current.binned) / max(pooled.binned.spread, 0.001)
        sides = (dict(zip(side.values, side.counts, strict=True)) for side in (pooled.binned, current.binned))
        return jensen_shannon(*([side.get(value, 0.0) for value in values] for side in sides)) * NATS
    return jensen_shannon(*_tables(pooled, current)) * NATS


def _nannyml(reference: Sequence[Profile], window: Profile) -> list[str]:
    """NannyML's default, a batch a chunk: Jensen-Shannon, in Doane's bins, off the usual by over three deviations."""
    flagged = []
    for name, (batches, current) in _pairs(reference, window).items():
        pooled = merge_columns(batches)
        *own, size = (jensen_shannon(*_chunk(pooled, batch)) for batch in [*batches, current])
        if abs(size - np.mean(own)) > 3 * np.std(own):
            flagged.append(name)
    return flagged


def _chunk(pooled: ColumnCounts, chunk: ColumnCounts) -> tuple[np.ndarray, np.ndarray]:
    """Both sides in the bins in which NannyML compares."""
    if isinstance(pooled, NumberCounts) and isinstance(chunk, NumberCounts):
        whole = pooled.binned
        left, right = (group_counts(whole.values, whole.counts, s.values, s.counts) for s in (whole, chunk.binned))
        return left, right
    return _tables(pooled, chunk)


def _tables(pooled: ColumnCounts, current: ColumnCounts) -> tuple[np.ndarray, np.ndarray]:
    """Both sides over the same groups: reference quantiles for numbers, all categories otherwise."""
    if isinstance(pooled, NumberCounts) and isinstance(current, NumberCounts):
        scorer = build_scorer(pooled)
        return scorer.groups(pooled.binned), scorer.groups(current.binned)
    names = sorted({*pooled.counts, *current.counts})
    left, right = ([*(side.counts.get(name, 0) for name in names), side.unlisted] for side in (pooled, current))
    return np.array(left, float), np.array(right, float)


def _show(result: dict[str, Any]) -> None:
    drift = f"drift at batch {result['drift']}" if result["drift"] is not None else "no drift"
    note = "" if result["calibrated"] else ", too few batches to calibrate"
    print(f"\n  {result['data']}: reference batches {result['reference']}, {drift}{note}")
    for name, score in result["rules"].items():
        delay = score["delay"]
        late = "-" if result["drift"] is None else "never" if delay is None else f"after {delay + 1} windows"
        false = f"false {score['false']:3d} of {score['quiet']:3d} windows ({score['incidents']} incidents)"
        print(f"    {name:22s} {false:45s} found {late:18s} {', '.join(score['columns'])}")
