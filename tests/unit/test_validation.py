"""Validation: every row of a landed file is in exactly one place, with its reasons."""

import csv
import gzip
import io
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.contract import Contract
from perennial.profile import profile_table
from perennial.validation import Limits, RecentIds, curated_schema, validate_file, validate_labels

COLUMNS = {
    "x": {"type": "number", "min": 0, "max": 100, "nullable": True},
    "n": {"type": "integer"},
    "c": {"type": "category", "allowed": ["a", "b"]},
    "b": {"type": "boolean"},
    "t": {"type": "text", "nullable": True, "pattern": "[a-z ]*"},
    "y": {"type": "boolean"},
}
NOW = datetime(2026, 1, 1, tzinfo=UTC)
HEADER = "id,at,x,n,c,b,t\n"
GOOD = "{},2026-01-01T00:00:00,1.5,3,a,true,hello\n"


def make_contract(kind="csv", columns=COLUMNS, **quality):
    quality = {"max_invalid_rate": 1.0, "min_rows": 0} | quality
    return Contract.model_validate(
        {"format": kind, "record_id": "id", "event_time": "at", "label": "y", "columns": columns, "quality": quality}
    )


def read_parquet(content):
    """
    A table of Parquet bytes, read without Arrow's threads.

    Reading ahead from a BytesIO, they may drop its last buffer while tracemalloc stops or the interpreter ends, and
    the process dies of it (pyarrow 25.0.1, `pq.read_table(io.BytesIO(…))` alone).
    """
    return pq.read_table(pa.BufferReader(content), pre_buffer=False, use_threads=False)


def run(content, contract=None, key=None, **options):
    """`(outcome, quarantined lines, curated table)` of a landed file."""
    contract = contract or make_contract()
    content = content.encode() if isinstance(content, str) else content
    curated, quarantine = io.BytesIO(), io.BytesIO()
    key = key or f"batches/file.{contract.format}"
    targets = {"curated": curated, "quarantine": quarantine}
    outcome = validate_file(
        io.BytesIO(content), contract=contract, key=key, size_bytes=len(content), **targets, **options
    )
    assert outcome.rows_landed == outcome.rows_accepted + outcome.rows_quarantined + outcome.rows_blank
    lines = [json.loads(line) for line in quarantine.getvalue().decode().splitlines()]
    table = read_parquet(curated.getvalue())
    if outcome.accepted:
        assert (outcome.rows_accepted, outcome.rows_quarantined) == (table.num_rows, len(lines))
        assert table.schema.equals(curated_schema(contract))
        assert outcome.profile.rows == outcome.rows_accepted
    return outcome, lines, table


def reasons_of(row, **options):
    """Reasons of one CSV row."""
    _, lines, _ = run(HEADER + row + "\n", **options)
    return lines[0]["reasons"] if lines else []


def test_a_good_file_is_accepted_whole():
    outcome, lines, table = run(HEADER + GOOD.format(1) + GOOD.format(2))
    assert (outcome.accepted, outcome.rows_accepted, outcome.rows_quarantined, lines) == (True, 2, 0, [])
    assert table["id"].to_pylist() == ["1", "2"]
    assert outcome.first_event_at == outcome.last_event_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert len(outcome.content_digest) == 64


@pytest.mark.parametrize(
    ("row", "reasons"),
    [
        ("1,2026-01-01,-1,3,a,true,x", ["x must be at least 0"]),
        ("1,2026-01-01,101,3,a,true,x", ["x must be at most 100"]),
        ("1,2026-01-01,1,3,c,true,x", ["c must be one of a, b"]),
        ("1,2026-01-01,1,,a,true,x", ["n must not be empty"]),
        ("1,2026-01-01,1,3,a,maybe,x", ["b must be true or false"]),
        ("1,2026-01-01,1,3,a,true,X", ["t must match [a-z ]*"]),
        ("1,2026-02-30,1,3,a,true,x", ["at must be an ISO 8601 time"]),
        (",2026-01-01,1,3,a,true,x", ["id must not be empty"]),
        ("1,2026-01-01,1,3,a,true", ["row must have 7 fields. Got 6 instead"]),
        ("1,2026-01-01,1,3,a,true,x,y", ["row must have 7 fields. Got 8 instead"]),
        ("1,,-1,x,,no,X", [
            "n must be a whole number of 64 bits", "b must be true or false", "at must not be empty",
            "x must be at least 0", "c must not be empty", "t must match [a-z ]*"]),
    ],
)  # fmt: skip
def test_a_bad_row_is_quarantined_with_every_reason_and_its_text(row, reasons):
    _, lines, _ = run(HEADER + GOOD.format(0) + row + "\n")
    assert [(2, sorted(reasons), row)] == [(q["row"], sorted(q["reasons"]), q["text"]) for q in lines]


@pytest.mark.parametrize("text", ["1", "+1", "1.", ".5", "1e2", "-0", " 1.5 ", "00012.50", '"2"', ""])
def test_what_is_a_number(text):
    assert reasons_of(f"1,2026-01-01,{text},3,a,true,x") == []


@pytest.mark.parametrize(
    "text",
    ["nan", "NaN", "-nan", "inf", "Infinity", "1e999", "-1e999", "0x1F", "1_000", "１", "1,5", '"1,5"', "1d", "--1",
     "e5", "1e", ".", "1 2", "NULL", "None", "n/a", '""', "−1", "¹", "1\u00a0", "true"],
)  # fmt: skip
def test_what_is_no_number(text):
    assert reasons_of(f"1,2026-01-01,{text},3,a,true,x")


@pytest.mark.parametrize(("text", "good"), [
    ("7", True), ("-7", True), ("+7", True), ("007", True), ("9223372036854775807", True),
    ("9223372036854775808", False),
    ("7.0", False), ("1e3", False), ("0x10", False), ("0X10", False), ("1_0", False), ("٣", False), ("", False),
])  # fmt: skip
def test_what_is_a_whole_number(text, good):
    assert good == (not reasons_of(f"1,2026-01-01,1,{text},a,true,x"))


@pytest.mark.parametrize(("text", "utc"), [
    ("2026-01-02", "2026-01-02T00:00:00"), ("2026-01-02T03", "2026-01-02T03:00:00"),
    ("2026-01-02 03:04:05.123456", "2026-01-02T03:04:05.123456"), ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05"),
    ("2026-01-02T03:04:05+02:00", "2026-01-02T01:04:05"), ("2026-01-02T03:04:05-0530", "2026-01-02T08:34:05"),
    ("2026-01-02T24:00:00", None), ("2026-1-2", None), ("02/01/2026", None), ("1767312000", None),
    ("2026-01-02T03:04:05.1234567", None), ("2026-01-02T03:04:60", None), ("yesterday", None),
])  # fmt: skip
def test_what_is_a_time(text, utc):
    # Beside both forms, so that no one form decides how the others are read.
    others = GOOD.format(7) + GOOD.format(8).replace("T00:00:00", "T00:00:00Z")
    _, lines, table = run(HEADER + others + f"1,{text},1,3,a,true,x\n")
    assert (utc is None) == bool(lines)
    if utc:
        assert datetime.fromisoformat(utc).replace(tzinfo=UTC) in table["at"].to_pylist()


#: Cells of a column and whether they are values: the same text may be one here and none there.
CELLS = {
    "x": {"1": True, "+2": True, " 3 ": True, ".5": True, "": True, "broken": False, "n/a": False, "1e999": False,
          "7 ": True, "true": False, "it's": False, "0x1F": False, "  ": False, "2026-01-01": False},
    "n": {"7": True, "+7": True, "1.5": False, "broken": False, "": False, "1e3": False, "0x1F": False, "true": False},
    "b": {"true": True, "0": True, "broken": False, "7": False, "n/a": False},
    "at": {"2026-01-01": True, "2026-01-01T00:00:00+01:00": True, "broken": False, "2026-02-30": False, "7": False},
    "t": {"broken": True, "n/a": True, "a, broken": True, 'say "n/a",broken': True, "1.5": True, "": True},
}  # fmt: skip
cells = st.fixed_dictionaries({name: st.sampled_from(list(known)) for name, known in CELLS.items()})


@settings(max_examples=60, deadline=None)
@given(st.lists(cells, min_size=1, max_size=12))
def test_a_broken_cell_costs_its_own_row_whatever_the_others_hold(rows):
    columns = {"x": {"type": "number", "nullable": True}, "n": {"type": "integer"}, "b": {"type": "boolean"},
               "t": {"type": "text", "nullable": True}, "y": {"type": "boolean"}}  # fmt: skip
    content = io.StringIO()
    writer = csv.DictWriter(content, ["id", *CELLS], lineterminator="\n")
    writer.writeheader()
    writer.writerows({"id": str(i)} | row for i, row in enumerate(rows))
    _, lines, table = run(content.getvalue(), make_contract(columns=columns))
    wrong = {i: sorted(n for n in CELLS if not CELLS[n][row[n]]) for i, row in enumerate(rows)}
    found = {q["row"] - 1: sorted(reason.split()[0] for reason in q["reasons"]) for q in lines}
    assert {i: names for i, names in wrong.items() if names} == found
    kept = [row for i, row in enumerate(rows) if not wrong[i]]
    assert [float(row["x"]) if row["x"].strip() else None for row in kept] == table["x"].to_pylist()
    assert [row["t"] for row in kept] == [text or "" for text in table["t"].to_pylist()]


@pytest.mark.parametrize(
    "ids", [["1", "2", "3", "3"], ["b", "a", "a"], ["a", "b", "c", "b", "d", "a"], ["é", "z", "é"]]
)
@pytest.mark.parametrize("block", [1, 2, 100])
def test_a_repeated_id_is_found_whether_ids_ascend_or_not(ids, block):
    table = pa.table({"id": ids, "at": pa.array([0] * len(ids), pa.timestamp("us"))})
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=block)
    contract = make_contract("parquet", {"y": {"type": "boolean"}})
    lines = run(sink.getvalue(), contract)[1]
    again = [i + 1 for i, one in enumerate(ids) if one in ids[:i]]
    assert [(row, ["id must be unique in the file"]) for row in again] == [(q["row"], q["reasons"]) for q in lines]


NO_PANDAS = """
import io, sys
from perennial.contract import Contract
from perennial.validation import validate_file
kind, content = sys.argv[1], sys.argv[2].encode()
contract = Contract.model_validate({"format": kind, "record_id": "id", "event_time": "at",
    "quality": {"max_invalid_rate": 1.0}, "columns": {"x": {"type": "number", "max": 9}, "c": {"type": "category"}}})
outcome = validate_file(io.BytesIO(content), contract=contract, key="a." + kind, size_bytes=len(content),
    curated=io.BytesIO(), quarantine=io.BytesIO())
outcome.profile.to_bytes()
assert (outcome.rows_accepted, outcome.rows_quarantined) == (1, 3), outcome
print("pandas" in sys.modules)
"""


@pytest.mark.parametrize(("kind", "content"), [
    ("csv", "id,at,x,c\n1,2026-01-01,1,a\n1,2026-01-01,1,a\n2,2026-01-01,broken,a\n3,2026-01-01,10,\n"),
    ("jsonl", '{"id":"1","at":"2026-01-01","x":1,"c":"a"}\n{"id":"1","at":"2026-01-01","x":1,"c":"a"}\n'
              '{"id":"2","at":"2026-01-01","x":"1","c":"a"}\n{"id":"3","at":"2026-01-01","x":10,"c":null}\n'),
])  # fmt: skip
def test_pandas_is_not_imported_on_the_way_of_a_file(kind, content):
    done = subprocess.run([sys.executable, "-c", NO_PANDAS, kind, content], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_repeated_id_is_quarantined_in_the_file_and_across_recent_files():
    recent = RecentIds.of(pa.array(["9"]))
    outcome, lines, _ = run(HEADER + "".join(GOOD.format(i) for i in (1, 2, 1, 9)), recent_ids=recent)
    assert [(q["row"], q["reasons"]) for q in lines] == [
        (3, ["id must be unique in the file"]),
        (4, ["id must not repeat a recent batch"]),
    ]
    assert outcome.record_ids.contains(pa.array(["1", "2", "3"])).tolist() == [True, True, False]


def test_a_bad_row_does_not_push_out_a_good_one_of_the_same_id():
    outcome, lines, _ = run(HEADER + "1,2026-01-01,-5,3,a,true,x\n" + GOOD.format(1))
    assert (outcome.rows_accepted, [q["row"] for q in lines]) == (1, [1])


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.booleans()), min_size=1, max_size=20),
    recent=st.frozensets(st.integers(0, 5)),
)
def test_recent_ids_take_out_the_accepted_rows_of_these_ids_and_change_nothing_else(rows, recent):
    columns = {"id": {"type": "text", "unique": True}, "k": {"type": "integer", "unique": True},
               "x": {"type": "number"}}  # fmt: skip
    text = "id,at,k,x\n" + "".join(f"{i},2026-01-01,{k},{'1' if good else 'bad'}\n" for i, k, good in rows)
    first, _, accepted = run(text, make_contract(columns=columns | {"y": {"type": "boolean"}}))
    ids = RecentIds.of(pa.array([str(i) for i in recent], pa.string()))
    again, _, left = run(text, make_contract(columns=columns | {"y": {"type": "boolean"}}), recent_ids=ids)
    kept = [row for row in accepted.to_pylist() if int(row["id"]) not in recent]
    assert kept == left.to_pylist()
    assert RecentIds.of(accepted["id"].combine_chunks()) == first.record_ids
    assert again.rows_quarantined - first.rows_quarantined == len(accepted) - len(kept)


def test_recent_ids_survive_bytes_and_merge():
    one, two = RecentIds.of(pa.array(["a", "b"])), RecentIds.of(pa.array(["b", "c"]))
    assert one.merge(two) == two.merge(one) == RecentIds.from_bytes(one.merge(two).to_bytes())
    assert len(one.merge(two)) == 3


def test_checks_over_columns_are_kept():
    contract = make_contract(checks={"sum": "x == n + 1 and c in ('a', 'b')", "time": "year(at) >= 2026"})
    rows = ["1,2026-01-01,4,3,a,true,x", "2,2026-01-01,5,3,a,true,x", "3,2025-01-01,,3,a,true,x"]
    _, lines, _ = run(HEADER + "\n".join(rows), contract)
    assert [(q["row"], q["reasons"][0].split()[3].strip(":")) for q in lines] == [(2, "sum"), (3, "time")]


def test_a_check_that_does_not_fit_the_types_rejects_the_file():
    outcome, _, _ = run(HEADER + GOOD.format(1), make_contract(checks={"odd": "t > 3"}))
    assert (outcome.accepted, outcome.reasons[0].code) == (False, "check")


def test_bounds_of_times_are_kept():
    columns = COLUMNS | {"at": {"type": "timestamp", "min": "2026-01-01", "max": "2026-12-31T00:00:00Z"}}
    _, lines, _ = run(HEADER + GOOD.format(1) + GOOD.format(2).replace("2026", "2025"), make_contract(columns=columns))
    assert [q["reasons"] for q in lines] == [["at must be at least 2026-01-01"]]


@pytest.mark.parametrize(
    ("quality", "options", "code"),
    [
        ({"max_invalid_rate": 0.3}, {}, "too_many_invalid"),
        ({"min_rows": 4}, {}, "too_few_rows"),
        ({"max_rows": 2}, {}, "too_many_rows"),
        ({"max_age": "1d"}, {"now": datetime(2026, 1, 3, tzinfo=UTC)}, "too_old"),
    ],
)
def test_a_file_that_fails_as_a_whole_is_quarantined_whole(quality, options, code):
    content = HEADER + GOOD.format(1) + "\n" + GOOD.format(2) + GOOD.format(1)
    outcome, _, _ = run(content, make_contract(**quality), **options)
    assert (False, [code], None) == (outcome.accepted, [r.code for r in outcome.reasons], outcome.profile)
    assert (
        outcome.rows_landed, outcome.rows_accepted, outcome.rows_quarantined, outcome.rows_blank
    ) == (4, 0, 3, 1)  # fmt: skip


def test_a_share_of_nulls_is_allowed_up_to_its_limit():
    columns = COLUMNS | {"x": {"type": "number", "max_null_rate": 0.5}}
    empty = GOOD.replace("1.5", "")
    assert run(HEADER + GOOD.format(1) + empty.format(2), make_contract(columns=columns))[0].accepted
    outcome, _, _ = run(HEADER + empty.format(1) + empty.format(2), make_contract(columns=columns))
    assert [r.code for r in outcome.reasons] == ["too_many_nulls"]


def test_fresh_data_is_not_too_old():
    now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=1)
    assert run(HEADER + GOOD.format(1), make_contract(max_age="1d"), now=now)[0].accepted


@pytest.mark.parametrize("policy", ["reject", "accept", "evolve"])
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_the_schema_policy_decides_on_new_and_missing_columns(policy, kind):
    rows = [
        {"id": str(i), "at": "2026-01-01T00:00:00", "n": i, "c": "a", "b": True, "t": "x", "new": i} for i in (1, 2)
    ]
    content = {
        "csv": "id,at,n,c,b,t,new\n" + "".join(",".join(str(v) for v in r.values()) + "\n" for r in rows),
        "jsonl": "\n".join(json.dumps(r) for r in rows),
    }.get(kind)
    if kind == "parquet":
        content = parquet(pa.Table.from_pylist(rows).set_column(1, "at", pa.array([NOW] * 2)))
    outcome, _, _ = run(content, make_contract(kind, on_schema_change=policy))
    if policy == "reject":
        assert (outcome.accepted, [r.code for r in outcome.reasons]) == (False, ["schema"])
        return
    change = outcome.schema_change
    assert (outcome.accepted, tuple(n for n, _ in change.added)) == (True, ("new",))
    assert (policy == "evolve") == (change.evolved is not None and change.evolved.columns["new"].type == "integer")


@pytest.mark.parametrize("policy", ["reject", "accept"])
def test_a_column_that_must_not_be_empty_must_be_there(policy):
    outcome, _, _ = run("id,at,x,c,b,t\n1,2026-01-01,1,a,true,x\n", make_contract(on_schema_change=policy))
    assert (outcome.accepted, outcome.reasons[0].code) == (False, "schema")


def test_columns_may_come_in_any_order():
    _, lines, table = run("t,b,c,n,x,at,id\nx,true,a,3,1,2026-01-01,1\n")
    assert (lines, table["id"].to_pylist()) == ([], ["1"])


def parquet(table):
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=50)
    return sink.getvalue()


def make_rows(n):
    rng = np.random.default_rng(n)
    return [
        {
            "id": f"r{i}", "at": NOW + timedelta(minutes=i), "x": round(float(rng.uniform(-5, 105)), 3),
            "n": i, "c": str(rng.choice(["a", "b", "c"], p=[0.5, 0.45, 0.05])), "b": bool(i % 2),
            "t": str(rng.choice(["hello world", "hi", "X"], p=[0.5, 0.47, 0.03])),
        }
        for i in range(n)
    ]  # fmt: skip


def as_csv(rows):
    text = io.StringIO()
    text.write(",".join(rows[0]) + "\n")
    for row in rows:
        text.write(",".join(v.isoformat() if isinstance(v, datetime) else str(v) for v in row.values()) + "\n")
    return text.getvalue()


def test_all_formats_agree_on_rows_reasons_and_profile():
    rows = make_rows(300)
    found = {
        "csv": run(as_csv(rows)),
        "jsonl": run("\n".join(json.dumps(r, default=datetime.isoformat) for r in rows), make_contract("jsonl")),
        "parquet": run(parquet(pa.Table.from_pylist(rows)), make_contract("parquet")),
        "gz": run(gzip.compress(as_csv(rows).encode()), key="a.csv.gz"),
        "zst": run(pa.compress(as_csv(rows).encode(), "zstd", asbytes=True), key="a.csv.zst"),
    }
    outcome, lines, table = found["csv"]
    assert 0 < outcome.rows_quarantined < 100
    for other, other_lines, other_table in found.values():
        assert outcome.reason_counts == other.reason_counts
        assert [(q["row"], q["reasons"]) for q in lines] == [(q["row"], q["reasons"]) for q in other_lines]
        assert table.equals(other_table)
        assert outcome.profile == other.profile
    assert outcome.profile == profile_table(table, make_contract())


cells = st.one_of(
    st.sampled_from(
        ["1", "2.5", "", "a", "true", "2026-01-01", "nan", '"', '"a', 'a"', '""', '"x,y"', '"x\ny"', "\r", "\0", " "]
    ),
    st.text(max_size=4),
)
messy = st.lists(
    st.one_of(
        st.integers(0, 3).map(lambda i: GOOD.format(i).strip()),
        st.lists(cells, min_size=0, max_size=8).map(",".join),
        st.text(max_size=10),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(messy, st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_every_row_of_a_messy_file_is_counted_once(lines, end, terminated):
    content = (HEADER.strip() + end + end.join(lines) + (end if terminated else "")).encode("utf-8", "surrogatepass")
    outcome, quarantined, table = run(content)
    assert outcome.accepted
    rows = [q["row"] for q in quarantined]
    assert len(rows) == len(set(rows)) and all(1 <= r <= outcome.rows_landed for r in rows)
    good = sum(GOOD.format(i).strip() in lines for i in range(4))
    assert table.num_rows >= good if '"' not in "".join(lines) and "\r" not in "".join(lines) else True


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("column", ["category", "text", "number", "integer", "boolean"])
def test_a_null_that_may_be_breaks_no_other_rule(kind, column):
    allowed = {"number": [1.0], "integer": [1], "boolean": [True]}.get(column, ["a"])
    rules = {"type": column, "nullable": True, "allowed": allowed}
    rules |= {"pattern": "a+"} if column in ("category", "text") else {}
    content = f"id,at,v\n1,2026-01-01,{str(allowed[0]).lower()}\n2,2026-01-01,\n"
    if kind == "jsonl":
        rows = [{"id": "1", "at": "2026-01-01", "v": allowed[0]}, {"id": "2", "at": "2026-01-01", "v": None}]
        content = "\n".join(map(json.dumps, rows))
    elif kind == "parquet":
        sink = io.BytesIO()
        times = pa.array([0, 0], pa.timestamp("us"))
        pq.write_table(pa.table({"id": ["1", "2"], "at": times, "v": pa.array([allowed[0], None])}), sink)
        content = sink.getvalue()
    _, lines, table = run(content, make_contract(kind, {"v": rules, "y": {"type": "boolean"}}))
    assert (lines, table["v"].to_pylist()) == ([], [allowed[0], None])


@settings(max_examples=25, deadline=None)
@given(st.permutations([*(GOOD.format(i) for i in range(4)), "5,2026-01-01,-1,3,a,true,x\n", "6,2026\n", "\n"]))
def test_the_order_of_rows_changes_no_count_and_no_byte_of_the_profile(lines):
    outcome, _, _ = run(HEADER + "".join(lines))
    expected, _, _ = run(HEADER + "".join(GOOD.format(i) for i in range(4)))
    assert (outcome.rows_accepted, outcome.rows_quarantined, outcome.rows_blank) == (4, 2, 1)
    assert expected.profile.to_bytes() == outcome.profile.to_bytes()


def test_small_blocks_change_nothing():
    rows = as_csv(make_rows(200)).replace("hi", '"two\nlines"')
    whole, cut = run(rows), run(rows, limits=Limits(block_bytes=512))
    assert (whole[0].reason_counts, whole[0].profile) == (cut[0].reason_counts, cut[0].profile)
    assert [q["row"] for q in whole[1]] == [q["row"] for q in cut[1]]


def test_labels_come_in_files_of_their_own():
    content = b"id,y,labeled_at\n1,true,2026-01-02\n1,false,\n,true,\n2,maybe,\n"
    curated, quarantine = io.BytesIO(), io.BytesIO()
    outcome = validate_labels(
        io.BytesIO(content), contract=make_contract(), key="labels/a.csv", size_bytes=len(content), curated=curated,
        quarantine=quarantine,
    )  # fmt: skip
    assert (outcome.accepted, outcome.rows_accepted, outcome.rows_quarantined) == (True, 2, 2)
    assert {"id", "y", "labeled_at"} == set(read_parquet(curated.getvalue()).column_names)
    short = b"id,y\n1,true\n"
    assert validate_labels(io.BytesIO(short), contract=make_contract(), key="a.csv", size_bytes=len(short)).accepted


def test_paths_work_like_files(tmp_path):
    content = HEADER + GOOD.format(1) + "x\n"
    (tmp_path / "in.csv").write_text(content)
    outcome = validate_file(
        tmp_path / "in.csv", contract=make_contract(), key="in.csv", size_bytes=len(content),
        curated=tmp_path / "c.parquet", quarantine=str(tmp_path / "q.jsonl"),
    )  # fmt: skip
    assert (pq.read_table(tmp_path / "c.parquet").num_rows, outcome.rows_quarantined) == (1, 1)
    assert json.loads((tmp_path / "q.jsonl").read_text())["row"] == 2


def test_an_outcome_is_plain_json_for_records():
    outcome, _, _ = run(HEADER + GOOD.format(1))
    assert json.loads(json.dumps(outcome.to_json()))["rows_accepted"] == 1


def test_default_limits_are_stated():
    assert Limits().max_line_bytes < Limits().max_bytes
