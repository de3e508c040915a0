"""Validation by several threads: whatever their number, one outcome, byte for byte."""

import gzip
import io
import json
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.validation import Limits, RecentIds, validate_file
from perennial.validation.blocks import FileRejected
from perennial.validation.in_order import in_order
from tests.unit.test_validation import COLUMNS, HEADER, make_contract, read_parquet

SMALL = Limits(block_bytes=256, block_rows=3)


def outcomes(content, contract, *, key=None, source=None, **options):
    """What 1, 2 and 3 workers make of a file: the outcome, the profile, the quarantine, the good rows, the ids."""
    found = []
    for workers in (1, 2, 3):
        curated, quarantine = io.BytesIO(), io.BytesIO()
        outcome = validate_file(
            source or io.BytesIO(content), contract=contract, key=key or f"a.{contract.format}",
            size_bytes=len(content), curated=curated, quarantine=quarantine, workers=workers,
            **{"limits": SMALL} | options,
        )  # fmt: skip
        profile = outcome.profile.to_bytes() if outcome.profile else None
        rows = read_parquet(curated.getvalue()).to_pylist() if outcome.accepted else None
        found.append((outcome.to_json(), profile, quarantine.getvalue(), rows, outcome.record_ids))
    return found


csv_lines = st.sampled_from([
    "{},2026-01-01,1.5,3,a,true,hello", "{},2026-01-02T03:00:00Z,,3,b,0,", '{},2026-01-01,2,4,a,true,"two\nlines"',
    "{},2026-01-01,-1,3,a,true,x", "{},2026-01-01,broken,3,a,true,x", "{},2026-01-01,1,+7,a,true,5\" pipe",
    '{},2026-01-01,1,3,a,true,"never closed', "{},short", "", "7,2026-01-03,1,3,a,true,again", ",,,,,,", "{},x\0y",
])  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(st.lists(csv_lines, max_size=60))
def test_csv_has_one_outcome_for_any_number_of_workers(lines):
    content = (HEADER + "".join(line.format(i) + "\n" for i, line in enumerate(lines))).encode()
    one, two, three = outcomes(content, make_contract())
    assert one == two == three


json_rows = st.fixed_dictionaries(
    {"id": st.sampled_from(["{}", "7", ""]), "at": st.sampled_from(["2026-01-01", "no"]),
     "n": st.sampled_from([1, 2.5]), "c": st.sampled_from(["a", "z"]), "b": st.booleans()},
    optional={"x": st.sampled_from([1.5, None, "1"]), "t": st.just("hi"), "new": st.just(1)},
)  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(st.lists(json_rows, max_size=40), st.sampled_from(["reject", "accept", "evolve"]), st.booleans())
def test_json_lines_have_one_outcome_for_any_number_of_workers(rows, policy, broken):
    lines = [json.dumps(row).replace("{}", str(i)) for i, row in enumerate(rows)] + ["{broken"] * broken
    content = gzip.compress("\n".join(lines).encode(), mtime=0)
    one, two, three = outcomes(content, make_contract("jsonl", on_schema_change=policy), key="a.jsonl.gz")
    assert one == two == three


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from([1.0, -1.0, None, float("nan")])), max_size=40))
def test_parquet_has_one_outcome_for_any_number_of_workers(rows):
    table = pa.table({
        "id": pa.array([str(i) for i, _ in rows], pa.string()), "x": pa.array([x for _, x in rows], pa.float64()),
        "at": pa.array(range(len(rows)), pa.timestamp("us")),
        "c": pa.array([("a", "b", "z")[i % 3] for i, _ in rows], pa.string()),
    })  # fmt: skip
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=7)
    contract = make_contract("parquet", {name: COLUMNS[name] for name in ("x", "c", "y")})
    one, two, three = outcomes(sink.getvalue(), contract, recent_ids=RecentIds.of(pa.array(["3", "4"])))
    assert one == two == three


@pytest.mark.parametrize("quality", [{"max_rows": 20}, {"max_invalid_rate": 0.1}, {"min_rows": 99}, {}])
@pytest.mark.parametrize("limits", [SMALL, Limits(block_bytes=256, max_bytes=900)])
def test_a_file_is_rejected_at_the_same_place(quality, limits):
    lines = ["{},2026-01-{:02},1.5,3,a,true,hello", "{},2026-01-{:02},-1,3,a,true,x"]
    content = (HEADER + "".join(lines[i % 2].format(i, i % 28 + 1) + "\n" for i in range(40))).encode()
    one, two, three = outcomes(content, make_contract(**quality), limits=limits)
    assert one == two == three
    assert one[0]["accepted"] == (not quality and limits is SMALL)


def test_a_parquet_file_on_a_disk_is_read_by_columns_side_by_side(tmp_path):
    table = pa.table({"id": [str(i) for i in range(500)], "at": pa.array(range(500), pa.timestamp("us")),
                      "x": [float(i % 120) for i in range(500)]})  # fmt: skip
    path = tmp_path / "a.parquet"
    pq.write_table(table, path, row_group_size=100)
    contract = make_contract("parquet", {name: COLUMNS[name] for name in ("x", "y")})
    one, two, three = outcomes(b"", contract, source=Path(path))
    assert one == two == three and one[0]["rows_accepted"] == sum(i % 120 <= 100 for i in range(500))


def test_workers_must_be_at_least_one():
    with pytest.raises(ValueError, match=r"at least 1\. Got 0"):
        validate_file(io.BytesIO(b""), contract=make_contract(), key="a.csv", size_bytes=0, workers=0)


def test_several_threads_are_at_work_and_no_part_is_taken_long_before_its_time():
    together = threading.Barrier(3, timeout=3600)
    taken = []

    def parts():
        for number in range(12):
            taken.append(number)
            yield number

    def work(number, part):
        together.wait()  # passes only while three threads are at work at once
        return part

    done = []
    for part in in_order(parts(), work, 3):
        done.append(part)
        assert len(taken) - len(done) <= 4
    assert done == list(range(12))


def test_a_rejection_comes_after_the_results_before_it():
    def parts():
        yield from (1, 2, 3)
        raise FileRejected("bomb", "too much")

    results = in_order(parts(), lambda number, part: part * 10, 2)
    assert [next(results) for _ in range(3)] == [10, 20, 30]
    with pytest.raises(FileRejected):
        next(results)
