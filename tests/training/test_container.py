"""What SageMaker says is read once and typed; what the image lacks comes from the bundle."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from perennial.errors import DatasetTooSmall
from training.container import (
    ContainerInvalid,
    ProcessingContainer,
    TrainingContainer,
    VersionsMismatch,
    failure_in,
    provide_wheels,
    refuse_other_versions,
    runtime_versions,
)

CHANNELS = {"SM_CHANNEL_DATASET": "/d", "SM_CHANNEL_VERSION": "/v", "SM_MODEL_DIR": "/m"}


def make_wheel(folder: Path, name: str, version: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        info = f"{name}-{version}.dist-info"
        archive.writestr(f"{name}.py", f"VERSION = {version!r}\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return wheel


def test_hyperparameters_are_text_again_and_without_those_of_the_toolkit() -> None:
    hps = '{"learning_rate": 0.1, "max_iter": 80, "unknown_category": "error", "sagemaker_program": "train.py"}'
    container = TrainingContainer.from_environment({**CHANNELS, "SM_HPS": hps})
    assert container.hyperparameters == {"learning_rate": "0.1", "max_iter": "80", "unknown_category": "error"}


def test_a_missing_channel_is_named() -> None:
    with pytest.raises(ContainerInvalid, match="SM_CHANNEL_DATASET must name a folder"):
        TrainingContainer.from_environment({})


def test_hyperparameters_that_are_no_json_object_are_refused() -> None:
    with pytest.raises(ContainerInvalid, match="SM_HPS must be a JSON object"):
        TrainingContainer.from_environment({**CHANNELS, "SM_HPS": "[1]"})


def test_the_processing_job_lies_where_sagemaker_puts_it_unless_it_was_moved() -> None:
    assert ProcessingContainer.from_environment({}).output_dir == Path("/opt/ml/processing/output")
    moved = ProcessingContainer.from_environment({"PROCESSING_BASE": "/j/processing"})
    assert (moved.dataset_dir, moved.message_file) == (Path("/j/processing/input/dataset"), Path("/j/output/message"))


def test_a_failure_leaves_one_sentence_and_ends_the_process(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stopped, failure_in(tmp_path / "deep" / "failure"):
        raise DatasetTooSmall("rows must be labelled. Got none instead.")
    assert stopped.value.code == 1
    assert (tmp_path / "deep" / "failure").read_text() == "DatasetTooSmall: rows must be labelled. Got none instead.\n"


def test_p61_what_a_library_says_of_a_cell_stays_in_the_jobs_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """SageMaker shows the failure file, or else stderr, in the job's description, which goes into the ledger."""
    with pytest.raises(SystemExit), failure_in(tmp_path / "failure"):
        float("jane.doe@example.org")
    told = capsys.readouterr()
    sentence = (tmp_path / "failure").read_text()
    assert sentence == told.err
    assert sentence.startswith("ValueError: at test_container.py line ")
    assert "jane.doe" not in sentence
    assert "jane.doe" in told.out


@pytest.mark.parametrize("package", sorted(runtime_versions()))
def test_a_model_of_any_other_version_is_refused_by_name(package: str) -> None:
    recorded = {**runtime_versions(), package: "0.1"}
    with pytest.raises(VersionsMismatch, match=f"written with {package} 0.1, but {package} "):
        refuse_other_versions(recorded)


def test_a_model_that_says_nothing_of_its_versions_is_refused() -> None:
    with pytest.raises(VersionsMismatch, match="numpy unknown"):
        refuse_other_versions({})


def test_what_is_there_in_the_right_version_is_not_installed_again(tmp_path: Path) -> None:
    make_wheel(tmp_path / "wheels", "numpy", runtime_versions()["numpy"])
    assert provide_wheels(tmp_path / "wheels", into=tmp_path) is None
    assert provide_wheels(tmp_path / "nowhere", into=tmp_path) is None


def test_a_lacking_wheel_is_installed_without_a_package_index_and_only_once(tmp_path: Path) -> None:
    make_wheel(tmp_path / "wheels", "perennial_nothing", "1.2")
    program = (
        "import sys; from pathlib import Path; from training.container import provide_wheels\n"
        "target = provide_wheels(Path('wheels'), into=Path('.').resolve())\n"
        "import perennial_nothing; print(perennial_nothing.VERSION, target.name, target.stat().st_mtime_ns)\n"
        "assert provide_wheels(Path('wheels'), into=Path('.').resolve()) is None"
    )
    root = Path(__file__).resolve().parent.parent.parent
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=tmp_path,
            env={"PYTHONPATH": str(root), "PIP_INDEX_URL": "http://127.0.0.1:9/"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for _ in range(2)
    }
    assert len(said) == 1
    assert next(iter(said)).startswith("1.2 perennial-packages-")
