"""
What SageMaker tells a container, read once: paths, hyperparameters, where to say why a job failed.

Only the standard library is used here, and nothing of `perennial`: this module also provides the packages that
the rest needs, from the wheels in the source bundle, where the image lacks them.

Sources: https://github.com/aws/sagemaker-training-toolkit/blob/master/ENVIRONMENT_VARIABLES.md and
https://docs.aws.amazon.com/sagemaker/latest/dg/build-your-own-processing-container.html, read 2026-11.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "BUNDLE_DIR",
    "ContainerInvalid",
    "ProcessingContainer",
    "TrainingContainer",
    "VersionsMismatch",
    "calm_threads",
    "failure_in",
    "provide_wheels",
    "refuse_other_versions",
    "runtime_versions",
]

# Where the source bundle was unpacked: the folder that holds training/.
BUNDLE_DIR = Path(__file__).resolve().parent.parent

# A pickle of an estimator is only good for the versions that wrote it.
PICKLE_VERSIONS = ("python", "scikit-learn", "numpy", "scipy", "pandas")


class ContainerInvalid(RuntimeError):
    """SageMaker, or what imitates it, did not set the container up as the contract says."""


class VersionsMismatch(RuntimeError):
    """A model was written under other versions than those that would load it."""


def _folder(environ: Mapping[str, str], name: str, default: str | None = None) -> Path:
    value = environ.get(name, default)
    if not value:
        raise ContainerInvalid(
            f"the environment variable {name} must name a folder. It is not set: is this script mode?"
        )
    return Path(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingContainer:
    """A training job as script mode shows it: two channels, hyperparameters, and where the model goes."""

    job_name: str
    dataset_dir: Path
    version_dir: Path
    model_dir: Path
    failure_file: Path
    hyperparameters: Mapping[str, str]

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> TrainingContainer:
        """
        Read the SM_* variables.

        Raises
        ------
        ContainerInvalid
            A channel or the model's folder is missing, or the hyperparameters aren't a JSON object.
        """
        return cls(
            job_name=environ.get("TRAINING_JOB_NAME", "unnamed"),
            dataset_dir=_folder(environ, "SM_CHANNEL_DATASET"),
            version_dir=_folder(environ, "SM_CHANNEL_VERSION"),
            model_dir=_folder(environ, "SM_MODEL_DIR"),
            failure_file=_folder(environ, "SM_OUTPUT_DIR", "/opt/ml/output") / "failure",
            hyperparameters=_hyperparameters(environ.get("SM_HPS", "{}")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessingContainer:
    """A processing job: inputs and output below one base folder."""

    dataset_dir: Path
    version_dir: Path
    challenger_dir: Path
    champion_dir: Path
    order_dir: Path
    output_dir: Path
    message_file: Path

    @classmethod
    def at(cls, base: Path) -> ProcessingContainer:
        """The layout below `base`, which is /opt/ml/processing on SageMaker."""
        inputs = base / "input"
        return cls(
            dataset_dir=inputs / "dataset",
            version_dir=inputs / "version",
            challenger_dir=inputs / "challenger",
            champion_dir=inputs / "champion",
            order_dir=inputs / "order",
            output_dir=base / "output",
            # SageMaker shows /opt/ml/output/message as the job's ExitMessage.
            message_file=base.parent / "output" / "message",
        )

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> ProcessingContainer:
        """The layout below PROCESSING_BASE, or where SageMaker puts it."""
        return cls.at(Path(environ.get("PROCESSING_BASE", "/opt/ml/processing")))


def _hyperparameters(text: str) -> dict[str, str]:
    """Ours as strings (the toolkit decodes what looks like JSON), without those that steer the toolkit itself."""
    try:
        values = json.loads(text)
    except ValueError as error:
        raise ContainerInvalid(f"SM_HPS must be a JSON object. Got {text[:200]!r} instead.") from error
    if not isinstance(values, dict):
        raise ContainerInvalid(f"SM_HPS must be a JSON object. Got {text[:200]!r} instead.")
    ours = {name: value for name, value in values.items() if not name.startswith("sagemaker_")}
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in ours.items()}


def calm_threads() -> None:
    """
    Let OpenMP's threads sleep while they wait for each other, instead of burning the cores that others need.

    Serving runs one worker a core, each with threads for all cores: spinning there multiplies latency under load.
    It only helps before scikit-learn is imported (libgomp reads its environment once).
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@contextmanager
def failure_in(file: Path) -> Iterator[None]:
    """
    Leave a sentence in `file` when the work inside fails, and end the process with code 1.

    The same sentence is the last line on stderr: the training toolkit overwrites the failure file with what it
    finds there.
    """
    try:
        yield
    except Exception as error:
        sentence = f"{type(error).__name__}: {_sayable(error)}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(sentence[:1000] + "\n", encoding="utf-8")
        # To the job's log alone: a library's sentence may quote a cell, and stderr ends in the job's description.
        traceback.print_exc(file=sys.stdout)
        sys.stderr.write(sentence + "\n")
        raise SystemExit(1) from error


def _sayable(error: Exception) -> str:
    """Our own sentence; of others the place where it happened, since what they say may quote data."""
    if type(error).__module__.partition(".")[0] in ("perennial", "training"):
        return str(error)
    places = [f"{Path(frame.filename).name} line {frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
    return f"at {places[-1]}; what it says may quote data, so that it stands in the job's log alone"


def runtime_versions() -> dict[str, str]:
    """Versions of what a model's pickle depends on, as they are in this process."""
    installed = {name: importlib.metadata.version(name) for name in PICKLE_VERSIONS if name != "python"}
    return {"python": ".".join(platform.python_version_tuple()[:2]), **installed}


def refuse_other_versions(recorded: Mapping[str, str], present: Mapping[str, str] | None = None) -> None:
    """
    Nothing, if a model recorded under these versions may be loaded here.

    Raises
    ------
    VersionsMismatch
        Any of them differs; the sentence names each.

    >>> refuse_other_versions({"numpy": "1.0"}, {"numpy": "2.5.1"})
    Traceback (most recent call last):
    ...
    training.container.VersionsMismatch: the model was written with numpy 1.0, but numpy 2.5.1 is here. Deploy it \
on the image it was trained on, or train it again.
    """
    here = runtime_versions() if present is None else present
    differing = [name for name in sorted({*recorded, *here}) if recorded.get(name) != here.get(name)]
    if differing:
        wrote = ", ".join(f"{name} {recorded.get(name, 'unknown')}" for name in differing)
        found = ", ".join(f"{name} {here.get(name, 'none')}" for name in differing)
        raise VersionsMismatch(
            f"the model was written with {wrote}, but {found} is here. "
            "Deploy it on the image it was trained on, or train it again."
        )


def provide_wheels(wheels_dir: Path = BUNDLE_DIR / "wheels", *, into: Path | None = None) -> Path | None:
    """
    Make the bundle's wheels importable where the interpreter doesn't already have those very versions.

    Parameters
    ----------
    wheels_dir
        Wheels of the bundle; a missing folder means that everything is installed already.
    into
        Where to keep the private folder (default: the system's temporary folder). Workers that start at once
        share it: it appears by one rename.

    Returns
    -------
    The folder put first on the import path, or None if nothing was needed.
    """
    lacking = [wheel for wheel in sorted(wheels_dir.glob("*.whl")) if not _has(wheel)]
    if not lacking:
        return None
    digest = hashlib.sha256("\n".join(wheel.name for wheel in lacking).encode()).hexdigest()[:16]
    target = (into or Path(tempfile.gettempdir())) / f"perennial-packages-{digest}"
    if not target.is_dir():
        _install(lacking, target)
    sys.path.insert(0, str(target))
    importlib.invalidate_caches()
    return target


def _has(wheel: Path) -> bool:
    name, version = wheel.name.split("-")[:2]
    try:
        return importlib.metadata.version(name) == version
    except importlib.metadata.PackageNotFoundError:
        return False


def _install(wheels: list[Path], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix="perennial-", dir=target.parent))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile"]
    command += ["--disable-pip-version-check", "--target", str(staging), *map(str, wheels)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        shutil.rmtree(staging, ignore_errors=True)
        raise ContainerInvalid(f"the bundle's wheels could not be installed: {done.stderr.strip()[-800:]}")
    try:
        staging.rename(target)
    except OSError:
        # Another worker was faster; its folder holds the same.
        shutil.rmtree(staging, ignore_errors=True)
        if not target.is_dir():
            raise
