"""The frame of the proof: each step gets a verdict, time and money are bounded, and cleaning up always happens."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from perennial.cli.prove.price import MOST_USD, proof_cost
from perennial.cli.prove.project import DAYS, LOOP, Project, days
from perennial.cli.prove.report import Log, Redaction
from perennial.cli.prove.script import Bad, Outcome, Script, Skipped, Step
from perennial.project import load_loop

ACCOUNT = "210987654321"


def good() -> str:
    return "seen"


def run(*steps: Step, limit_seconds: float = 3600, clock: list[float] | None = None) -> dict[str, Outcome]:
    told: list[Outcome] = []
    moments = clock or [0.0]
    script = Script(told.append, limit_seconds=limit_seconds, clock=lambda: moments[0])
    script.run(steps)
    assert told == script.outcomes
    return {outcome.name: outcome for outcome in told}


def test_what_a_step_saw_is_its_sentence():
    assert run(Step("a", good))["a"] == Outcome("a", "good", "seen", 0.0)


@pytest.mark.parametrize(
    ("error", "verdict", "sentence"),
    [
        (Bad("it was red"), "bad", "it was red"),
        (Skipped("there is none"), "skipped", "there is none"),
        (KeyError("x"), "bad", "KeyError: 'x'"),
    ],
)
def test_a_step_that_raises_has_its_verdict(error: Exception, verdict: str, sentence: str):
    def raises() -> str:
        raise error

    outcome = run(Step("a", raises))["a"]
    assert (outcome.verdict, outcome.sentence) == (verdict, sentence)


def test_what_needs_a_bad_step_is_skipped_with_its_name_and_others_go_on():
    def bad() -> str:
        raise Bad("no")

    outcomes = run(Step("deploys", bad), Step("serves", good, ("deploys",)), Step("else", good))
    assert outcomes["serves"].verdict == "skipped"
    assert "deploys" in outcomes["serves"].sentence
    assert outcomes["else"].verdict == "good"


def test_after_its_time_no_step_begins_but_those_that_clean_up():
    moments = [0.0]

    def long() -> str:
        moments[0] = 7201.0
        return "long"

    outcomes = run(
        Step("long", long), Step("next", good), Step("clean up", good, always=True), limit_seconds=7200, clock=moments
    )
    assert outcomes["next"].sentence == "the script may last 120 minutes, which are over"
    assert outcomes["clean up"].verdict == "good"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_who_breaks_it_off_gets_it_cleaned_up(number: signal.Signals):
    def interrupted() -> str:
        os.kill(os.getpid(), number)
        while True:  # Python looks for signals now and then
            time.sleep(0.01)

    outcomes = run(Step("a", interrupted), Step("b", good), Step("clean up", good, always=True))
    assert {name: one.verdict for name, one in outcomes.items()} == {"a": "bad", "b": "skipped", "clean up": "good"}
    assert (outcomes["a"].sentence, outcomes["b"].sentence) == ("interrupted", "somebody broke it off")


def test_a_signal_between_two_steps_cleans_up_too():
    def tell(outcome: Outcome) -> None:
        told.append(outcome.name)
        if outcome.name == "a":
            os.kill(os.getpid(), signal.SIGTERM)
            while True:
                time.sleep(0.01)

    told: list[str] = []
    Script(tell, limit_seconds=3600).run([Step("a", good), Step("b", good), Step("clean up", good, always=True)])
    assert told == ["a", "clean up"]


def test_cleaning_up_is_not_broken_off():
    def impatient() -> str:
        os.kill(os.getpid(), signal.SIGINT)
        return "all gone"

    assert run(Step("clean up", impatient, always=True))["clean up"].sentence == "all gone"


def test_cleaning_up_that_fails_does_not_keep_the_rest_from_being_cleaned_up():
    def bad() -> str:
        raise RuntimeError("DELETE_FAILED")

    outcomes = run(Step("one", bad, always=True), Step("two", good, always=True))
    assert [one.verdict for one in outcomes.values()] == ["bad", "good"]


@pytest.mark.parametrize(
    "text",
    [
        f"arn:aws:iam::{ACCOUNT}:role/x",
        f"cdk-hnb659fds-assets-{ACCOUNT}-eu-west-1",
        "AKIAIOSFODNN7EXAMPLE",
        "arn:aws:sts::x:assumed-role/Admin/ann.example",
        "ann@example.org",
        "https://x.s3.amazonaws.com/a?X-Amz-Signature=abcdef0123&X-Amz-Credential=AKIA%2F1",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    ],
)
def test_nothing_that_identifies_or_opens_an_account_is_logged(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    log = Log(tmp_path / "log", Redaction.of_environment(ACCOUNT))
    log.write(f"it said {text} at last")
    written = log.path.read_text()
    for secret in (ACCOUNT, "AKIA", "ann", "abcdef0123", "wJalr"):
        assert secret not in written
    assert written.startswith("it said ")


def test_an_account_in_the_middle_of_a_name_is_taken_out_even_if_it_is_not_the_callers():
    assert "123123123123" not in Redaction([])("bucket-123123123123-x arn:aws:s3:eu:123123123123:y")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project that holds the proof's loop alone."""
    return Project(tmp_path)


def test_the_loop_can_be_read_in_both_of_its_versions(project: Project):
    project.write_loop(instance_type="ml.m5.large")
    first = load_loop(project.root / "loops" / LOOP)
    project.write_loop(instance_type="ml.p4d.24xlarge", needs_rain=True)
    second = load_loop(project.root / "loops" / LOOP)
    assert "rain" not in first.contract.columns
    assert "rain" in second.contract.features
    assert second.rollout.instance_type == "ml.p4d.24xlarge"


def test_two_hours_and_four_runs_stay_below_the_limit_and_nothing_is_left_uncounted(project: Project):
    project.write_loop(instance_type="ml.m5.large")
    cost = proof_cost(load_loop(project.root / "loops" / LOOP))
    assert 0.2 < cost.usd < MOST_USD
    assert cost.unknown == ()


def test_the_days_of_both_contracts_lie_apart_and_are_the_same_each_time():
    first, second = list(days(since=0)), list(days(since=DAYS + 2, with_rain=True))
    assert first == list(days(since=0))
    assert not {row["id"] for day in first for row in day.rows} & {row["id"] for day in second for row in day.rows}
    assert b"rain" in second[0].batch_csv().splitlines()[0]


def test_the_readme_says_what_a_proof_costs(project: Project):
    project.write_loop(instance_type="ml.m5.large")
    cost = proof_cost(load_loop(project.root / "loops" / LOOP))
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    assert f"<!-- proof -->${cost.usd:.2f}<!-- /proof -->" in readme
