"""The CDK CLI, run for one deployment of a loop."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.cdk_cli import CLI, NodeMissing, install_cdk, node_home
from perennial.errors import EnvironmentLacking

__all__ = ["Cdk"]


@dataclass(frozen=True)
class Cdk:
    """
    The CDK CLI in a project, for one loop in one stage.

    Attributes
    ----------
    environment
        All variables that it gets: they say which account or local cloud it works on.
    """

    root: Path
    loop: str
    stage: str
    environment: Mapping[str, str]

    def run(self, *arguments: str, output: Path | None = None) -> str:
        """
        What a command says; also written to `output`.

        Who breaks the caller off waits for the command's end: a stack that is being changed can't be deleted.

        Raises
        ------
        EnvironmentLacking
            It failed; the message ends with what it said.
        """
        try:
            install_cdk(self.root)
            node = str(node_home() / "bin" / "node")
        except (NodeMissing, OSError, subprocess.CalledProcessError) as error:
            raise EnvironmentLacking(f"the CDK CLI must be installed. Got: {error}. Run `make synth` once.") from error
        command = [node, str(self.root / CLI), *arguments, "-c", f"loop={self.loop}", "-c", f"stage={self.stage}"]
        with tempfile.TemporaryFile("w+", encoding="utf-8") as file:
            process = subprocess.Popen(
                command, cwd=self.root, env=dict(self.environment), stdin=subprocess.DEVNULL, stdout=file,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
            try:
                process.wait()
            finally:
                process.wait()
            file.seek(0)
            answered = file.read()
        if output:
            output.write_text(answered)
        if process.returncode:
            last = "\n".join(answered.splitlines()[-25:])
            raise EnvironmentLacking(f"`cdk {arguments[0]}` must succeed. Got exit code {process.returncode}:\n{last}")
        return answered
