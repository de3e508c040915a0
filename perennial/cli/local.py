"""The local cloud as the command line uses it: started, deployed to by the real CDK CLI, stopped."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import boto3

from infra.cdk_cli import cdk_environment
from localcloud.identity import ACCOUNT, REGION
from localcloud.runtime import SAVE_SECONDS
from localcloud.scales import Scales
from localcloud.server import Server, ServerFailed
from perennial.cli.cdk import Cdk
from perennial.cli.deployment import Deployment, find_deployment
from perennial.errors import EnvironmentLacking
from perennial.stage import DEFAULT_STAGE

__all__ = ["DEMO_SCALES", "UP_SCALES", "LocalCloud", "local_cloud"]

# The demo squeezes a year into minutes: a bake of 30 minutes takes 4.5 s, an alarm period of a minute 1 s, eight weeks
# of the schedule 12 s.
DEMO_SCALES = Scales(waits=400, alarms=60, schedules=400_000)
# For hands-on use: a bake takes half a minute, an alarm period 6 s, a day 24 minutes.
UP_SCALES = Scales(waits=60, alarms=10, schedules=60)


def _free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise EnvironmentLacking(
                f"port {port} must be free. Got one in use instead: stop what listens there, or choose another with "
                "--port."
            ) from error


class LocalCloud:
    """A running local cloud and the loop deployed to it, in one stage."""

    def __init__(self, server: Server, root: Path, loop: str, stage: str = DEFAULT_STAGE) -> None:
        self.server, self.root, self.loop, self.stage = server, root, loop, stage

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables for any AWS tool, on top of the caller's own."""
        return {**cdk_environment(), **self.server.environment(), "CDK_DISABLE_VERSION_CHECK": "true", "CI": "true"}

    def cdk(self, *arguments: str, output: Path | None = None) -> None:
        """
        Run the CDK CLI against the local cloud.

        Raises
        ------
        EnvironmentLacking
            It failed; the message ends with what it said.
        """
        Cdk(self.root, self.loop, self.stage, self.environment).run(*arguments, output=output)

    def synthesize(self, assembly: Path, **context: str) -> None:
        """Synthesize once, with this context of the CDK; what is deployed afterwards is exactly this."""
        said = [part for name, value in context.items() for part in ("-c", f"{name}={value}")]
        self.cdk("synth", "-q", "--output", str(assembly), *said, output=self.server.state_dir / "synth.log")

    def deploy(self, assembly: Path) -> None:
        """Bootstrap the environment and deploy every stack of the assembly."""
        self.cdk(
            "bootstrap",
            f"aws://{ACCOUNT}/{REGION}",
            "--app",
            str(assembly),
            output=self.server.state_dir / "bootstrap.log",
        )
        self.cdk(
            "deploy", "--all", "--app", str(assembly), "--require-approval", "never", "--concurrency", "4",
            "--outputs-file", str(self.server.state_dir / "outputs.json"), output=self.server.state_dir / "deploy.log",
        )  # fmt: skip

    def session(self) -> boto3.Session:
        """A session for this process; sets the endpoint for it."""
        os.environ.update(self.server.environment())
        return boto3.Session(region_name=REGION)

    def deployment(self) -> Deployment:
        """The deployed loop."""
        return find_deployment(self.loop, self.session(), stage=self.stage)


@contextmanager
def local_cloud(
    root: Path,
    loop: str,
    *,
    port: int,
    state_dir: Path,
    scales: Scales,
    stage: str = DEFAULT_STAGE,
    passing: bool = False,
    record: Path | None = None,
) -> Iterator[LocalCloud]:
    """
    A local cloud that is stopped at the end, its state saved; while it runs too, unless it is a `passing` one.

    What roles ask for is appended to the file `record`.

    Raises
    ------
    EnvironmentLacking
        The port is in use, or it doesn't come up.
    """
    if port:
        _free(port)
    save_seconds = 0 if passing else SAVE_SECONDS
    server = Server(port=port, state_dir=state_dir, scales=scales, save_seconds=save_seconds, record=record)
    try:
        server.start()
    except ServerFailed as error:
        raise EnvironmentLacking(f"the local cloud must start. Got: {error}") from error
    try:
        yield LocalCloud(server, root, loop, stage)
    finally:
        server.stop()
