"""The commands of who answers for a loop: approve, reject, pause, resume, prune, lineage, audit, cost."""

from __future__ import annotations

import getpass
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from perennial.cli.console import ANSWER_IS_NO, emit_json, err, out
from perennial.cli.options import StageOption
from perennial.stage import DEFAULT_STAGE

__all__ = ["app"]

app = typer.Typer()
audit_app = typer.Typer(help="The ledger: every decision, chained by hashes.", no_args_is_help=True)
app.add_typer(audit_app, name="audit")

LoopArgument = Annotated[str, typer.Argument(help="Name of a deployed loop.")]
ModelArgument = Annotated[str, typer.Argument(help="Model version, or the beginning of one.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
ByOption = Annotated[
    str,
    typer.Option(
        default_factory=getpass.getuser, show_default="your user name", help="Who says so; it goes on record."
    ),
]
ReasonOption = Annotated[str, typer.Option(help="Why; it goes on record.")]
WaitOption = Annotated[float, typer.Option(help="How long to wait for the loop to take the answer up.")]


@app.command()
def approve(
    loop: LoopArgument,
    model: ModelArgument,
    reason: ReasonOption,
    by: ByOption,
    bundle: Annotated[
        str | None, typer.Option(help="Digest of the evidence bundle that you have read, where the policy asks for it.")
    ] = None,
    wait_seconds: WaitOption = 60.0,
    stage: StageOption = DEFAULT_STAGE,
    as_json: JsonOption = False,
) -> None:
    """Let a model that passed the gate be rolled out."""
    _answer(loop, stage, model, True, reason, by, bundle, wait_seconds, as_json)


@app.command()
def reject(
    loop: LoopArgument,
    model: ModelArgument,
    reason: ReasonOption,
    by: ByOption,
    wait_seconds: WaitOption = 60.0,
    stage: StageOption = DEFAULT_STAGE,
    as_json: JsonOption = False,
) -> None:
    """Keep a model that passed the gate from being rolled out."""
    _answer(loop, stage, model, False, reason, by, None, wait_seconds, as_json)


def _answer(
    loop: str,
    stage: str,
    model: str,
    approve: bool,
    reason: str,
    by: str,
    bundle: str | None,
    wait_seconds: float,
    as_json: bool,
) -> None:
    from perennial.cli.deployment import find_deployment
    from perennial.cli.operate import answer

    deployment = find_deployment(loop, stage=stage)
    with err.status("waiting for the loop to take the answer up"):
        answered = answer(
            deployment,
            model,
            approve=approve,
            by=by,
            reason=reason,
            bundle=bundle,
            now=datetime.now(UTC),
            wait_seconds=wait_seconds,
        )
    if as_json:
        emit_json(asdict(answered))
    else:
        out.print(f"{answered.model_version}: {answered.status}: " + "; ".join(answered.reasons), markup=False)
    if answered.status not in ("granted" if approve else "denied", "waiting"):
        raise typer.Exit(ANSWER_IS_NO)


@app.command()
def pause(
    loop: LoopArgument,
    reason: ReasonOption,
    by: ByOption,
    stage: StageOption = DEFAULT_STAGE,
    as_json: JsonOption = False,
) -> None:
    """Start no learning run until `perennial resume`; data is validated, watched and served all the same."""
    _pause(loop, stage, True, reason, by, as_json)


@app.command()
def resume(loop: LoopArgument, by: ByOption, stage: StageOption = DEFAULT_STAGE, as_json: JsonOption = False) -> None:
    """Let signals start learning runs again."""
    _pause(loop, stage, False, "", by, as_json)


def _pause(loop: str, stage: str, paused: bool, reason: str, by: str, as_json: bool) -> None:
    from perennial.cli.deployment import find_deployment
    from perennial.cli.operate import set_paused

    done = set_paused(find_deployment(loop, stage=stage), paused=paused, by=by, reason=reason, now=datetime.now(UTC))
    if as_json:
        emit_json(asdict(done))
        return
    state = "paused" if done.paused else "running"
    before = "" if done.changed else ", as it was before"
    out.print(f"loop {loop} is {state}{before}{': ' + done.reason if done.reason else ''}", markup=False)


@app.command()
def prune(loop: LoopArgument, stage: StageOption = DEFAULT_STAGE, as_json: JsonOption = False) -> None:
    """Delete the versions of functions that earlier deployments left and nothing calls any more."""
    from perennial.cli.deployment import find_deployment
    from perennial.cli.versions import prune as prune_versions

    pruned = prune_versions(find_deployment(loop, stage=stage))
    if as_json:
        emit_json(asdict(pruned))
    else:
        out.print(f"{len(pruned.deleted)} versions deleted, {len(pruned.kept)} kept that machines or executions call")


@app.command()
def lineage(
    loop: LoopArgument,
    model: Annotated[str, typer.Argument(help='Model version, the beginning of one, or "champion".')] = "champion",
    stage: StageOption = DEFAULT_STAGE,
    as_json: JsonOption = False,
) -> None:
    """Follow a model back to its run, dataset version, batches, labels and the files that landed."""
    from perennial.cli.deployment import find_deployment
    from perennial.cli.lineage import draw, trace

    traced = trace(find_deployment(loop, stage=stage), model)
    if as_json:
        emit_json(traced.to_json())
    else:
        out.print(draw(traced))


@audit_app.command("verify")
def audit_verify(
    loop: LoopArgument,
    anchor: Annotated[
        str | None, typer.Option(help="SEQUENCE:DIGEST that you noted down earlier: the chain must pass through it.")
    ] = None,
    stage: StageOption = DEFAULT_STAGE,
    as_json: JsonOption = False,
) -> None:
    """Read the whole ledger back: nothing changed, left out, doubled, deleted or cut off."""
    from perennial.cli.audit import parse_anchor, verify_ledger
    from perennial.cli.deployment import find_deployment

    known = parse_anchor(anchor) if anchor else None
    deployment = find_deployment(loop, stage=stage)
    with err.status("reading the ledger"):
        audited = verify_ledger(deployment, known)
    if as_json:
        emit_json(audited.to_json())
    elif audited.broken is not None:
        err.print(audited.broken, style="red", markup=False, soft_wrap=True)
    elif audited.head is None:
        out.print("the ledger is empty")
    else:
        out.print(
            f"{audited.entries:,} entries verify, against: {', '.join(audited.anchors) or 'nothing but themselves'}"
        )
        out.print(f"note this down: {audited.head.sequence}:{audited.head.digest}", soft_wrap=True)
    if not audited.good:
        raise typer.Exit(ANSWER_IS_NO)


@app.command()
def cost(loop: Annotated[str, typer.Argument(help="Name of a folder in loops/.")], as_json: JsonOption = False) -> None:
    """Say what a loop would cost a month, a batch and a cycle, and whether its budget covers standing there."""
    from perennial.cli.check import cost_loop

    costs, budget = cost_loop(loop)
    covered = costs.idle.usd <= budget
    if as_json:
        emit_json({**costs.totals(), "monthly_budget_usd": budget, "covered": covered})
    else:
        out.print(costs.render())
        out.print(
            f"budget: {budget:,.2f} USD a month" + ("" if covered else ", which doesn't cover the loop standing idle")
        )
    if not covered:
        raise typer.Exit(ANSWER_IS_NO)
