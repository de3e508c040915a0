"""The commands of `perennial`; each is a few lines over a module of its own."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from perennial import __version__, keys
from perennial.cli.console import ANSWER_IS_NO, emit_json, err, out, reported
from perennial.cli.governing import app as governing_app
from perennial.cli.options import StageOption
from perennial.stage import DEFAULT_STAGE

__all__ = ["app", "run"]

app = typer.Typer(
    name="perennial",
    help="Keep a machine-learning model learning in production, on AWS or on this laptop.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
labels_app = typer.Typer(help="Labels, which arrive later than the rows that they are for.", no_args_is_help=True)
app.add_typer(labels_app, name="labels")
app.add_typer(governing_app)

LoopArgument = Annotated[str, typer.Argument(help="Name of a folder in loops/.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
PortOption = Annotated[int, typer.Option(min=0, max=65535, help="Port of the local cloud on 127.0.0.1.")]


def run() -> None:
    """Run the command line; our own errors become one sentence and exit code 2."""
    with reported():
        app()


def _version(show: bool) -> None:
    if show:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Keep a machine-learning model learning in production, on AWS or on this laptop."""


@app.command()
def demo(
    loop: LoopArgument = "bikeshare",
    stage: StageOption = DEFAULT_STAGE,
    port: PortOption = 0,
    report: Annotated[Path, typer.Option(help="Where the HTML report goes.")] = Path(".perennial/demo-report.html"),
) -> None:
    """Show the whole loop on the local cloud, told as it happens, with three accidents."""
    from perennial.cli.demo.show import show

    if not show(loop, stage=stage, port=port, report=report):
        raise typer.Exit(ANSWER_IS_NO)


@app.command()
def up(
    loop: LoopArgument = "bikeshare",
    stage: StageOption = DEFAULT_STAGE,
    port: PortOption = 4566,
    state: Annotated[Path, typer.Option(help="Where its state is kept between starts.")] = Path(
        ".perennial/localcloud"
    ),
) -> None:
    """Run the local cloud with a loop deployed, for the AWS CLI and SDKs, until Ctrl-C."""
    from perennial.cli.up import serve

    serve(loop, stage=stage, port=port, state_dir=state)


@app.command()
def check(loop: LoopArgument, as_json: JsonOption = False) -> None:
    """Say what is wrong with a loop, what it would deploy and what it would cost."""
    from perennial.cli.check import check_loop

    checked = check_loop(loop)
    if as_json:
        emit_json(checked.to_json())
    else:
        out.print(checked.render())
    if not checked.good:
        raise typer.Exit(ANSWER_IS_NO)


@app.command()
def doctor(
    loop: Annotated[
        str | None, typer.Argument(help="Name of a folder in loops/; all of them where it is left out.")
    ] = (None),
    stage: StageOption = DEFAULT_STAGE,
    as_json: JsonOption = False,
) -> None:
    """Say whether the account can take a loop, before it is deployed, and what to do where it can't."""
    from perennial.cli.doctor import examine

    examined = examine(loop, stage)
    if as_json:
        emit_json(examined.to_json())
    else:
        out.print(examined.render())
    if not examined.good:
        raise typer.Exit(ANSWER_IS_NO)


@app.command()
def prove(
    yes: Annotated[bool, typer.Option("--yes", help="Spend without asking.")] = False,
    clean_up: Annotated[bool, typer.Option("--clean-up", help="Only remove what an earlier proof left.")] = False,
    minutes: Annotated[int, typer.Option(min=5, max=120, help="How long it may last, besides cleaning up.")] = 120,
) -> None:
    """Show on the account at hand that a deployment works there, in about two hours and for at most 3 USD."""
    from perennial.cli.prove.command import Asked
    from perennial.cli.prove.command import prove as prove_it

    asked = Asked(yes=yes, clean_up=clean_up, most_seconds=60.0 * minutes)
    if not prove_it(asked, confirm=lambda question: typer.confirm(question + "?", default=False)):
        raise typer.Exit(ANSWER_IS_NO)


@app.command()
def push(
    loop: LoopArgument,
    files: Annotated[list[Path], typer.Argument(help="Batch files: .csv, .jsonl, .parquet, also .gz or .zst.")],
    wait_seconds: Annotated[float, typer.Option(help="How long to wait for the outcome; 0 doesn't wait.")] = 60.0,
    stage: StageOption = DEFAULT_STAGE,
    as_json: JsonOption = False,
) -> None:
    """Land batch files and say what became of each."""
    _push(loop, stage, keys.BATCHES_PREFIX, files, wait_seconds, as_json)


@labels_app.command("push")
def labels_push(
    loop: LoopArgument,
    files: Annotated[list[Path], typer.Argument(help="Label files: record id, label, optionally labeled_at.")],
    wait_seconds: Annotated[float, typer.Option(help="How long to wait for the outcome; 0 doesn't wait.")] = 60.0,
    stage: StageOption = DEFAULT_STAGE,
    as_json: JsonOption = False,
) -> None:
    """Land label files and say what became of each."""
    _push(loop, stage, keys.LABELS_PREFIX, files, wait_seconds, as_json)


def _push(loop: str, stage: str, prefix: str, files: list[Path], wait_seconds: float, as_json: bool) -> None:
    from perennial.cli.deployment import find_deployment
    from perennial.cli.landing import await_outcomes, put_files

    deployment = find_deployment(loop, stage=stage)
    landed = list(put_files(deployment, prefix, files))
    outcomes = list(await_outcomes(deployment, landed, seconds=wait_seconds)) if wait_seconds else []
    if as_json:
        emit_json([{"key": file.key, "version_id": file.version_id, "outcome": outcome} for file, outcome in outcomes])
    for file, outcome in outcomes if not as_json else []:
        if outcome is None:
            out.print(f"{file.key}: landed; no outcome within {wait_seconds:g} s (see `perennial status {loop}`)")
            continue
        why = "; ".join(map(str, outcome.get("reasons") or []))
        out.print(
            f"{file.key}: {outcome.get('status')}, {outcome.get('rows', 0)} rows, "
            f"{outcome.get('quarantined', 0)} quarantined{': ' + why if why else ''}",
            markup=False,
        )
    if any(outcome is not None and outcome.get("status") == "rejected" for _, outcome in outcomes):
        raise typer.Exit(ANSWER_IS_NO)


@app.command()
def predict(
    loop: LoopArgument,
    file: Annotated[Path, typer.Argument(help="Rows as .csv, .jsonl or .parquet.")],
    rows: Annotated[int, typer.Option(help="At most so many rows of the file.")] = 10,
    target_variant: Annotated[str | None, typer.Option(help="Ask this variant, whatever the weights.")] = None,
    stage: StageOption = DEFAULT_STAGE,
    as_json: JsonOption = False,
) -> None:
    """Ask the loop's endpoint for predictions."""
    from perennial.cli.deployment import find_deployment
    from perennial.cli.inference import ask
    from perennial.cli.rows import read_rows

    answered = ask(find_deployment(loop, stage=stage), read_rows(file, rows), target_variant=target_variant)
    if as_json:
        emit_json({name: getattr(answered, name) for name in ("variant", "model_version", "predictions", "error")})
    elif answered.error is None:
        out.print(f"variant {answered.variant}, model {answered.model_version}", style="dim")
        for prediction in answered.predictions:
            out.print("  ".join(f"{name} {value}" for name, value in prediction.items()), markup=False)
    else:
        err.print(answered.error, style="red", markup=False)
    if answered.error is not None:
        raise typer.Exit(ANSWER_IS_NO)


@app.command()
def status(
    loop: LoopArgument,
    watch: Annotated[bool, typer.Option("--watch", help="Keep showing it, until Ctrl-C.")] = False,
    stage: StageOption = DEFAULT_STAGE,
    as_json: JsonOption = False,
) -> None:
    """Show the champion, traffic shares, batches, runs, alarms and latest decisions."""
    from rich.live import Live

    from perennial.cli.deployment import find_deployment
    from perennial.cli.status import describe, gather

    deployment = find_deployment(loop, stage=stage)
    if as_json:
        emit_json(gather(deployment).to_json())
        return
    if not watch:
        out.print(describe(gather(deployment)))
        return
    try:
        with Live(describe(gather(deployment)), console=out, auto_refresh=False) as live:
            while True:
                time.sleep(1.0)
                live.update(describe(gather(deployment)), refresh=True)
    except KeyboardInterrupt:
        return


@app.command()
def retrain(
    loop: LoopArgument,
    reason: Annotated[str, typer.Option(help="Why; it goes on record.")],
    hyperparameter: Annotated[list[str] | None, typer.Option(help="NAME=VALUE, on top of the loop's own.")] = None,
    stage: StageOption = DEFAULT_STAGE,
    as_json: JsonOption = False,
) -> None:
    """Ask the loop to learn now."""
    from perennial.cli.deployment import find_deployment
    from perennial.cli.operate import ask_retraining

    pairs = [entry.partition("=") for entry in hyperparameter or []]
    for name, found, _ in pairs:
        if not found or not name:
            raise typer.BadParameter(f"must be NAME=VALUE. Got {name!r} instead.", param_hint="--hyperparameter")
    decision = ask_retraining(find_deployment(loop, stage=stage), reason, {name: value for name, _, value in pairs})
    if as_json:
        emit_json(decision)
    else:
        out.print(("started: " if decision["fired"] else "declined: ") + "; ".join(decision["reasons"]), markup=False)
    if not decision["fired"]:
        raise typer.Exit(ANSWER_IS_NO)


@app.command()
def rollback(
    loop: LoopArgument,
    reason: Annotated[str, typer.Option(help="Why; it goes on record.")],
    stage: StageOption = DEFAULT_STAGE,
    as_json: JsonOption = False,
) -> None:
    """Give all traffic back to the champion now, or after a promotion to the champion before, if it is kept."""
    from perennial.cli.deployment import find_deployment
    from perennial.cli.operate import roll_back

    answer = roll_back(find_deployment(loop, stage=stage), reason)
    if as_json:
        emit_json(answer)
    else:
        out.print(answer["status"] + (f": {answer['reason']}" if answer.get("reason") else ""), markup=False)
    if answer["status"] != "rolled back":
        raise typer.Exit(ANSWER_IS_NO)


@app.command()
def validate(
    loop: LoopArgument,
    file: Annotated[Path, typer.Argument(help="A batch file.")],
    curated: Annotated[Path | None, typer.Option(help="Write accepted rows here, as Parquet.")] = None,
    quarantine: Annotated[Path | None, typer.Option(help="Write bad rows here, as JSON lines.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Say which rows of a file the contract accepts, which it quarantines, and why."""
    from perennial.cli.data import validate as validate_one

    outcome = validate_one(loop, file, curated=curated, quarantine=quarantine)
    counts = {name: getattr(outcome, f"rows_{name}") for name in ("landed", "accepted", "quarantined", "blank")}
    if as_json:
        reasons = [str(reason) for reason in outcome.reasons]
        emit_json({"accepted": outcome.accepted, "rows": counts, "reasons": reasons, "counts": outcome.reason_counts})
    else:
        out.print(f"{'accepted' if outcome.accepted else 'quarantined whole'}: {file.name}", markup=False)
        out.print("  ".join(f"{count:,} {name}" for name, count in counts.items()))
        for reason in outcome.reasons:
            out.print(f"  file: {reason}", markup=False)
        for reason, count in sorted(outcome.reason_counts.items(), key=lambda pair: -pair[1]):
            out.print(f"  {count:,} rows: {reason}", markup=False)
    if not outcome.accepted:
        raise typer.Exit(ANSWER_IS_NO)


@app.command()
def profile(
    loop: Annotated[str, typer.Argument(help="Name of a folder in loops/; or `merge`, to merge stored profiles.")],
    files: Annotated[list[Path], typer.Argument(help="Batch files; after `merge`, stored profiles.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the profile goes.")],
) -> None:
    """Profile files in one pass each, or merge stored profiles exactly: `profile merge A B -o C`."""
    from perennial.cli.data import merge_files, profile_files

    made = merge_files(files) if loop == "merge" else profile_files(loop, files)
    output.write_bytes(made.to_bytes())
    out.print(f"{output}: {made.rows:,} rows, {output.stat().st_size:,} bytes", markup=False)


@app.command()
def drift(
    loop: LoopArgument,
    reference: Annotated[Path, typer.Option(help="The reference's profile.")],
    current: Annotated[Path, typer.Option(help="The window's profile.")],
    calibrate: Annotated[
        list[Path] | None, typer.Option(help="A profile of one of the reference's own batches; repeat for each.")
    ] = None,
    earlier: Annotated[
        list[Path] | None, typer.Option(help="A profile of a window since the reference; repeat for each.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write a page with plots here.")] = None,
    fail: Annotated[bool, typer.Option("--fail", help="Exit with 1 when there is drift.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare two profiles: what drifted, by how much, since when."""
    from perennial.cli.drift import compare, render, write_page

    found = compare(loop, reference=reference, current=current, calibrate_with=calibrate or [], earlier=earlier or [])
    if report is not None:
        write_page(found, report)
    if as_json:
        emit_json(found.report)
    else:
        out.print(render(found))
        if report is not None:
            out.print(f"page: {report}", markup=False)
    if fail and found.report.verdict == "drifted":
        raise typer.Exit(ANSWER_IS_NO)
