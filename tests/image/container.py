"""A container of AWS's scikit-learn image without Docker: its packages, true /opt/ml, a network only if it has one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from infra.packaging import BUILD

__all__ = ["IMAGE", "Container", "reason_to_skip"]

HERE = Path(__file__).parent
IMAGE = BUILD / "image"
"""The virtual environment of the image's packages: `make .build/image/.has-packages`."""
# What the image's Dockerfile sets (aws/deep-learning-containers, docker/sklearn/1.9-0, read 2026-12-01), with our own
# entry points in place of sagemaker_sklearn_container's.
ENVIRONMENT = {
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
    "PYTHONIOENCODING": "utf-8",
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "SM_INPUT": "/opt/ml/input",
    "SM_INPUT_TRAINING_CONFIG_FILE": "/opt/ml/input/config/hyperparameters.json",
    "SM_INPUT_DATA_CONFIG_FILE": "/opt/ml/input/config/inputdataconfig.json",
    "SM_CHECKPOINT_CONFIG_FILE": "/opt/ml/input/config/checkpointconfig.json",
    "SM_MODEL_DIR": "/opt/ml/model",
    "SAGEMAKER_TRAINING_MODULE": "image_glue.training:main",
    "SAGEMAKER_SERVING_MODULE": "image_glue.serving:main",
    # There is no nginx here; gunicorn, which is behind it, answers by itself.
    "SAGEMAKER_USE_NGINX": "false",
    "PYTHONPATH": str(HERE / "glue"),
}
# As root of one's own user namespace; or, where there are none, as root.
_WAYS = (("--user", "--map-root-user"), ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """
    One container, once.

    Parameters
    ----------
    base
        What it finds at /opt/ml.
    environment
        What SageMaker would set, beside what the image sets.
    isolated
        Without any network but its own loopback.
    read_only
        Folders below /opt/ml that it may not write.
    """

    base: Path
    environment: Mapping[str, str]
    isolated: bool
    read_only: Sequence[str] = ()

    def run(self, *command: str, cwd: str = "/opt/ml") -> subprocess.CompletedProcess[str]:
        """Run a program of the image to its end; what it printed is one text."""
        way = _way()
        assert way is not None, reason_to_skip()
        return _enter(way, self, command, cwd)


def reason_to_skip() -> str | None:
    """Why this machine can't run such containers; None when it can."""
    if not (IMAGE / ".has-packages").exists():
        return "the image's packages aren't installed: `make .build/image/.has-packages`, which takes a C compiler"
    if not shutil.which("unshare"):
        return "a true /opt/ml takes Linux namespaces: util-linux's unshare isn't here"
    return None if _way() is not None else f"this machine allows no mount and network namespaces: {_refusal()}"


@cache
def _way() -> tuple[str, ...] | None:
    return next((way for way in _WAYS if not _tried(way)), None)


def _refusal() -> str:
    return _tried(_WAYS[0])


@cache
def _tried(way: tuple[str, ...]) -> str:
    """What stands against this way of making namespaces; empty when nothing does."""
    empty = BUILD / "image" / "empty-opt-ml"
    (empty / "model").mkdir(parents=True, exist_ok=True)
    done = _enter(way, Container(base=empty, environment={}, isolated=True, read_only=["model"]), ["true"], "/opt/ml")
    return "" if done.returncode == 0 else done.stdout.strip() or f"unshare ended with {done.returncode}"


def _enter(
    way: Sequence[str], container: Container, command: Sequence[str], cwd: str
) -> subprocess.CompletedProcess[str]:
    spec = {
        "base": str(container.base),
        "read_only": list(container.read_only),
        "isolated": container.isolated,
        "cwd": cwd,
        "command": list(command),
    }
    network = ["--net"] if container.isolated else []
    python = str(IMAGE / "bin" / "python")
    scratch = container.base.parent / f"{container.base.name}-tmp"
    scratch.mkdir(exist_ok=True)
    return subprocess.run(
        [
            "unshare",
            *way,
            "--mount",
            *network,
            "--pid",
            "--fork",
            "--kill-child",
            python,
            str(HERE / "enter.py"),
            json.dumps(spec),
        ],
        env={
            "PATH": os.pathsep.join([str(IMAGE / "bin"), os.defpath, "/usr/sbin", "/sbin"]),
            "HOME": str(scratch),
            "TMPDIR": str(scratch),
            **ENVIRONMENT,
            **container.environment,
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
