"""
What the scikit-learn image does around a user's program: variables, arguments, requirements, failure message.

Imitates the PyPI package sagemaker-training, which the image runs; its documentation, "Environment variables", names
each SM_* variable (read 2026-11-24).
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PYTHON = (sys.executable, "-P", str(Path(__file__).parent / "container" / "image.py"))
"""The image's interpreter: this one, without the checkout that it may know of."""

_RESERVED = "sagemaker_"
_TRACEBACK = "Traceback (most recent call last)"
_ML = re.compile(r"(?<![\w./-])/opt/ml(?=/|$)")
MESSAGE_CHARACTERS = 700


def split_hyperparameters(raw: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """
    The user's hyperparameters, decoded, and SageMaker's own.

    The SDK writes values as JSON, CloudFormation and Step Functions as they are: both are understood.

    >>> split_hyperparameters({"trees": "10", "name": "x", "sagemaker_program": '"train.py"'})
    ({'name': 'x', 'trees': 10}, {'sagemaker_program': 'train.py'})
    """
    user = {name: _decoded(value) for name, value in sorted(raw.items()) if not name.startswith(_RESERVED)}
    own = {name: str(_decoded(value)) for name, value in raw.items() if name.startswith(_RESERVED)}
    return user, own


def _decoded(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def arguments(user: Mapping[str, Any]) -> list[str]:
    """
    The program's command line: `--name value`, and `-c value` for a single letter.

    >>> arguments({"c": 1, "flags": ["a"], "trees": 10})
    ['-c', '1', '--flags', '["a"]', '--trees', '10']
    """
    return [part for name, value in user.items() for part in (f"{'-' if len(name) == 1 else '--'}{name}", _text(value))]


def _text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, (dict, list)) else str(value)


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """
    What the variables of a training job tell of.

    Parameters
    ----------
    user, own
        The user's hyperparameters, and SageMaker's, as `split_hyperparameters` gives them.
    base
        The directory that stands for /opt/ml.
    channels
        The input configuration of each channel, by name.
    """

    user: Mapping[str, Any]
    own: Mapping[str, str]
    base: Path
    job_name: str
    job_arn: str
    channels: Mapping[str, Mapping[str, Any]]
    region: str

    def variables(self) -> dict[str, str]:
        """Every SM_* variable, and those that name the job."""
        named = {f"SM_CHANNEL_{name.upper()}": self.base / "input" / "data" / name for name in self.channels}
        named |= {f"SM_HP_{name.upper()}": value for name, value in self.user.items()}
        return {name: _text(value) for name, value in (self._folders() | self._program() | _HOST | named).items()}

    def _folders(self) -> dict[str, Any]:
        base = self.base
        return {
            "SM_MODEL_DIR": base / "model",
            "SM_INPUT_DIR": base / "input",
            "SM_INPUT_CONFIG_DIR": base / "input" / "config",
            "SM_INPUT_DATA_CONFIG": dict(self.channels),
            "SM_CHANNELS": sorted(self.channels),
            "SM_OUTPUT_DIR": base / "output",
            "SM_OUTPUT_DATA_DIR": base / "output" / "data",
            "SM_OUTPUT_INTERMEDIATE_DIR": base / "output" / "intermediate",
            "SAGEMAKER_BASE_DIR": base,
        }

    def _program(self) -> dict[str, Any]:
        program = self.own.get("sagemaker_program", "")
        return {
            "SM_HPS": dict(self.user),
            "SM_USER_ARGS": arguments(self.user),
            "SM_USER_ENTRY_POINT": program,
            "SM_MODULE_NAME": program.removesuffix(".py"),
            "SM_MODULE_DIR": self.own.get("sagemaker_submit_directory", ""),
            "SM_FRAMEWORK_MODULE": "sagemaker_sklearn_container.training:main",
            "SM_FRAMEWORK_PARAMS": {},
            "SM_LOG_LEVEL": self.own.get("sagemaker_container_log_level", "20"),
            "TRAINING_JOB_NAME": self.job_name,
            "TRAINING_JOB_ARN": self.job_arn,
            "SAGEMAKER_JOB_NAME": self.job_name,
            "SAGEMAKER_REGION": self.own.get("sagemaker_region", self.region),
        }


RESOURCES: dict[str, Any] = {"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "lo"}
_HOST: dict[str, Any] = {
    "SM_CURRENT_HOST": "algo-1",
    "SM_HOSTS": ["algo-1"],
    "SM_NETWORK_INTERFACE_NAME": "lo",
    "SM_RESOURCE_CONFIG": RESOURCES,
    "SM_NUM_CPUS": os.cpu_count() or 1,
    "SM_NUM_GPUS": 0,
    "SM_NUM_NEURONS": 0,
}


def process_environment(folder: Path) -> dict[str, str]:
    """
    What every process gets and nothing of the host's environment: a path, a home, a locale.

    One thread a process: a laptop runs a training job, both variants and the functions side by side, and threads that
    spin for a core which another process holds make small fits a hundred times slower.
    """
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    return {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.defpath]),
        "HOME": str(folder / "tmp"),
        "TMPDIR": str(folder / "tmp"),
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def command(program: str, code: Path, args: Sequence[str]) -> list[str]:
    """How a program of the bundle is run: by this interpreter, or by sh."""
    if program.endswith(".sh"):
        return ["/bin/sh", str(code / program), *args]
    return [*PYTHON, str(code / program), *args]


def install_command(code: Path, target: Path) -> list[str] | None:
    """
    How the bundle's requirements are installed into `target`; None when it has none.

    Only what this interpreter lacks is installed, and never from a package index: the bundle brings its wheels and
    names them with `--find-links`, as an endpoint without network has to.
    """
    if not (code / "requirements.txt").exists():
        return None
    return [sys.executable, str(Path(__file__).parent / "container" / "requirements.py"), str(code), str(target)]


def in_directory(text: str, base: Path) -> str:
    """
    `text` with paths under /opt/ml leading into `base`.

    >>> in_directory("--out=/opt/ml/processing/output", Path("/j"))
    '--out=/j/processing/output'
    >>> in_directory("s3://b/opt/ml/x", Path("/j"))
    's3://b/opt/ml/x'
    """
    return _ML.sub(str(base).replace("\\", "\\\\"), text)


def failure_message(log: str, argv: Sequence[str], exit_code: int) -> str:
    """What the toolkit writes as reason when the program wrote none of its own."""
    tail = log[log.rfind(_TRACEBACK) :] if _TRACEBACK in log else log
    error = "\n".join(tail.strip().splitlines()[-6:])[-MESSAGE_CHARACTERS:]
    shown = ["python", *argv[len(PYTHON) :]] if tuple(argv[: len(PYTHON)]) == PYTHON else list(argv)
    shown[1] = Path(shown[1]).name
    return f'ExecuteUserScriptError:\nExitCode {exit_code}\nErrorMessage "{error}"\nCommand "{" ".join(shown)[:200]}"'
