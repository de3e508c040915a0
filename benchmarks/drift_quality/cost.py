"""What a check of twenty columns costs, from stored profiles, after little and after much history."""

import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from perennial.contract import Contract
from perennial.drift import Calibration, DriftPolicy, WindowEvidence, calibrate, check
from perennial.profile import Profile, merge, profile_table

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
NUMBERS, CATEGORIES = 16, 4
DISTINCT = 60
"""Batches that are really made; a longer history repeats them."""
HISTORIES = ((24, 0), (24, 8), (24, 10_000), (120, 8), (10_000, 8))
"""Batches of the reference, and windows since."""


def _contract() -> Contract:
    columns = {f"n{i}": {"type": "number"} for i in range(NUMBERS)}
    columns |= {f"c{i}": {"type": "category"} for i in range(CATEGORIES)}
    return Contract(format="parquet", record_id="id", event_time="at", columns=columns)


def _profile(rng: np.random.Generator, rows: int) -> Profile:
    table = {f"n{i}": rng.normal(rng.normal(0, 0.05), 1, rows) for i in range(NUMBERS)}
    letters = np.array(list("abcdefghij"))
    return profile_table(
        pa.table(table | {f"c{i}": pa.array(letters[rng.integers(0, 10, rows)]) for i in range(CATEGORIES)}),
        _contract(),
    )


def _later(evidence: WindowEvidence, days: int) -> WindowEvidence:
    assert evidence.positions is not None
    return evidence.model_copy(update={"positions": tuple(place + days for place in evidence.positions)})


def _milliseconds(seconds: list[float]) -> float:
    return round(statistics.median(seconds) * 1e3, 1)


def measure_cost(*, show: bool, rows: int = 20_000, repeats: int = 30) -> dict[str, list[dict[str, Any]]]:
    """Milliseconds of a check and of adding one batch to a reference, by how much history there is."""
    rng = np.random.default_rng(1)
    made = [_profile(rng, rows) for _ in range(DISTINCT)]
    window = _profile(rng, rows)
    checks = [_check_cost(made, window, batches, since, repeats) for batches, since in HISTORIES]
    merges = [_merge_cost(made, doubled, repeats) for doubled in (0, 8)]
    if show:
        print(
            "A check of 20 columns from stored profiles takes, and adding one more batch's profile to the reference's"
        )
        for cost in checks:
            known = f"{cost['reference_batches']:6,d} reference batches, {cost['windows_since']:6,d} windows since"
            print(f"    check  {known}: {_told(cost)}", flush=True)
        for cost in merges:
            print(f"    merge  {cost['reference_batches']:6,d} reference batches: {_told(cost):>36s}", flush=True)
    return {"checks": checks, "merges": merges}


def _told(cost: dict[str, Any]) -> str:
    return f"{cost['ms']:6.1f} ms, {cost['cpu_ms']:6.1f} ms of CPU (best {cost['cpu_ms_best']:.1f})"


def _check_cost(made: list[Profile], window: Profile, batches: int, since: int, repeats: int) -> dict[str, Any]:
    """Of a check with a reference of so many batches and so many windows since, everything parsed already."""
    policy = DriftPolicy()
    past = [made[place % DISTINCT] for place in range(batches)]
    times = [BEGIN + timedelta(days=day) for day in range(batches)]
    learnt = Calibration.from_json(calibrate(past, policy=policy, times=times).to_json())
    reference, now = merge(past), BEGIN + timedelta(days=batches)
    first = check(reference, window, calibration=learnt, policy=policy, now=now).evidence
    history = [_later(first, place) for place in range(since)]
    later = now + timedelta(days=since)
    timed = _timed(
        lambda: check(reference, window, calibration=learnt, policy=policy, history=history, now=later), repeats
    )
    return {"reference_batches": batches, "windows_since": since} | timed


def _merge_cost(made: list[Profile], doubled: int, repeats: int) -> dict[str, Any]:
    """Of adding a batch to a reference that was doubled so many times: merging is exact, so that counts just grow."""
    reference = merge(made[1:]) if doubled else made[1]
    for _ in range(doubled):
        reference = reference.merge(reference)
    batches = (DISTINCT - 1) * 2**doubled if doubled else 1
    return {"reference_batches": batches} | _timed(lambda: reference.merge(made[0]), repeats)


def _timed(run: Callable[[], object], repeats: int) -> dict[str, float]:
    seconds, processor = [], []
    for _ in range(repeats):
        started, began = time.perf_counter(), time.process_time()
        run()
        seconds.append(time.perf_counter() - started)
        processor.append(time.process_time() - began)
    best = round(min(processor) * 1e3, 1)
    return {"ms": _milliseconds(seconds), "cpu_ms": _milliseconds(processor), "cpu_ms_best": best}
