"""Files made to hurt (P43 to P49): each gets its reason, costs little, and harms no other row."""

import gzip
import io
import json
import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.contract import Contract
from perennial.validation import Limits, validate_file
from tests.unit.test_validation import COLUMNS, GOOD, HEADER, make_contract, run

MEGABYTE = 1 << 20


def validate(content, contract=None, key="a.csv", **options):
    contract = contract or make_contract()
    return validate_file(io.BytesIO(content), contract=contract, key=key, size_bytes=len(content), **options)


def peak_of(action):
    """Python's peak of allocated bytes, and the result."""
    tracemalloc.start()
    try:
        found = action()
        return tracemalloc.get_traced_memory()[1], found
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("compress", [gzip.compress, lambda c: pa.compress(c, "zstd", asbytes=True)])
def test_p43_a_compression_bomb_is_stopped_at_the_ratio_while_streaming(compress):
    bomb = compress(HEADER.encode() + GOOD.format(1).encode() * 500_000)
    key = "a.csv.gz" if bomb[:2] == b"\x1f\x8b" else "a.csv.zst"
    contract = make_contract(columns=COLUMNS | {"id": {"type": "text"}})
    peak, outcome = peak_of(lambda: validate(bomb, contract, key=key))
    assert (outcome.accepted, outcome.reasons[0].code) == (False, "bomb")
    assert peak < 96 * MEGABYTE
    assert outcome.rows_landed == outcome.rows_quarantined


def test_p43_bytes_are_capped_after_decompression():
    content = gzip.compress(HEADER.encode() + b"".join(GOOD.format(i).encode() for i in range(3000)))
    outcome = validate(content, key="a.csv.gz", limits=Limits(max_bytes=50_000))
    assert (outcome.accepted, outcome.reasons[0].code) == (False, "too_large")


@pytest.mark.parametrize("key", ["a.csv.gz", "a.csv.zst"])
@pytest.mark.parametrize("content", [b"", b"no archive", gzip.compress(b"id,at\n" * 99, mtime=0)[:-20]])
def test_damaged_compression_has_a_reason(key, content):
    outcome = validate(content, key=key)
    assert not outcome.accepted and outcome.reasons[0].code in ("unreadable", "empty", "schema")


def test_gzip_files_of_several_members_are_read_to_their_end():
    content = gzip.compress((HEADER + GOOD.format(1)).encode()) + gzip.compress(GOOD.format(2).encode())
    assert validate(content, key="a.csv.gz").rows_accepted == 2


def parquet_contract(**columns):
    return Contract.model_validate(
        {"format": "parquet", "record_id": "id", "event_time": "at", "columns": columns,
         "quality": {"max_invalid_rate": 1, "on_schema_change": "accept"}}
    )  # fmt: skip


def test_p44_a_parquet_file_of_too_many_cells_is_refused_before_it_is_read():
    sink = io.BytesIO()
    table = pa.table({"id": pa.array(np.zeros(3_000_000, np.int64)), "x": pa.array(np.zeros(3_000_000))})
    pq.write_table(table, sink, compression="zstd")
    outcome = validate(
        sink.getvalue(), parquet_contract(x={"type": "number"}), "a.parquet", limits=Limits(max_cells=10**6)
    )
    assert len(sink.getvalue()) < 100_000
    assert (outcome.accepted, outcome.reasons[0].code, outcome.rows_landed) == (False, "bomb", 0)


def test_p44_a_page_that_would_unpack_to_too_much_is_refused_before_it_is_unpacked():
    sink = io.BytesIO()
    table = pa.table({"id": ["a"], "at": pa.array([0], pa.timestamp("us")), "t": ["x" * 40 * MEGABYTE]})
    pq.write_table(table, sink, compression="zstd", use_dictionary=False, write_statistics=False)
    contract = parquet_contract(t={"type": "text"})
    outcome = validate(sink.getvalue(), contract, "a.parquet", limits=Limits(max_page_bytes=MEGABYTE))
    assert len(sink.getvalue()) < 100_000
    assert (outcome.accepted, outcome.reasons[0].code) == (False, "bomb")


def test_p44_shared_prefixes_can_not_multiply_text():
    sink = io.BytesIO()
    table = pa.table({"id": ["x" * 9999 + str(i) for i in range(99)], "at": pa.array([0] * 99, pa.timestamp("us"))})
    pq.write_table(table, sink, use_dictionary=False, column_encoding={"id": "DELTA_BYTE_ARRAY"})
    outcome = validate(sink.getvalue(), parquet_contract(), "a.parquet")
    assert (outcome.accepted, outcome.reasons[0].code) == (False, "bomb")


def test_p44_one_long_text_in_many_rows_is_held_once():
    sink = io.BytesIO()
    n = 200_000
    table = pa.table({
        "id": np.arange(n), "at": pa.array(np.zeros(n, np.int64), pa.timestamp("us")),
        "c": pa.DictionaryArray.from_arrays(np.zeros(n, np.int32), ["y" * 100_000]),
    })  # fmt: skip
    pq.write_table(table, sink)
    before = pa.default_memory_pool().bytes_allocated()
    outcome = validate(
        sink.getvalue(), parquet_contract(id={"type": "integer", "unique": True}, c={"type": "category"}), "a.parquet"
    )
    assert (True, n) == (outcome.accepted, outcome.rows_accepted)
    assert pa.default_memory_pool().bytes_allocated() - before < 64 * MEGABYTE


def test_p44_places_beyond_a_dictionary_are_refused_before_they_are_looked_up():
    sink = io.BytesIO()
    table = pa.table({"id": list("abcde"), "at": pa.array(range(5), pa.timestamp("us")), "c": list("xyzxy")})
    pq.write_table(table, sink, compression="none", write_statistics=False)
    content, contract = sink.getvalue(), parquet_contract(c={"type": "category", "nullable": True})
    chunk = pq.ParquetFile(pa.BufferReader(content)).metadata.row_group(0).column(2)
    start, end = chunk.data_page_offset, chunk.dictionary_page_offset + chunk.total_compressed_size
    messages = []
    for place in range(start, end):
        for bit in range(8):
            damaged = bytearray(content)
            damaged[place] ^= 1 << bit
            messages += [r.message for r in validate(bytes(damaged), contract, "a.parquet").reasons]
    assert any("Got values of c beyond their dictionary" in message for message in messages)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_p44_damaged_parquet_has_a_reason_and_never_raises(data):
    sink = io.BytesIO()
    pq.write_table(pa.table({"id": ["a", "b"], "at": pa.array([0, 1], pa.timestamp("us"))}), sink)
    content = bytearray(sink.getvalue())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.none(), st.integers(0, len(content))))
    outcome = validate(bytes(content[:cut]), parquet_contract(), "a.parquet")
    assert outcome.accepted or outcome.reasons


@pytest.mark.parametrize("microseconds", [2**62, -(2**62), 2**63 - 1, 253_402_300_800_000_000])
def test_times_beyond_the_calendar_cost_their_own_row(microseconds):
    sink = io.BytesIO()
    pq.write_table(pa.table({"id": ["a", "b"], "at": pa.array([0, microseconds], pa.timestamp("us"))}), sink)
    outcome = validate(sink.getvalue(), parquet_contract(), "a.parquet")
    assert (outcome.accepted, outcome.rows_accepted) == (True, 1)
    assert list(outcome.reason_counts) == ["at must be a time of the years 1 to 9999"]


def test_p45_a_giant_line_costs_its_own_row_and_no_memory():
    line = b"9," + b"z" * (12 * MEGABYTE) + b"\n"
    content = HEADER.encode() + GOOD.format(1).encode() + line + GOOD.format(2).encode()
    peak, (outcome, lines, _) = peak_of(lambda: run(content))
    assert (outcome.rows_accepted, outcome.rows_quarantined, [q["row"] for q in lines]) == (2, 1, [2])
    assert "bytes" in lines[0]["reasons"][0] and len(lines[0]["text"]) < 5000
    assert peak < 5 * len(line)


def test_p45_a_file_of_one_endless_line_has_a_reason():
    outcome = validate(b"z" * (9 * MEGABYTE))
    assert (outcome.accepted, outcome.reasons[0].code) == (False, "header")


def test_p45_a_giant_field_costs_its_own_row():
    row = GOOD.format(2).replace("hello", "h" * 300_000)
    _, lines, _ = run(HEADER + GOOD.format(1) + row)
    assert [q["reasons"] for q in lines] == [["t must have at most 262144 bytes"]]


def test_p45_nul_costs_its_own_row():
    _, lines, _ = run(HEADER + GOOD.format(1) + GOOD.format(2).replace("hello", "he\0lo") + GOOD.format(3))
    assert [(q["row"], q["reasons"]) for q in lines] == [(2, ["row must not hold NUL"])]


def test_p45_lone_carriage_returns_are_no_line_ends():
    outcome = validate((HEADER + GOOD.format(1)).replace("\n", "\r").encode())
    assert (outcome.accepted, outcome.reasons[0].code) == (False, "line_ends")
    _, lines, _ = run(HEADER + GOOD.format(1) + GOOD.format(2).replace("hello", "he\rlo") + GOOD.format(3))
    assert [q["row"] for q in lines] == [2]


@pytest.mark.parametrize("deep", ["[" * 100_000 + "]" * 100_000, "[" * 100_000, '{"a":' * 5000 + "1" + "}" * 5000])
def test_p45_deep_json_costs_its_own_row(deep):
    row = {"id": "1", "at": "2026-01-01", "n": 1, "c": "a", "b": True}
    bad = json.dumps(row)[:-1] + ', "extra": ' + deep + "}"
    content = "\n".join([json.dumps(row), bad, json.dumps(row | {"id": "2"})])
    outcome, lines, _ = run(content, make_contract("jsonl", on_schema_change="accept"))
    assert (outcome.rows_accepted, [q["row"] for q in lines]) == (2, [2])


def test_p46_an_unclosed_quote_swallows_nothing():
    rows = [GOOD.format(i) for i in range(1500)]
    rows[100] = rows[100].replace("hello", '"hello')
    rows[1200] = rows[1200].replace("hello", '"hello')
    outcome, lines, _ = run(HEADER + "".join(rows))
    assert (outcome.rows_accepted, [q["row"] for q in lines]) == (1498, [101, 1201])
    assert {"row must close its quotes"} == {r for q in lines for r in q["reasons"]}


def test_p46_two_stray_quotes_can_not_hide_the_rows_between_them():
    rows = [GOOD.format(i) for i in range(9)]
    rows[2], rows[5] = rows[2].replace("hello", '"hello'), rows[5].replace("hello", 'hello"')
    outcome, lines, _ = run(HEADER + "".join(rows), make_contract(columns=COLUMNS | {"t": {"type": "text"}}))
    assert (outcome.rows_accepted, [q["row"] for q in lines]) == (8, [3])


def test_p46_a_quoted_field_may_hold_line_ends_commas_and_quotes():
    text = '"one\ntwo, ""three""\n\nfour"'
    _, lines, table = run(
        HEADER + GOOD.format(1) + GOOD.format(2).replace("hello", text) + GOOD.format(3),
        make_contract(columns=COLUMNS | {"t": {"type": "text"}}),
    )
    assert (lines, table["t"][1].as_py()) == ([], 'one\ntwo, "three"\n\nfour')


def test_p46_rows_that_all_open_a_quote_do_not_hide_each_other():
    rows = "".join(GOOD.format(i).replace("hello", '"hello') for i in range(5000))
    outcome, lines, _ = run(HEADER + rows, make_contract(columns=COLUMNS | {"t": {"type": "text"}}))
    assert (outcome.rows_accepted, len(lines)) == (0, 5000)


def test_p46_a_row_that_closes_a_quote_it_did_not_open_is_not_swallowed():
    rows = GOOD.format(1).replace("hello", '"hello') + GOOD.format(2).replace("hello", 'hello"') + GOOD.format(3)
    outcome, lines, _ = run(HEADER + rows, make_contract(columns=COLUMNS | {"t": {"type": "text"}}))
    assert (outcome.rows_accepted, [q["row"] for q in lines]) == (2, [1])


def test_p46_stray_quotes_everywhere_take_linear_time():
    outcome, _, _ = run(HEADER + '1,"x\n' * 10_000)
    assert outcome.rows_landed == outcome.rows_quarantined > 4_000


NOT_NUMBERS = st.sampled_from(
    ["nan", "inf", "1e999", "１２", "1_000", "0x1", "٣", "1e", "Infinity", "-nan", "1__0", "∞"]
)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.one_of(NOT_NUMBERS, st.floats(0, 100).map(repr)), min_size=1, max_size=20))
def test_p47_only_numbers_are_numbers(texts):
    rows = "".join(f"{i},2026-01-01,{t},3,a,true,x\n" for i, t in enumerate(texts))
    _, lines, table = run(HEADER + rows)
    expected = []
    for text in texts:
        try:
            value = float(text) if text.isascii() and "_" not in text else float("nan")
        except ValueError:
            value = float("nan")
        expected.append(value if np.isfinite(value) else None)
    assert [v for v in expected if v is not None] == table["x"].to_pylist()
    assert len(lines) == sum(v is None for v in expected)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999", '"1"', "true", "[1]"])
def test_p47_json_numbers_are_as_strict(text):
    row = '{"id": "%s", "at": "2026-01-01", "n": 1, "c": "a", "b": true, "x": %s}'
    outcome, lines, _ = run(row % (1, 5) + "\n" + row % (2, text), make_contract("jsonl"))
    assert (outcome.rows_accepted, [q["row"] for q in lines]) == (1, [2])


@pytest.mark.parametrize(
    "line",
    ['{"id": "2"', "[1]", "null", "7", '{"id":"2","id":"3"}', '{"id":"2"} {"id":"3"}', "{'id': 2}", '{"id":"\\ud800"}',
     '{"a":1}garbage', '{"id":"x\\u0000"}', "\ufeff{}", "{}"],
)  # fmt: skip
def test_json_lines_that_are_no_row_cost_themselves_only(line):
    row = {"id": "1", "at": "2026-01-01", "n": 1, "c": "a", "b": True}
    content = "\n".join([json.dumps(row), line, "", json.dumps(row | {"id": "4"})])
    outcome, lines, _ = run(content, make_contract("jsonl", on_schema_change="accept"))
    assert (outcome.rows_accepted, [q["row"] for q in lines], outcome.rows_blank) == (2, [2], 1)


@pytest.mark.parametrize(
    ("encode", "code"), [("utf-16", "encoding"), ("utf-16-le", "encoding"), ("utf-32", "encoding")]
)
def test_p48_other_encodings_are_refused_by_name(encode, code):
    outcome = validate((HEADER + GOOD.format(1)).encode(encode))
    assert (False, code) == (outcome.accepted, outcome.reasons[0].code)


def test_p48_a_byte_order_mark_is_no_part_of_a_name():
    assert validate((HEADER + GOOD.format(1)).encode("utf-8-sig")).accepted


def test_p48_latin_1_costs_its_own_row_and_keeps_its_text():
    columns = COLUMNS | {"t": {"type": "text"}}
    content = HEADER.encode() + GOOD.format(1).encode() + GOOD.format(2).replace("hello", "caf\xe9").encode("latin-1")
    _, lines, _ = run(content, make_contract(columns=columns))
    assert [q["reasons"] for q in lines] == [["t must be text in UTF-8"]]
    assert lines[0]["text"].endswith("caf\\xe9")


@pytest.mark.parametrize("name", ["caf\u00e9", "cafe\u0301"])
def test_p48_names_agree_in_nfc_and_values_are_left_alone(name):
    columns = {"caf\u00e9": {"type": "category"}, "y": {"type": "boolean"}}
    _, _, table = run(f"id,at,{name}\n1,2026-01-01,e\u0301\n", make_contract(columns=columns))
    assert table["caf\u00e9"].to_pylist() == ["e\u0301"]


@pytest.mark.parametrize("header", ["id,id,at\n", "id,,at\n", 'id,"a\n', "\xff\n"])
def test_a_header_that_can_not_be_trusted_rejects_the_file(header):
    outcome = validate(header.encode("latin-1"))
    assert (outcome.accepted, outcome.reasons[0].code in ("header", "encoding")) == (False, True)


def test_a_file_of_too_many_columns_is_refused():
    outcome = validate(",".join(f"c{i}" for i in range(5000)).encode() + b"\n")
    assert outcome.reasons[0].code == "too_wide"


@settings(max_examples=40, deadline=None)
@given(
    st.text(max_size=40).map(lambda s: f"a/../{s}%2e+\n{s}"), st.sampled_from([".csv", ".CSV", ".parquet", "", ".gz"])
)
def test_p49_keys_are_opaque(prefix, suffix):
    outcome = validate((HEADER + GOOD.format(1)).encode(), key=prefix + suffix)
    assert (suffix.lower() == ".csv") == outcome.accepted or outcome.reasons[0].code in ("format", "unreadable")


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(["csv", "jsonl", "parquet"]))
def test_no_bytes_whatever_raise(content, kind):
    outcome = validate(content, make_contract(kind), f"a.{kind}")
    assert outcome.rows_landed == outcome.rows_accepted + outcome.rows_quarantined + outcome.rows_blank
