"""False alarms where nothing drifts, and hits where something does, rule by rule and cell by cell."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from benchmarks.drift_quality.bound import most_power
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
"""Cells in which columns also move: most are among `CELLS`."""
ALL_CELLS = (*CELLS, *(cell for cell in POWER_CELLS if cell not in CELLS))
MOVED = (1, 4)


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


Figures = dict[str, dict[str, float]]
"""Shares by rule and by what they are shares of."""


def measure(scenario: Scenario, moved: Sequence[int], streams: int, seed: int) -> dict[str, Figures]:
    """
    What each rule does on the same streams, when nothing moves and when 1, 4 ... columns do.

    Returns
    -------
    Under "false alarms": share of checks that name any column, in the first window, and in the second with the first
    as history. Under a number of moved columns: share of them named in the first window, and in one of the two, and
    the share of names that are wrong.
    """
    rng = np.random.default_rng([seed, scenario.rows])
    rules = _rules(scenario)
    raised: dict[str, list[tuple[bool, bool]]] = {name: [] for name in rules}
    found: dict[int, dict[str, list[tuple[float, float, float]]]] = {
        count: {name: [] for name in rules} for count in moved
    }
    for _ in range(streams):
        quiet = draw(scenario, 2, rng)
        for name, rule in rules.items():
            raised[name].append((bool(rule(quiet, 1).any()), bool(rule(quiet, 2).any())))
        for count in moved:
            stream = shift(quiet, count, SHIFT, rng)
            for name, rule in rules.items():
                found[count][name].append(_found(rule, stream, count))
    figures = {
        "false alarms": {name: _shares(("first window", "second window"), rows) for name, rows in raised.items()}
    }
    for count, by_rule in found.items():
        keys = ("in one window", "in two windows", "wrong names")
        figures[f"{count} moved"] = {name: _shares(keys, rows) for name, rows in by_rule.items()}
    return figures


def _shares(keys: Sequence[str], rows: Sequence[tuple[float, ...]]) -> dict[str, float]:
    return dict(zip(keys, np.mean(rows, axis=0).round(4).tolist(), strict=True))


def _found(rule: Rule, stream: Stream, moved: int) -> tuple[float, float, float]:
    first, second = rule(stream, 1), rule(stream, 2)
    either = first[:moved] | second[:moved]
    wrong = first[moved:].sum() / max(first.sum(), 1)
    return float(first[:moved].mean()), float(either.mean()), float(wrong)


def simulate_all(cells: Sequence[Scenario], *, streams: int, seed: int, show: bool) -> list[dict[str, Any]]:
    """Every cell; printed as it comes where `show`."""
    cells_figures = []
    if show:
        print(
            f"\n{streams} streams a cell; shift {SHIFT} deviations; standard error up to {50 / streams**0.5:.1f} points"
        )
    for scenario in cells:
        moved = MOVED if scenario in POWER_CELLS else ()
        figures: dict[str, Any] = dict(measure(scenario, moved, streams, seed))
        if moved:
            figures["1 moved"]["no test can do better"] = {
                "in one window": round(most_power(scenario, SHIFT, 1), 4),
                "in the second": round(most_power(scenario, SHIFT, 2), 4),
            }
        cells_figures.append({"scenario": asdict(scenario), "streams": streams, "figures": figures})
        if show:
            _show(scenario, figures)
    return cells_figures


def _show(scenario: Scenario, figures: dict[str, Figures]) -> None:
    print(f"\n  {scenario.name}, {scenario.rows:,} rows a batch, {scenario.batches} reference batches")
    for what, rules in figures.items():
        print(
            f"    {what}: share of checks that name a column" if what == "false alarms" else f"    {what}: share named"
        )
        for name, values in rules.items():
            shares = "   ".join(f"{key} {value:6.1%}" for key, value in values.items())
            print(f"      {name:30s} {shares}", flush=True)
