"""False alarms where nothing drifts, and hits where something does, rule by rule and cell by cell."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.drift_quality.rules import (
    Ours,
    Rule,
    evidently_default,
    ks_p_value,
    leave_one_out_ks,
    nannyml_default,
    oracle,
)
from benchmarks.drift_quality.streams import Scenario, Stream, draw, shift

ROWS = (1_000, 10_000, 100_000, 1_000_000)
SHIFT = 0.2

CELLS: tuple[Scenario, ...] = (
    *(Scenario("rows alone", 0.0, rows=rows) for rows in ROWS),
    *(Scenario("batch effects .02", 0.02, rows=rows) for rows in ROWS),
    *(Scenario("batch effects .05", 0.05, rows=rows) for rows in ROWS),
    *(Scenario("batch effects .05, AR(1) .7", 0.05, rho=0.7, rows=rows) for rows in ROWS),
    *(Scenario("batch effects .05, weekly season .05", 0.05, season=0.05, rows=rows) for rows in ROWS),
    *(
        Scenario("season .05 and AR(1) .7", 0.05, rho=0.7, season=0.05, rows=rows, batches=28)
        for rows in (10_000, 1_000_000)
    ),
    Scenario("sizes differ by column", 0.04, mixed=True),
    Scenario("sizes differ, heavy tails (t, 5 df)", 0.04, mixed=True, heavy=True),
)
POWER_CELLS: tuple[Scenario, ...] = (
    Scenario("batch effects .05", 0.05, rows=10_000),
    Scenario("batch effects .05", 0.05, rows=100_000),
    Scenario("batch effects .05, 60 batches", 0.05, rows=100_000, batches=60),
    Scenario("batch effects .05, AR(1) .7", 0.05, rho=0.7, rows=100_000),
    Scenario("batch effects .05, weekly season .05", 0.05, season=0.05, rows=100_000),
    Scenario("the same, 56 batches", 0.05, season=0.05, rows=100_000, batches=56),
)


def _rules(scenario: Scenario) -> dict[str, Rule]:
    rules: dict[str, Rule] = {"ours": Ours()}
    if scenario.rho:
        rules["ours, place in time unknown"] = Ours(adjacent=False)
    if scenario.season:
        rules["ours, season not told"] = Ours(seasons=False)
    return rules | {
        "best possible (knows all)": oracle,
        "leave-one-out KS + BH": leave_one_out_ks,
        "KS p < .05": ks_p_value,
        "Evidently's default": evidently_default,
        "NannyML's default": nannyml_default,
    }


def false_alarms(scenario: Scenario, streams: int, seed: int) -> dict[str, dict[str, float]]:
    """Share of checks that name any column: of the first window, and of the second with the first as history."""
    rng = np.random.default_rng([seed, scenario.rows])
    rules = _rules(scenario)
    raised: dict[str, list[tuple[bool, bool]]] = {name: [] for name in rules}
    for _ in range(streams):
        stream = draw(scenario, 2, rng)
        for name, rule in rules.items():
            raised[name].append((bool(rule(stream, 1).any()), bool(rule(stream, 2).any())))
    return {
        name: {
            "first window": float(np.mean([f for f, _ in rows])),
            "second window": float(np.mean([s for _, s in rows])),
        }
        for name, rows in raised.items()
    }


def power(scenario: Scenario, moved: int, streams: int, seed: int) -> dict[str, dict[str, float]]:
    """Share of moved columns named in the first window, and in one of the first two; share of names that are wrong."""
    rng = np.random.default_rng([seed, scenario.rows, moved])
    rules = _rules(scenario)
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in rules}
    for _ in range(streams):
        stream = shift(draw(scenario, 2, rng), moved, SHIFT, rng)
        for name, rule in rules.items():
            found[name].append(_found(rule, stream, moved))
    keys = ("in one window", "in two windows", "wrong names")
    return {name: dict(zip(keys, np.mean(rows, axis=0).round(4).tolist(), strict=True)) for name, rows in found.items()}


def _found(rule: Rule, stream: Stream, moved: int) -> tuple[float, float, float]:
    first, second = rule(stream, 1), rule(stream, 2)
    either = first[:moved] | second[:moved]
    wrong = first[moved:].sum() / max(first.sum(), 1)
    return float(first[:moved].mean()), float(either.mean()), float(wrong)


def simulate_all(
    cells: Sequence[Scenario], power_cells: Sequence[Scenario], *, streams: int, seed: int, show: bool
) -> dict[str, Any]:
    """Every cell; printed as it comes where `show`."""
    figures: dict[str, Any] = {"streams": streams, "false_alarms": [], "power": []}
    if show:
        print(f"Nothing drifts: share of checks of 20 columns that name any ({streams} streams a cell)")
    for scenario in cells:
        result = false_alarms(scenario, streams, seed)
        figures["false_alarms"].append({"scenario": scenario.__dict__, "rules": result})
        _show(scenario, result, show)
    for moved in (1, 4):
        if show:
            print(f"\n{moved} of 20 columns move by {SHIFT} deviations: share of them named")
        for scenario in power_cells:
            result = power(scenario, moved, streams, seed)
            figures["power"].append({"scenario": scenario.__dict__, "moved": moved, "rules": result})
            _show(scenario, result, show)
    return figures


def _show(scenario: Scenario, result: dict[str, dict[str, float]], show: bool) -> None:
    if not show:
        return
    print(f"\n  {scenario.name}, {scenario.rows:,} rows a batch, {scenario.batches} reference batches")
    for name, values in result.items():
        figures = "   ".join(f"{key} {value:6.1%}" for key, value in values.items())
        print(f"    {name:30s} {figures}", flush=True)
