"""The loop in docs/writing-a-loop.md works as it stands there, and bikeshare is what its README says."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from threadpoolctl import threadpool_limits

from loops.bikeshare import stream
from loops.bikeshare.model import build_estimator
from perennial.checks import check_estimator, sample_rows
from perennial.project import load_loop, parse_loop
from tests.training.builders import ROOT, bikeshare, make_batch
from training.frame import conform


def documented(language: str) -> str:
    page = (ROOT / "docs" / "writing-a-loop.md").read_text()
    return re.search(rf"```{language}\n(.*?)```", page, re.DOTALL).group(1)


def test_the_documented_loop_is_accepted_and_its_model_conforms(tmp_path: Path) -> None:
    loop = parse_loop(documented("toml"))
    names: dict = {}
    exec(documented("python"), names)
    rows = sample_rows(loop.contract)
    rows["late"] = rows["distance_km"] > rows["distance_km"].median()
    assert check_estimator(names["build_estimator"], rows, contract=loop.contract, task=loop.task) == []


def test_bikeshare_conforms_with_the_hyperparameters_of_its_file() -> None:
    loop = load_loop(ROOT / "loops" / "bikeshare")
    rows = conform(make_batch(9).rows, loop.contract, loop.contract.features)
    rows["y"] = [int(hour.busy) for hour in stream.week(9).hours]
    given = {name: str(value) for name, value in loop.training.hyperparameters.items()}
    # One thread: waiting threads would spin for longer than these small fits take.
    with threadpool_limits(limits=1):
        found = check_estimator(build_estimator, rows, contract=loop.contract, task="binary", hyperparameters=given)
    assert found == []


def test_the_stream_is_the_whole_source_week_by_week() -> None:
    weeks = list(stream.weeks())
    assert len(weeks) == stream.WEEKS == 104
    hours = [hour for week in weeks for hour in week.hours]
    assert len(hours) == len({hour.record_id for hour in hours}) == 17_379
    assert [hour.at for hour in hours] == sorted(hour.at for hour in hours)
    assert "cnt" not in weeks[0].batch_csv().decode().splitlines()[0]


def test_the_stream_is_the_same_bytes_each_time() -> None:
    everything = b"".join(week.batch_csv() + week.labels_csv() for week in stream.weeks())
    stream._all_weeks.cache_clear()
    again = b"".join(week.batch_csv() + week.labels_csv() for week in stream.weeks())
    assert hashlib.sha256(everything).digest() == hashlib.sha256(again).digest()


def test_no_week_of_history_holds_the_code_that_the_contract_lets_in() -> None:
    position = stream.FEATURES.index("weathersit")
    seen = {hour.features[position] for week in stream.weeks() for hour in week.hours}
    assert set(bikeshare().contract.columns["weathersit"].allowed) - seen == {"5"}
