"""What a proof costs at most, from the loop's own estimates."""

from __future__ import annotations

from perennial.cost import CostEstimate, CostItem, cycle_cost, idle_cost
from perennial.project import Loop

__all__ = ["MOST_SECONDS", "MOST_USD", "proof_cost"]

MOST_USD = 3.0
MOST_SECONDS = 2 * 3600.0
_HOURS_A_MONTH = 730.0
_RUNS = 4


def proof_cost(loop: Loop, *, seconds: float = MOST_SECONDS) -> CostEstimate:
    """
    USD of everything that is there for `seconds`, and of four turns of the loop.

    A turn counts the challenger's instances for every bake of its rollout, so the peak of an update is in it.
    """
    hours = seconds / 3600
    idle, cycle = idle_cost(loop), cycle_cost(loop)
    items = [CostItem(one.name, one.usd / _HOURS_A_MONTH * hours, f"{hours:g} h of: {one.how}") for one in idle.items]
    items += [CostItem(one.name, _RUNS * one.usd, f"{_RUNS} times: {one.how}") for one in cycle.items]
    return CostEstimate(tuple(items), (*idle.unknown, *cycle.unknown))
