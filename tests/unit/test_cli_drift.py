"""`perennial drift` on stored profiles: placed in time, with the windows before, as a page, and plain when unsure."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from loops.bikeshare import stream
from perennial.cli.app import app
from perennial.profile import Profile, merge
from perennial.project import load_loop
from perennial.validation import validate_file

ROOT = Path(__file__).resolve().parents[2]
LOOP = load_loop(ROOT / "loops" / "bikeshare")
REFERENCE_WEEKS = 22


@pytest.fixture(scope="module")
def profiles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Stored profiles of 24 weeks; all.profile beside them is of the first 22 together."""
    folder = tmp_path_factory.mktemp("profiles")
    made: list[Profile] = []
    for number in range(REFERENCE_WEEKS + 2):
        data = stream.week(number).batch_csv()
        outcome = validate_file(io.BytesIO(data), contract=LOOP.contract, key="w.csv", size_bytes=len(data))
        assert outcome.profile is not None
        made.append(outcome.profile)
        (folder / f"{number:02d}.profile").write_bytes(outcome.profile.to_bytes())
    (folder / "all.profile").write_bytes(merge(made[:REFERENCE_WEEKS]).to_bytes())
    return [folder / f"{number:02d}.profile" for number in range(len(made))]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    """What the command says; its exit code is 0."""
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("PERENNIAL_ROOT", raising=False)
    ran = CliRunner().invoke(app, ["drift", "bikeshare", *arguments], catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    return ran.output


def arguments(profiles: Sequence[Path], *more: str) -> list[str]:
    shuffled = [*profiles[11:REFERENCE_WEEKS], *profiles[:11]]
    batches = [part for path in shuffled for part in ("--calibrate", str(path))]
    pair = ["--reference", str(profiles[0].with_name("all.profile")), "--current", str(profiles[-1])]
    return [*pair, *batches, "--earlier", str(profiles[-2]), *more]


def test_batches_are_placed_by_their_event_times_in_whatever_order_they_are_given(
    monkeypatch: pytest.MonkeyPatch, profiles: list[Path]
) -> None:
    found = json.loads(run(monkeypatch, *arguments(profiles, "--json")))
    assert found["calibrated"] is True
    assert found["evidence"]["at"] == stream.week(REFERENCE_WEEKS + 1).first_event_at.isoformat().replace("+00:00", "Z")
    assert found["evidence"]["positions"] == pytest.approx([REFERENCE_WEEKS + 1], abs=0.1)
    assert LOOP.triggers.drift is not None
    assert found["alarm_level"] == pytest.approx(LOOP.triggers.drift.alarm_level(365.25 / 7), rel=1e-3)


def test_the_page_shows_every_window_since_the_reference(
    monkeypatch: pytest.MonkeyPatch, profiles: list[Path], tmp_path: Path
) -> None:
    page = tmp_path / "out" / "drift.html"
    run(monkeypatch, *arguments(profiles, "--report", str(page)))
    told = page.read_text(encoding="utf-8")
    assert "Drift check of bikeshare" in told
    for number in (REFERENCE_WEEKS, REFERENCE_WEEKS + 1):
        assert f"{stream.week(number).first_event_at:%Y-%m-%d}" in told


def test_too_few_batches_to_calibrate_are_said_to_be_too_few(
    monkeypatch: pytest.MonkeyPatch, profiles: list[Path]
) -> None:
    pair = ("--reference", str(profiles[0]), "--current", str(profiles[1]))
    few = [part for path in profiles[:3] for part in ("--calibrate", str(path))]
    said = " ".join(run(monkeypatch, *pair, *few).split())
    assert "only 3 reference batches; 6 are needed to calibrate, so conservative fixed thresholds apply" in said
    assert "nothing is known of what is usual" in " ".join(run(monkeypatch, *pair).split())
