"""`perennial check`: what is wrong with a loop, what it would deploy, what it would cost."""

from __future__ import annotations

import importlib.util
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table

from perennial.checks import Finding, check_estimator, sample_rows
from perennial.cli.project_root import find_root, load_named_loop
from perennial.cost import CostEstimate, batch_cost, cycle_cost, idle_cost, large_batch_cost

if TYPE_CHECKING:
    from perennial.project import Loop
from perennial.regions import require_region

__all__ = ["Checked", "Costs", "check_loop", "cost_loop", "price_loop"]


@dataclass(frozen=True)
class Costs:
    """What a loop costs: there for a month, taking a batch or a large one, learning and rolling out once."""

    idle: CostEstimate
    batch: CostEstimate
    large_batch: CostEstimate
    cycle: CostEstimate

    def totals(self) -> dict[str, float]:
        """The sums in USD."""
        return {
            "idle_month_usd": self.idle.usd,
            "batch_usd": self.batch.usd,
            "large_batch_usd": self.large_batch.usd,
            "cycle_usd": self.cycle.usd,
        }

    def render(self) -> RenderableType:
        """As a person reads it, item by item."""
        table = Table(title="what it would cost (us-east-1, USD)", title_justify="left")
        for column in ("what", "USD", "how"):
            table.add_column(column)
        for title, estimate in (
            ("idle, a month", self.idle),
            ("one batch", self.batch),
            ("one file of 10 GB, besides", self.large_batch),
            ("one cycle", self.cycle),
        ):
            table.add_row(f"[bold]{title}[/bold]", f"{estimate.usd:,.4g}", "")
            for item in estimate.items:
                table.add_row(f"  {item.name}", f"{item.usd:,.4g}", item.how)
            for unknown in estimate.unknown:
                table.add_row("  not counted", "", unknown)
        return table


@dataclass(frozen=True)
class Checked:
    """The answer of `perennial check`."""

    loop: str
    digest: str
    findings: tuple[Finding, ...]
    costs: Costs

    @property
    def good(self) -> bool:
        """Nothing is wrong."""
        return not self.findings

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "loop": self.loop,
            "digest": self.digest,
            "good": self.good,
            "findings": [asdict(finding) for finding in self.findings],
            **self.costs.totals(),
        }

    def render(self) -> RenderableType:
        """As a person reads it."""
        parts: list[RenderableType] = [f"loop {self.loop}, digest {self.digest[:12]}"]
        for finding in self.findings:
            parts.append(f"[red]{finding.check}[/red]: {finding.sentence}. To mend it: {finding.advice}.")
        if self.good:
            parts.append("[green]the contract, the policies and the estimator fit together[/green]")
        parts.append(self.costs.render())
        parts.append(f"`cdk deploy --all -c loop={self.loop}` deploys it; `perennial up {self.loop}` runs it here.")
        return Group(*parts)


def check_loop(name: str) -> Checked:
    """
    Check the loop's contract and policies, and its estimator against the conformance suite.

    Raises
    ------
    LoopInvalid, LoopUnknown
        The loop can't even be read; every mistake is listed.
    RegionUnsupported
        AWS lacks something that a loop needs in the region that the environment names.
    """
    if region := os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"):
        require_region(region)
    root = find_root()
    loop = load_named_loop(name, root)
    return Checked(
        loop=loop.name,
        digest=loop.digest,
        findings=tuple(_estimator_findings(root / "loops" / name, loop)),
        costs=price_loop(loop),
    )


def cost_loop(name: str) -> tuple[Costs, float]:
    """What the loop would cost, and its monthly budget in USD."""
    loop = load_named_loop(name)
    return price_loop(loop), loop.cost.monthly_budget_usd


def price_loop(loop: Loop) -> Costs:
    """What a loop costs by its policies and the price table."""
    return Costs(idle=idle_cost(loop), batch=batch_cost(loop), large_batch=large_batch_cost(), cycle=cycle_cost(loop))


def _estimator_findings(folder: Path, loop: Loop) -> list[Finding]:
    path = folder / "model.py"
    if not path.is_file():
        return [Finding("model.py", "there is none", "write model.py with build_estimator(hyperparameters)")]
    module_name = f"perennial_checked_{folder.name}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # noqa: BLE001  a user's module may raise anything: that is the finding
        return [Finding("model.py", f"importing it raised {type(error).__name__}: {error}", "mend model.py")]
    build = getattr(module, "build_estimator", None)
    if not callable(build):
        return [Finding("model.py", "it has no build_estimator", "define build_estimator(hyperparameters)")]
    rows = _labelled(sample_rows(loop.contract).infer_objects(), loop)
    return check_estimator(
        build, rows, contract=loop.contract, task=loop.task, hyperparameters=loop.training.hyperparameters
    )


def _labelled(rows: Any, loop: Loop) -> Any:
    """Sample rows with a made-up label where labels come in files of their own."""
    label = loop.contract.label
    if label is None or label in rows:
        return rows
    classes = 3 if loop.task == "multiclass" else 2
    return rows.assign(**{label: [number % classes for number in range(len(rows))]})
