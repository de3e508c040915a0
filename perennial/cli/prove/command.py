"""`perennial prove`: says what it will do and cost, asks, does it, cleans up, and leaves one log."""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import boto3

from infra.cdk_cli import cdk_environment
from perennial import __version__
from perennial.aws.account import Account
from perennial.cli.cdk import Cdk
from perennial.cli.console import err, out
from perennial.cli.deployment import Deployment, find_deployment, make_session
from perennial.cli.doctor import ask_account, examine_loop, is_local
from perennial.cli.project_root import find_root
from perennial.cli.prove.deployed import DeployedLoop
from perennial.cli.prove.price import MOST_SECONDS, MOST_USD, proof_cost
from perennial.cli.prove.project import LOOP, STAGE, Project
from perennial.cli.prove.proof import Proof
from perennial.cli.prove.report import Log, Redaction
from perennial.cli.prove.script import Outcome, Script
from perennial.doctor import Identity, Line
from perennial.errors import EnvironmentLacking
from perennial.project import load_loop

__all__ = ["Asked", "prove"]

INSTANCE_TYPE = "ml.m5.large"
# Of one of these a new account may serve none; the first is what the local cloud has none of.
WITHOUT_QUOTA = ("ml.p4d.24xlarge", "ml.p5.48xlarge", "ml.g5.48xlarge", "ml.p3.16xlarge", "ml.inf2.48xlarge")


@dataclass(frozen=True, slots=True)
class Asked:
    """What the caller wants: a yes beforehand, only to clean up, at most so long."""

    yes: bool = False
    clean_up: bool = False
    most_seconds: float = MOST_SECONDS


def prove(asked: Asked, *, confirm: Callable[[str], bool], folder: Path | None = None) -> bool:
    """
    Run the whole script in the caller's account, or local cloud; true when everything was shown.

    Parameters
    ----------
    confirm
        Asks a person; nothing is spent before it said yes.
    folder
        Where the log goes, and the copy of the project while it is needed.

    Raises
    ------
    EnvironmentLacking
        The account can't take it; says what to do. Nothing was spent.
    """
    root = find_root()
    folder = folder or root / ".perennial" / "proofs" / datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    session = make_session()
    account = ask_account(session)
    project = Project.copy(root, folder / "project")
    project.write_loop(instance_type=INSTANCE_TYPE)
    try:
        lines = examine_loop(account, load_loop(project.root / "loops" / LOOP), STAGE)
        _refuse_unready(lines, asked)
        if not _agreed(project, session, asked, confirm):
            return False
        return _run(project, session, account, lines, asked, folder)
    finally:
        shutil.rmtree(project.root, ignore_errors=True)


def _refuse_unready(lines: Sequence[Line], asked: Asked) -> None:
    # The local cloud is bootstrapped as part of the script.
    wrong = [line for line in lines if line.verdict == "act" and not (is_local() and line.subject == "CDK bootstrap")]
    if asked.clean_up:
        wrong = [line for line in wrong if line.subject in ("credentials", "region")]
    if wrong:
        said = "\n".join(f"{line.subject}: {line.sentence}; {line.advice}" for line in wrong)
        raise EnvironmentLacking(f"the account must be ready; nothing was spent. Got:\n{said}")
    standing = [line for line in lines if "stacks of stage" in line.subject and "_COMPLETE" in line.sentence]
    if standing and not asked.clean_up:
        raise EnvironmentLacking(
            f"no stack of loop {LOOP} and stage {STAGE} must be left of an earlier proof. Got {standing[0].sentence}. "
            "Run it with --clean-up first."
        )


def _agreed(project: Project, session: boto3.Session, asked: Asked, confirm: Callable[[str], bool]) -> bool:
    if asked.clean_up or asked.yes:
        return True
    cost = proof_cost(load_loop(project.root / "loops" / LOOP), seconds=asked.most_seconds)
    if cost.usd > MOST_USD:
        raise EnvironmentLacking(f"a proof must cost at most {MOST_USD:g} USD. It would cost {cost.usd:.2f}.")
    out.print(
        f"This deploys loop {LOOP} in stage {STAGE} to region {session.region_name}, trains four models, "
        f"serves one or two of them for at most {asked.most_seconds / 60:.0f} minutes, and removes everything.",
        markup=False,
    )
    for item in cost.items:
        out.print(f"  {item.usd:6.3f} USD  {item.name}: {item.how}", markup=False)
    out.print(f"  {cost.usd:6.2f} USD  in all, by the price table of `perennial cost`", markup=False)
    return confirm(f"Spend about {cost.usd:.2f} USD")


def _run(
    project: Project, session: boto3.Session, account: Account, lines: Sequence[Line], asked: Asked, folder: Path
) -> bool:
    identity = account.identity
    assert isinstance(identity, Identity)
    log = Log(folder / f"proof-{folder.name}.log", Redaction.of_environment(identity.account, identity.arn))
    _head(log, session, lines)
    script = Script(partial(_tell, log), limit_seconds=asked.most_seconds)
    proof = Proof(
        loop=DeployedLoop(lambda: find_deployment(LOOP, session, stage=STAGE), lambda: script.time_is_up),
        project=project,
        cdk=Cdk(project.root, LOOP, STAGE, _environment(session)),
        client=_clients(session),
        instance_type=INSTANCE_TYPE,
        no_quota=_without_quota(account),
        logs=folder,
        bootstrap=f"aws://{identity.account}/{session.region_name}" if is_local() else None,
    )
    steps = [step for step in proof.steps() if step.always] if asked.clean_up else proof.steps()
    script.run(steps)
    _tail(log, proof, script.outcomes)
    out.print(f"\nlog: {os.path.relpath(log.path)} (no account, no keys, no addresses: attach it to a report)")
    return script.good


def _environment(session: boto3.Session) -> Mapping[str, str]:
    variables = {**os.environ, **cdk_environment(), "CDK_DISABLE_VERSION_CHECK": "true", "CI": "true"}
    return variables | {"AWS_REGION": str(session.region_name), "AWS_DEFAULT_REGION": str(session.region_name)}


def _clients(session: boto3.Session) -> Callable[[str], Any]:
    return Deployment(LOOP, STAGE, {}, session).client


def _without_quota(account: Account) -> str | None:
    if is_local():
        return WITHOUT_QUOTA[0]
    found = account.quotas([f"{name} for endpoint usage" for name in WITHOUT_QUOTA])
    return next((name for name in WITHOUT_QUOTA if found.get(f"{name} for endpoint usage") == 0), None)


def _head(log: Log, session: boto3.Session, lines: Sequence[Line]) -> None:
    where = "the local cloud" if is_local() else "AWS"
    log.write(
        f"perennial {__version__}: proof on {where}, region {session.region_name}",
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, Python {platform.python_version()}, boto3 {boto3.__version__}, "
        f"{platform.system()} {platform.machine()}",
        "",
        *(f"{line.verdict:9}  {line.subject}: {line.sentence}" for line in lines),
        "",
    )


def _tell(log: Log, outcome: Outcome) -> None:
    colour = {"good": "green", "bad": "red", "skipped": "yellow"}[outcome.verdict]
    out.print(f"[{colour}]{outcome.verdict:7}[/{colour}] {outcome.name} ({outcome.seconds:.0f} s)")
    (err if outcome.verdict == "bad" else out).print(f"        {outcome.sentence}", markup=False)
    moment = time.strftime("%H:%M:%S", time.gmtime())
    log.write(f"{moment}  {outcome.verdict:7}  {outcome.name} ({outcome.seconds:.0f} s): {outcome.sentence}")


def _tail(log: Log, proof: Proof, outcomes: Sequence[Outcome]) -> None:
    """What helps whoever reads the log: the loop's own record, and the last words of the CDK."""
    log.write("", "what the loop's ledger held:", *(f"  {line}" for line in proof.record))
    if all(outcome.verdict == "good" for outcome in outcomes):
        log.write("", "everything was shown, and nothing is left")
        return
    for path in sorted(proof.logs.glob("*.log")):
        if path != log.path:
            log.write("", f"== {path.name}", *path.read_text(encoding="utf-8").splitlines()[-60:])
