"""What a check of twenty columns costs, from stored profiles, after little and after much history."""

import statistics
import time
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


def measure_cost(*, show: bool, rows: int = 20_000, repeats: int = 30) -> list[dict[str, Any]]:
    """Median milliseconds of a check, by batches of the reference and windows since, everything parsed already."""
    rng = np.random.default_rng(1)
    made = [_profile(rng, rows) for _ in range(DISTINCT)]
    policy = DriftPolicy()
    results = []
    for batches, since in ((24, 0), (24, 8), (24, 10_000), (120, 8), (1200, 8)):
        past = [made[place % DISTINCT] for place in range(batches)]
        times = [BEGIN + timedelta(days=day) for day in range(batches)]
        learnt = Calibration.from_json(calibrate(past, policy=policy, times=times).to_json())
        reference, now = merge(past), BEGIN + timedelta(days=batches)
        window = _profile(rng, rows)
        first = check(reference, window, calibration=learnt, policy=policy, now=now).evidence
        history = [_later(first, place) for place in range(since)]
        seconds, processor = [], []
        for _ in range(repeats):
            started, began = time.perf_counter(), time.process_time()
            check(
                reference, window, calibration=learnt, policy=policy, history=history, now=now + timedelta(days=since)
            )
            seconds.append(time.perf_counter() - started)
            processor.append(time.process_time() - began)
        cost = {"reference_batches": batches, "windows_since": since}
        cost |= {
            "ms": _milliseconds(seconds),
            "cpu_ms": _milliseconds(processor),
            "cpu_ms_best": round(min(processor) * 1e3, 1),
        }
        results.append(cost)
        if show:
            taken = f"{cost['ms']:6.1f} ms, {cost['cpu_ms']:6.1f} ms of CPU"
            print(f"    {batches:5d} reference batches, {since:6,d} windows since: {taken}", flush=True)
    return results
