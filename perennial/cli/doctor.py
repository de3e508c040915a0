"""`perennial doctor`: asks the account, has it judged, and says what to do."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Final
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import ProfileNotFound
from rich.console import RenderableType
from rich.table import Table

from perennial.aws.account import Account, identify
from perennial.cli.deployment import make_session
from perennial.cli.project_root import find_root, load_named_loop
from perennial.doctor import Identity, Line, Missing, diagnose_account, diagnose_loop, quota_needs
from perennial.project import Loop, find_loops
from perennial.regions import SUPPORTED_REGIONS

__all__ = ["Examined", "ask_account", "examine", "examine_loop", "is_local"]

_COLOURS: Final = {"good": "green", "warning": "yellow", "act": "red", "not asked": "dim"}


@dataclass(frozen=True)
class Examined:
    """The answer of `perennial doctor`."""

    lines: tuple[Line, ...]

    @property
    def good(self) -> bool:
        """Nothing must be done."""
        return all(line.verdict != "act" for line in self.lines)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"good": self.good, "lines": [asdict(line) for line in self.lines]}

    def render(self) -> RenderableType:
        """As a person reads it."""
        table = Table(show_header=False, box=None, pad_edge=False)
        for line in self.lines:
            colour = _COLOURS[line.verdict]
            said = f"{line.sentence}\n-> {line.advice}" if line.advice else line.sentence
            table.add_row(f"[{colour}]{line.verdict}[/{colour}]", line.subject, said)
        return table


def examine(name: str | None, stage: str) -> Examined:
    """
    Look at the account, and at one loop in it or at every loop of the project.

    Raises
    ------
    LoopUnknown, LoopInvalid
        There is no such loop, or it can't be read.
    """
    root = find_root()
    loops = [load_named_loop(one, root) for one in ([name] if name else find_loops(root / "loops"))]
    try:
        account = ask_account(make_session())
    except ProfileNotFound as error:
        unknown = Missing(str(error), "set AWS_PROFILE to one that `aws configure list-profiles` lists")
        account = ask_account(None, unknown)
    return _examined(account, loops, stage)


def _examined(account: Account, loops: Sequence[Loop], stage: str) -> Examined:
    lines = diagnose_account(account.facts(), regions=SUPPORTED_REGIONS)
    for loop in loops:
        lines += _loop_lines(account, loop, stage)
    return Examined(tuple(lines))


def _loop_lines(account: Account, loop: Loop, stage: str) -> list[Line]:
    quotas = [need.name for need in quota_needs(loop)]
    return diagnose_loop(loop, stage, account.loop_facts(loop.name, stage, quotas))


def examine_loop(account: Account, loop: Loop, stage: str) -> tuple[Line, ...]:
    """What there is to say of the account and of one loop in it, which needn't be one of the project's."""
    return _examined(account, [loop], stage).lines


def ask_account(session: boto3.Session | None, identity: Identity | Missing | None = None) -> Account:
    """The account that a session leads to; without one, the reason why there is none is its identity."""

    @cache
    def client(service: str) -> Any:
        assert session is not None
        # Credentials are good or not whatever the region; STS wants one.
        region = session.region_name or "us-east-1"
        return session.client(
            service, region_name=region, config=Config(retries={"mode": "standard", "max_attempts": 5})
        )

    found = identity or identify(client)
    return Account(client, region=session.region_name if session else None, identity=found, local=is_local())


def is_local() -> bool:
    """Whether the caller's environment leads to a local cloud and not to AWS."""
    host = urlsplit(os.environ.get("AWS_ENDPOINT_URL", "")).hostname or ""
    return host in ("127.0.0.1", "localhost", "::1")
