"""One synthesis a session: what `cdk deploy` would deploy, as data."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra.cdk_cli import node_home
from infra.packaging import ROOT
from perennial import keys

# Before anything imports aws_cdk: jsii starts its Node at once.
os.environ.setdefault("JSII_NODE", str(node_home() / "bin" / "node"))

LOOP = "bikeshare"
STAGE = "dev"
PARTS = ("Data", "Serving", "Learning", "Observability")


@dataclass(frozen=True)
class Assembly:
    """The synthesized templates of one loop by part, and what cdk-nag said of them."""

    folder: Path
    templates: dict[str, dict[str, Any]]
    report: dict[str, Any]

    def resources(self, *types: str) -> list[tuple[str, str, dict[str, Any]]]:
        """(part, logical id, resource) of all resources of these types."""
        return [
            (part, name, resource)
            for part, template in self.templates.items()
            for name, resource in template["Resources"].items()
            if not types or resource["Type"] in types
        ]

    def one(self, part: str, type_name: str, beginning: str) -> tuple[str, dict[str, Any]]:
        """The only resource of that type whose logical id begins so."""
        found = [
            (name, resource)
            for name, resource in self.templates[part]["Resources"].items()
            if resource["Type"] == type_name and name.startswith(beginning)
        ]
        assert len(found) == 1, f"{beginning}: {[name for name, _ in found]}"
        return found[0]


@pytest.fixture(scope="session")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    """Synthesis fails by itself where cdk-nag or CloudFormation's own rules find anything."""
    return synthesized(tmp_path_factory.mktemp("cdk") / "out", context={"loop": LOOP})


@pytest.fixture(scope="session")
def earning_assembly(tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    """The same loop with a business trigger, which makes it one that has every function."""
    from perennial.project import parse_loop

    toml = (ROOT / "loops" / LOOP / "loop.toml").read_text()
    earning = toml.replace('\nlabel = "y"', '\nvalue = "temp"\nlabel = "y"') + "\n[triggers.business]\n"
    return synthesized(tmp_path_factory.mktemp("cdk") / "out", loops=[parse_loop(earning, folder_name=LOOP)])


def template(folder: Path, part: str, *, loop: str = LOOP, stage: str = STAGE) -> dict[str, Any]:
    """One synthesized template."""
    found: dict[str, Any] = json.loads((folder / f"{keys.stack_name(loop, stage, part)}.template.json").read_text())
    return found


def synthesized(folder: Path, *, stage: str = STAGE, **app: Any) -> Assembly:
    from infra.stacks import make_app

    make_app(outdir=str(folder), **app).synth()
    return Assembly(
        folder=folder,
        templates={part: template(folder, part, stage=stage) for part in PARTS},
        report=json.loads((folder / "validation-report.json").read_text()),
    )
