"""The side-by-side table: what each peer costs in multiples of ours, and what is said of one that can't run."""

from pathlib import Path

import pytest

from benchmarks import peer_environments
from benchmarks.data import peers
from benchmarks.peer_environments import Environment, PeerFailed, build, call


def figures(**cpu_seconds):
    """Figures of all jobs: ours cost one second, others what is given or 100."""
    found = {}
    for job in peers.JOBS:
        seconds = 1.0 if job.peer == peers.OURS else cpu_seconds.get(f"{job.peer}_{job.name}", 100.0)
        found[job.key] = {
            "cpu_s": seconds,
            "wall_s": seconds,
            "peak_mb": 50.0,
            "version": "1.2",
            "load": 0.5,
            "result": [],
        }
    return found


def row_of(table, title):
    return next(line for line in table.splitlines() if title in line)


def test_a_peer_is_held_against_the_job_of_ours_that_answers_the_same_question():
    table = peers.peers_table(figures(nannyml_ks=7.5, frouros_drift=6.9))
    assert row_of(table, "NannyML, KS").endswith("| 7.5 | 7 | yes | 0 of 4, 0 others |")
    assert row_of(table, "frouros").endswith("| 6.9 | 7 | no | 0 of 4, 0 others |")
    assert all(job.ours in {own.name for own in peers.JOBS if own.peer == peers.OURS} for job in peers.JOBS if job.ours)


def test_the_table_says_how_many_of_the_columns_that_drift_a_job_names():
    found = figures()
    found["frouros drift"]["result"] = ["delay", "score", "noise"]
    assert row_of(peers.peers_table(found), "frouros").endswith("| 2 of 4, 1 others |")


def test_a_peer_that_did_not_run_says_why_and_costs_nothing():
    found = figures() | {"evidently drift": {"error": "evidently: no such package"}}
    assert "did not run: evidently: no such package" in row_of(peers.peers_table(found), "evidently")


def test_every_job_has_a_runner_and_every_peer_an_environment():
    for job in peers.JOBS:
        assert (peers.RUNNERS / f"run_{job.peer}.py").is_file()
        assert job.peer == peers.OURS or job.peer in peer_environments.ENVIRONMENTS


def test_an_environment_for_a_python_that_is_not_here_is_refused_plainly(tmp_path: Path):
    with pytest.raises(PeerFailed, match=r"relic needs Python 9\.9, which is not on the PATH"):
        build(tmp_path / "relic", Environment(("relic",), python="9.9"))


def test_a_runner_that_fails_gives_the_last_line_of_its_complaint(tmp_path: Path):
    runner = tmp_path / "runner.py"
    runner.write_text("raise SystemExit('the file is no Parquet')")
    with pytest.raises(PeerFailed, match="perennial: the file is no Parquet"):
        call(peer_environments.OURS, runner)
