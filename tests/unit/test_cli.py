"""The command line without any cloud: what it says when the input is wrong, and what scripts may read."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from loops.bikeshare import stream
from perennial.cli import app as cli

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Ran:
    """One command: its exit code and what it wrote, line breaks of the terminal taken out."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """Standard error in one line."""
        return " ".join(self.err.split())


@pytest.fixture
def perennial(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    """Runs the command line in this process, in the project's folder, with no way to any cloud."""
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("PERENNIAL_ROOT", raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    def run(*arguments: str) -> Ran:
        monkeypatch.setattr("sys.argv", ["perennial", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.run()
        written = capfd.readouterr()
        return Ran(int(ended.value.code or 0), written.out, written.err)

    return run


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of one's own with the loop bikeshare in it; its loop.toml may be changed."""
    (tmp_path / "cdk.json").write_text("{}")
    folder = tmp_path / "loops" / "bikeshare"
    folder.mkdir(parents=True)
    for name in ("loop.toml", "model.py", "stream.py"):
        shutil.copy(ROOT / "loops" / "bikeshare" / name, folder)
    monkeypatch.setenv("PERENNIAL_ROOT", str(tmp_path))
    return folder


@pytest.fixture
def week(tmp_path: Path) -> Path:
    """A good batch file."""
    path = tmp_path / "week.csv"
    path.write_bytes(stream.week(0).batch_csv())
    return path


@pytest.mark.parametrize(
    "command",
    [
        ("check",),
        ("validate", "{}", "week.csv"),
        ("profile", "{}", "week.csv", "-o", "out"),
        ("up",),
        ("demo",),
    ],
)
def test_a_command_on_an_unknown_loop_says_which_exist(perennial, command: Sequence[str]):
    given = [part.format("bikesare") for part in command]
    ran = perennial(*given, *(["bikesare"] if "bikesare" not in given else []))
    assert ran.code == 2
    assert "Got 'bikesare' instead" in ran.said
    assert "one of: bikeshare" in ran.said
    assert "Did you mean 'bikeshare'?" in ran.said
    assert ran.out == ""


def test_a_command_outside_of_a_project_says_where_it_belongs(perennial, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = perennial("check", "bikeshare")
    assert ran.code == 2
    assert "must be inside a project with loops/ and cdk.json" in ran.said


@pytest.mark.parametrize("command", ["up", "demo"])
def test_a_port_in_use_says_so_and_nothing_is_started(perennial, project: Path, command: str):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ran = perennial(command, "bikeshare", "--port", str(port))
    assert ran.code == 2
    assert f"port {port} must be free. Got one in use instead" in ran.said
    assert "--port" in ran.said
    assert not list(project.parents[1].glob(".perennial/*/address"))


# What stands in loop.toml, what a person made of it, and what must be said about it.
MISTAKES = {
    'task = "binary"': ('task = "binry"', "binary"),
    "max_invalid_rate = 0.05 ": ("max_invalid_rate = 5 ", "max_invalid_rate"),
    'window = "84d" ': ('window = "84 moons" ', "window"),
    "non_inferiority = 0.02 ": ("non_inferiorty = 0.02 ", "non_inferiority"),
    "steps = [0.2, 0.5, 1.0]": ("steps = [0.5, 0.2, 1.0]", "steps"),
}


def _broken(folder: Path) -> dict[int, str]:
    """Makes five mistakes in a loop.toml: what must be said about each, by line."""
    path = folder / "loop.toml"
    lines = path.read_text().splitlines()
    expected = {}
    for right, (wrong, word) in MISTAKES.items():
        (number,) = [number for number, line in enumerate(lines) if line.startswith(right)]
        lines[number] = lines[number].replace(right, wrong)
        expected[number + 1] = word
    path.write_text("\n".join(lines) + "\n")
    return expected


def test_a_loop_toml_with_five_mistakes_lists_all_five_with_their_lines(perennial, project):
    expected = _broken(project)
    ran = perennial("check", "bikeshare")
    assert ran.code == 2
    said = dict.fromkeys(expected, "")
    lines = ran.err.splitlines()
    assert len(lines) == 5, ran.err
    for line in lines:
        place, _, sentence = line.removeprefix("loop.toml:").partition(": ")
        said[int(place)] = sentence
    for number, word in expected.items():
        assert word in said[number], (number, said[number])


def test_five_mistakes_stop_every_command_that_reads_the_loop(perennial, project, week):
    _broken(project)
    for command in (("validate", "bikeshare", str(week)), ("up", "bikeshare"), ("demo", "bikeshare")):
        ran = perennial(*command)
        assert (ran.code, len(ran.err.splitlines())) == (2, 5), command


def test_a_model_that_raises_is_an_answer_of_no_with_what_to_mend(perennial, project):
    (project / "model.py").write_text("def build_estimator(hyperparameters):\n    raise KeyError('depth')\n")
    ran = perennial("check", "bikeshare", "--json")
    assert ran.code == 1
    found = json.loads(ran.out)
    assert found["good"] is False
    assert all(set(finding) == {"check", "sentence", "advice"} for finding in found["findings"])
    assert any("depth" in finding["sentence"] for finding in found["findings"])


@pytest.mark.parametrize(
    "command",
    [
        ("validate", "bikeshare", "{}"),
        ("profile", "bikeshare", "{}", "-o", "out.profile"),
        ("profile", "merge", "{}", "-o", "out.profile"),
        ("drift", "bikeshare", "--reference", "{}", "--current", "{}"),
    ],
)
def test_a_missing_file_is_named(perennial, tmp_path, command: Sequence[str]):
    missing = tmp_path / "missing.csv"
    ran = perennial(*(part.format(missing) for part in command))
    assert ran.code == 2
    assert f"the file must exist. Got {missing} instead." in ran.said


def test_check_as_json(perennial):
    ran = perennial("check", "bikeshare", "--json")
    assert ran.code == 0
    found = json.loads(ran.out)
    assert {"loop", "digest", "good", "findings", "idle_month_usd", "batch_usd", "large_batch_usd", "cycle_usd"} == set(
        found
    )
    assert (found["loop"], found["good"], found["findings"]) == ("bikeshare", True, [])
    assert all(found[name] > 0 for name in ("idle_month_usd", "batch_usd", "large_batch_usd", "cycle_usd"))


def test_validate_as_json_counts_and_gives_reasons(perennial, week):
    header, first, *more = week.read_text().splitlines()
    cells = first.split(",")
    cells[header.split(",").index("season")] = "9"
    week.write_text("\n".join([header, ",".join(cells), *more]) + "\n")
    ran = perennial("validate", "bikeshare", str(week), "--json")
    assert ran.code == 0
    found = json.loads(ran.out)
    assert set(found) == {"accepted", "rows", "reasons", "counts"}
    assert found["rows"] == {"landed": 161, "accepted": 160, "quarantined": 1, "blank": 0}
    (reason,) = found["counts"]
    assert "season" in reason and found["counts"][reason] == 1


def test_a_file_that_is_refused_whole_is_an_answer_of_no(perennial, week):
    week.write_text("\n".join(week.read_text().splitlines()[:10]) + "\n")
    ran = perennial("validate", "bikeshare", str(week), "--json")
    assert ran.code == 1
    found = json.loads(ran.out)
    assert found["accepted"] is False
    assert any("24" in reason for reason in found["reasons"])


def test_drift_as_json_and_as_an_exit_code(perennial, tmp_path):
    for number in (0, 30):
        path = tmp_path / f"{number}.csv"
        path.write_bytes(b"".join(_joined(range(number, number + 8))))
        assert perennial("profile", "bikeshare", str(path), "-o", str(path.with_suffix(".profile"))).code == 0
    winter, summer = (str(tmp_path / f"{number}.profile") for number in (0, 30))
    ran = perennial("drift", "bikeshare", "--reference", winter, "--current", summer, "--json", "--fail")
    assert ran.code == 1
    found = json.loads(ran.out)
    assert found["verdict"] == "drifted"
    assert "temp" in {column["name"] for column in found["columns"] if column["drifted"]}
    same = perennial("drift", "bikeshare", "--reference", winter, "--current", winter, "--json", "--fail")
    assert (same.code, json.loads(same.out)["verdict"] == "drifted") == (0, False)


def _joined(weeks: range):
    for number in weeks:
        header, rows = stream.week(number).batch_csv().split(b"\n", 1)
        yield rows if number != weeks.start else header + b"\n" + rows


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment without any credentials, a region or a local cloud."""
    for name in list(os.environ):
        if name.startswith("AWS_") and name != "AWS_EC2_METADATA_DISABLED":
            monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))


def test_doctor_without_credentials_says_which_are_missing_and_goes_on(perennial, nobody):
    ran = perennial("doctor", "bikeshare", "--json")
    assert ran.code == 1
    answer = json.loads(ran.out)
    lines = {line["subject"]: line for line in answer["lines"]}
    assert not answer["good"]
    assert "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in lines["credentials"]["sentence"]
    assert lines["region"]["verdict"] == "act"
    assert lines["CDK bootstrap"]["sentence"] == "it takes credentials"
    assert lines["bikeshare: cost"]["verdict"] == "good"


def test_doctor_with_half_a_pair_of_keys_names_the_other_half(perennial, nobody, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    ran = perennial("doctor", "bikeshare")
    assert ran.code == 1
    assert "AWS_SECRET_ACCESS_KEY is missing" in " ".join(ran.out.split())


def test_doctor_with_an_unknown_profile_says_so(perennial, nobody, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    ran = perennial("doctor", "bikeshare")
    assert ran.code == 1
    assert "(nobody) could not be found" in " ".join(ran.out.split())


def test_doctor_of_a_loop_that_is_not_there_is_wrong_input(perennial, nobody):
    ran = perennial("doctor", "bikeshar")
    assert ran.code == 2
    assert "bikeshare" in ran.said


def test_doctor_needs_no_node(perennial, nobody):
    program = (
        "import sys; sys.argv = ['perennial', 'doctor', 'bikeshare', '--json']\n"
        "from perennial.cli import app\n"
        "try:\n    app.run()\nfinally:\n    assert 'aws_cdk' not in sys.modules, 'importing the CDK starts a Node'\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
