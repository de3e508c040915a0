"""
An evaluator of IAM policies that is not ours: npm's @cloud-copilot/iam-simulate, over AWS's own list of actions.

A development tool under the AGPL, in node_modules of this folder alone; nothing of it is shipped.
`python -m tests.iam.simulator` installs it.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.cdk_cli import cdk_environment, node_home

__all__ = ["Answer", "Call", "Policies", "install", "simulate"]

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Call:
    """A role's question; the context's keys are condition keys."""

    role: str
    action: str
    resource: str
    context: Mapping[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the evaluator says: `Allowed`, `ImplicitlyDenied`, `ExplicitlyDenied` or `Error`, and why it can't say."""

    verdict: str
    ignored: Sequence[str]
    why: str

    @property
    def is_allowed(self) -> bool:
        """Whether the call would go through."""
        return self.verdict == "Allowed"


@dataclass(frozen=True, slots=True)
class Policies:
    """
    Everything that decides in an account.

    Parameters
    ----------
    identity
        Documents by role name.
    resource
        Documents by the ARN of what they are on.
    """

    account: str
    identity: Mapping[str, Sequence[Mapping[str, Any]]]
    resource: Mapping[str, Mapping[str, Any]]

    def on(self, resource_arn: str) -> str | None:
        """The ARN of the thing whose policy counts for `resource_arn`: an object's bucket, else itself."""
        owner = resource_arn.partition("/")[0] if resource_arn.startswith("arn:aws:s3:::") else resource_arn
        return owner if owner in self.resource else None


def install() -> None:
    """Install what package-lock.json pins, unless it is there."""
    if (HERE / "node_modules" / ".package-lock.json").is_file():
        return
    npm = node_home() / "lib/node_modules/npm/bin/npm-cli.js"
    command = [str(node_home() / "bin/node"), str(npm), "ci", "--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run(command, cwd=HERE, env=cdk_environment(), check=True, stdin=subprocess.DEVNULL)


def simulate(calls: Sequence[Call], policies: Policies, folder: Path) -> list[Answer]:
    """An answer to each call; `folder` is where questions and answers are left to be looked at."""
    install()
    questions, answers = folder / "questions.json", folder / "answers.json"
    asked = [
        {
            "role": call.role,
            "action": call.action,
            "resource": call.resource,
            "context": {name: _values(value) for name, value in call.context.items()},
            "policy_of": policies.on(call.resource),
        }
        for call in calls
    ]
    told = {"account": policies.account, "identity": policies.identity, "resource": policies.resource, "calls": asked}
    questions.write_text(json.dumps(told))
    command = [str(node_home() / "bin/node"), str(HERE / "simulate.mjs"), str(questions), str(answers)]
    subprocess.run(command, cwd=HERE, env=cdk_environment(), check=True, stdin=subprocess.DEVNULL)
    return [Answer(**one) for one in json.loads(answers.read_text())]


def _values(value: Any) -> str | list[str]:
    return [str(each) for each in value] if isinstance(value, list | tuple | set) else str(value)


if __name__ == "__main__":
    install()
