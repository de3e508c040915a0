"""The commands of docs/local-cloud.md, run as they stand there, by the AWS CLI itself."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from loops.bikeshare import stream
from tests.loop.conftest import ROOT, Cycle
from tests.loop.journey import LOOP, Journey, aws_cli

pytestmark = pytest.mark.local_cloud

READS_ENDPOINT_URL = (2, 13)
_MARK = "@@ "


def _version(program: str) -> tuple[int, ...]:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"aws-cli/(\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _programs() -> dict[str, str]:
    """The AWS CLI of the tests' own environment, which is version 1, and a version 2 if the machine has one."""
    programs = {"1": aws_cli()}
    second = os.environ.get("AWS_CLI_2") or shutil.which("aws", path="/usr/local/bin:/usr/bin:/opt/homebrew/bin")
    if second and _version(second) >= READS_ENDPOINT_URL:
        programs["2"] = second
    return programs


PROGRAMS = _programs()
needs_version_2 = pytest.mark.skipif("2" not in PROGRAMS, reason="no AWS CLI of version 2.13 or later is installed")


def _script() -> str:
    page = (ROOT / "docs" / "local-cloud.md").read_text(encoding="utf-8")
    found = re.search(r"<!-- commands -->\n```sh\n(.*?)```", page, re.DOTALL)
    assert found
    assert found[1].startswith(f"LOOP={LOOP} STAGE=dev\n")
    return found[1]


def _marked(script: str, version: str) -> str:
    """The script, saying each plain `aws` command before its answer; what version 1 lacks left out."""
    lines = []
    for line in script.replace("\\\n", "").splitlines():
        if version == "1" and line.startswith("aws logs tail"):
            continue
        if line.startswith("aws "):
            lines.append(f"echo '{_MARK}{' '.join(line.split()[1:3])}'")
        lines.append(line)
    return "\n".join(lines)


@pytest.fixture(scope="module", params=sorted(PROGRAMS))
def answers(
    request: pytest.FixtureRequest, journey: Journey, promoted: Cycle, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, list[str]]:
    """What each command printed, by the command."""
    folder = tmp_path_factory.mktemp(f"cli-{request.param}")
    (folder / "bin").mkdir()
    (folder / "bin" / "aws").symlink_to(PROGRAMS[request.param])
    (folder / "week.csv").write_bytes(stream.week(0).batch_csv())
    environment = {
        **os.environ, **journey.cloud.server.environment(),
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "AWS_PAGER": "", "AWS_DEFAULT_OUTPUT": "json",
    }  # fmt: skip
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", _marked(_script(), request.param)],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = {"answer.json": [(folder / "answer.json").read_text()]}
    for part in done.stdout.split(_MARK)[1:]:
        command, _, said = part.partition("\n")
        found.setdefault(command, []).append(said)
    return found


def _told(answers: Mapping[str, list[str]], command: str) -> Any:
    return json.loads(answers[command][-1])


def test_s3_cp_says_that_it_uploaded(answers: Mapping[str, list[str]], journey: Journey) -> None:
    assert f"to s3://{journey.deployment['LandingBucket']}/batches/week.csv" in answers["s3 cp"][0]


def test_stepfunctions_show_the_run_and_its_history(answers: Mapping[str, list[str]], promoted: Cycle) -> None:
    executions = _told(answers, "stepfunctions list-executions")["executions"]
    assert promoted.run_id in {one["name"] for one in executions}
    events = _told(answers, "stepfunctions get-execution-history")["events"]
    assert events[0]["type"] == "ExecutionStarted"


def test_sagemaker_shows_jobs_packages_and_the_endpoint(answers: Mapping[str, list[str]], journey: Journey) -> None:
    assert _told(answers, "sagemaker describe-training-job")["TrainingJobName"].startswith(LOOP)
    packages = _told(answers, "sagemaker list-model-packages")["ModelPackageSummaryList"]
    assert {one["ModelPackageGroupName"] for one in packages} == {journey.deployment["ModelPackageGroupName"]}
    endpoint = _told(answers, "sagemaker describe-endpoint")
    assert (endpoint["EndpointName"], endpoint["EndpointStatus"]) == (journey.deployment["EndpointName"], "InService")


def test_the_endpoint_answers_from_the_variant_that_is_asked_for(answers: Mapping[str, list[str]]) -> None:
    variants = [one["VariantName"] for one in _told(answers, "sagemaker describe-endpoint")["ProductionVariants"]]
    said = [json.loads(text)["InvokedProductionVariant"] for text in answers["sagemaker-runtime invoke-endpoint"]]
    assert len(said) == 2
    assert said[1] == variants[0]
    assert len(json.loads(answers["answer.json"][0])["predictions"]) == 2


def test_alarms_rules_and_the_catalog_are_listed(answers: Mapping[str, list[str]]) -> None:
    metric, composite = (json.loads(said) for said in answers["cloudwatch describe-alarms"])
    assert metric["MetricAlarms"]
    assert len(composite["CompositeAlarms"]) == 2
    assert _told(answers, "events list-rules")["Rules"]
    assert len(_told(answers, "dynamodb scan")["Items"]) == 5


@needs_version_2
def test_logs_tail_shows_what_the_pattern_lets_through(answers: Mapping[str, list[str]]) -> None:
    if "logs tail" not in answers:
        pytest.skip("version 1 has no logs tail")
    lines = answers["logs tail"][0].splitlines()
    assert lines
    assert all('"batch validated"' in line for line in lines)


@pytest.fixture
def following(journey: Journey, promoted: Cycle) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """`logs tail --follow` on the log of validate_batch."""
    groups = journey.client("logs").describe_log_groups()["logGroups"]
    group = next(one["logGroupName"] for one in groups if "ValidateBatch" in one["logGroupName"])
    environment = {**os.environ, **journey.cloud.server.environment(), "PYTHONUNBUFFERED": "1"}
    command = [PROGRAMS["2"], "logs", "tail", group, "--follow", "--since", "1d", "--format", "short"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    yield group, process
    process.kill()
    process.wait()


@needs_version_2
def test_logs_tail_follows_what_lands_meanwhile(
    journey: Journey, following: tuple[str, subprocess.Popen[str]], tmp_path: Path
) -> None:
    _, process = following
    assert process.stdout is not None
    # What was logged before it began shows that it has begun.
    next(line for line in process.stdout if '"batch validated"' in line)
    # A row less than any file before: a batch that no earlier line tells of.
    body = b"".join(stream.week(0).batch_csv().splitlines(keepends=True)[:-1])
    landed = journey.land("batches", "followed.csv", body)
    batch_id = journey.await_landed([landed])[landed]["batch_id"]
    line = next(line for line in process.stdout if '"batch validated"' in line and batch_id in line)
    assert '"accepted"' in line
