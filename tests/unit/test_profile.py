"""Profiles: merge laws, the stored form, and numbers that agree with pandas and scipy."""

import contextlib
import json
import struct
import zlib
from itertools import pairwise

import jsonschema
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.contract import Contract, Grid
from perennial.errors import ProfileMismatch
from perennial.profile import Profile, fit_grids, merge, profile_table, rebin, shared_bins
from perennial.profile.categories import CategoryBuilder
from perennial.profile.codec import SCHEMA
from perennial.profile.histogram import BIN_LIMIT, HistogramBuilder

CONTRACT = Contract.model_validate(
    {
        "format": "csv", "record_id": "id", "event_time": "at", "label": "y",
        "columns": {
            "x": {"type": "number", "nullable": True, "center": 1.0, "scale": 2.0},
            "n": {"type": "integer", "nullable": True},
            "c": {"type": "category", "nullable": True},
            "b": {"type": "boolean", "nullable": True},
            "t": {"type": "text", "nullable": True},
            "y": {"type": "boolean", "nullable": True},
        },
        "pairs": [["x", "c"], ["n", "b"]],
    }
)  # fmt: skip

numbers = st.one_of(
    st.none(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, -0.0, 1.0, 5e-324, -1e-200, 1.7e308, -1.7e308, 1e29, 128.0, 3.0, 1 / 3]),
)
rows = st.tuples(
    numbers,
    st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.integers(-3, 3)),
    st.one_of(st.none(), st.sampled_from(["a", "b", ""]), st.text(max_size=3)),
    st.one_of(st.none(), st.booleans()),
    st.one_of(st.none(), st.text("ab \u00e9", max_size=8)),
    st.one_of(st.none(), st.booleans()),
    st.one_of(st.none(), st.sampled_from(["1", "2", "3"]), st.text(max_size=2)),
    st.one_of(st.none(), st.integers(-(2**50), 2**50)),
)


def make_table(listed):
    names, kinds = ["x", "n", "c", "b", "t", "y", "id", "at"], [
        pa.float64(), pa.int64(), pa.string(), pa.bool_(), pa.string(), pa.bool_(), pa.string(),
        pa.timestamp("us", tz="UTC"),
    ]  # fmt: skip
    columns = list(zip(*listed, strict=True)) if listed else [()] * len(names)
    return pa.table({n: pa.array(list(v), k) for n, v, k in zip(names, columns, kinds, strict=True)})


def profile(listed):
    return profile_table(make_table(listed), CONTRACT)


@settings(max_examples=25, deadline=None)
@given(st.lists(rows, max_size=30), st.data())
def test_any_order_and_any_grouping_give_the_same_bytes(listed, data):
    whole = profile(listed)
    shuffled = data.draw(st.permutations(listed))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(listed)), max_size=4)))
    parts = [profile(shuffled[a:b]) for a, b in pairwise([0, *cuts, len(listed)])]
    parts = data.draw(st.permutations(parts))
    folded = parts[0]
    for part in parts[1:]:
        folded = part.merge(folded)
    assert whole.to_bytes() == merge(parts).to_bytes() == folded.to_bytes()


@settings(max_examples=15, deadline=None)
@given(st.lists(rows, max_size=20))
def test_stored_bytes_come_back_as_the_same_profile(listed):
    found = profile(listed)
    again = Profile.from_bytes(found.to_bytes())
    assert (found, found.to_bytes()) == (again, again.to_bytes())
    assert {n: repr(c.mean) for n, c in found.columns.items()} == {n: repr(c.mean) for n, c in again.columns.items()}


def samples(rng, n):
    """Columns of every sort, some of which change their representation while they are read."""
    return {
        "normal": rng.normal(size=n),
        "spike": np.where(rng.random(n) < 0.6, 0.0, rng.lognormal(size=n)),
        "few": rng.integers(0, 9, n).astype(float),
        "many_whole": rng.integers(0, 4000, n).astype(float),
        "far": 1e9 + rng.normal(size=n),
        "huge": rng.standard_cauchy(n) * 1e40,
        "late": np.concatenate([np.ones(n - n // 4), rng.normal(size=n // 4)]),
        "tiny": np.where(rng.random(n) < 0.01, -0.0, rng.normal(size=n)) * np.where(rng.random(n) < 0.01, 1e-60, 1.0),
    }


def test_large_columns_merge_exactly_too():
    rng = np.random.default_rng(3)
    table = pa.table(samples(rng, 60_000) | {"id": np.arange(60_000).astype(str)})
    contract = Contract.model_validate(
        {"format": "csv", "record_id": "id", "event_time": "at",
         "columns": {n: {"type": "number"} for n in table.column_names if n != "id"}}
    )  # fmt: skip
    whole = profile_table(table, contract)
    shuffled = table.take(pa.array(rng.permutation(60_000)))
    cuts = [0, 3, 900, 6_000, 30_000, 60_000]
    parts = [profile_table(shuffled.slice(a, b - a), contract) for a, b in pairwise(cuts)]
    for name in whole.columns:
        assert whole.columns[name].bins == merge(parts).columns[name].bins, name
        assert whole.columns[name].moments == merge(parts).columns[name].moments, name
    assert whole.to_bytes() == merge(parts[::-1]).to_bytes()
    assert whole.columns["few"].bins.is_exact and not whole.columns["late"].bins.is_exact


@pytest.mark.parametrize("fitted", [True, False])
def test_moments_and_extremes_agree_with_pandas(fitted):
    rng = np.random.default_rng(4)
    data = samples(rng, 20_000)
    del data["huge"]
    contract = Contract.model_validate(
        {"format": "csv", "record_id": "id", "event_time": "at", "columns": {n: {"type": "number"} for n in data}}
    )
    table = pa.table(data)
    found = profile_table(table, fit_grids(table, contract) if fitted else contract)
    frame = pd.DataFrame(data)
    for name in data:
        column, series = found.columns[name], frame[name]
        assert column.mean == pytest.approx(series.mean(), rel=1e-9, abs=1e-7 * series.std()), name
        assert column.std == pytest.approx(series.std(), rel=1e-6), name
        assert (column.minimum, column.maximum, column.count) == (series.min(), series.max(), len(series))
        assert column.distinct_estimate == pytest.approx(series.nunique(), rel=0.12), name


def test_counts_agree_with_pandas():
    rng = np.random.default_rng(5)
    values = pd.Series(rng.choice(["a", "b", None, "ü"], 5000))
    table = pa.table({"c": pa.array(values.to_list(), pa.string())})
    found = profile_table(table, CONTRACT).columns["c"]
    assert values.value_counts().to_dict() == found.category_counts
    assert (values.isna().sum(), 3.0) == (found.null_count, found.distinct_estimate)


@pytest.mark.parametrize("step", [1, 3, 7, 100, 444_892, 0.01, 0.36, 1 / 3, 1e-6])
@pytest.mark.parametrize("n", [3_000, 50_000])
def test_distinct_values_in_even_steps_are_counted_as_well_as_any(step, n):
    # The cheap hash of numbers is linear but for one fold: a bad one is off by a quarter on some of these.
    table = pa.table({"x": np.arange(n) * float(step), "id": np.arange(n).astype(str)})
    found = profile_table(table, CONTRACT).columns["x"]
    assert found.distinct_estimate == pytest.approx(n, rel=0.1)


def test_hours_of_the_week_begin_on_monday():
    at = pd.to_datetime(["2026-03-02T00:30:00Z", "2026-03-08T23:59:59Z", "1969-12-29T01:00:00Z"])
    found = profile_table(pa.table({"at": pa.array(at, pa.timestamp("us", tz="UTC"))}), CONTRACT).columns["at"]
    assert np.flatnonzero(found.hours_of_week).tolist() == [0, 1, 167]
    assert (at.min().to_pydatetime(), at.max().to_pydatetime()) == (found.first_at, found.last_at)


@settings(deadline=None)
@given(
    st.integers(-400, 400_000),
    # On the hour, just before, just after, and anywhere; few hours for many rows, or many for few.
    st.lists(st.tuples(st.integers(0, 400), st.sampled_from([0, 1, 1_800_000_000, 3_599_999_999])), min_size=1),
    st.booleans(),
    st.sampled_from([1, 40]),
)
def test_hours_of_the_week_are_those_of_the_calendar_in_any_order(first, hours, ascending, times):
    at = [(first + hour) * 3_600_000_000 + within for hour, within in hours] * times
    at = sorted(at) if ascending else at
    found = profile_table(pa.table({"at": pa.array(at, pa.timestamp("us", tz="UTC"))}), CONTRACT).columns["at"]
    days = pd.to_datetime(at, unit="us")
    expected = np.bincount(days.dayofweek * 24 + days.hour, minlength=168)
    assert found.hours_of_week.tolist() == expected.tolist()


def test_text_is_known_by_length_and_vocabulary():
    then = profile_table(pa.table({"t": ["a b", "A  c ", ""]}), CONTRACT).columns["t"].text
    now = profile_table(pa.table({"t": ["a zebra"]}), CONTRACT).columns["t"].text
    assert then.tokens.counts == {"a": 2, "b": 1, "c": 1}
    assert now.out_of_vocabulary_share(then) == 0.5
    assert pytest.approx(8 / 3) == then.characters.mean
    assert pytest.approx(4 / 3) == then.tokens_per_text.mean


def test_counts_stay_bounded_and_whole_when_values_are_many():
    values = [f"v{i}" for i in range(5000)]
    builder = CategoryBuilder()
    builder.add(pa.array(values), np.arange(1, 5001))
    found = builder.build()
    assert (len(found.counts), found.is_complete, found.total) == (1024, False, 5000 * 5001 // 2)
    assert all(found.counts[v] == int(v[1:]) + 1 for v in found.counts)
    assert found.distinct_estimate == pytest.approx(5000, rel=0.12)


def test_a_label_that_has_not_come_is_no_missing_value():
    found = profile([(1.0, 1, "a", True, "t", None, "1", 0), (1.0, 1, "a", True, "t", True, "2", 0)]).columns["y"]
    assert (found.count, found.null_count) == (1, 0)


def test_the_reservoir_is_uniform_over_records():
    n = 4000
    table = pa.table({"id": [str(i) for i in range(n)], "x": np.arange(n, dtype=float)})
    sample = profile_table(table, CONTRACT).reservoir
    values = np.sort(sample.columns["x"])
    assert (sample.rows, len(set(values))) == (256, 256)
    assert abs(values.mean() - n / 2) < 4 * n / np.sqrt(12 * 256)


def test_the_header_keeps_its_schema():
    stored = profile([(1.0, 1, "a", True, "t u", True, "1", 0), (2.5, None, None, None, None, None, "2", 9)]).to_bytes()
    content = zlib.decompress(stored[8:])
    header = json.loads(content[4 : 4 + struct.unpack_from("<I", content)[0]])
    jsonschema.validate(header, SCHEMA)


@pytest.mark.parametrize("damage", [b"", b"PRNLPRF\x02", b"PRNLPRF\x01", b"PRNLPRF\x01abc", b"x" * 99])
def test_bytes_that_are_no_profile_say_so(damage):
    with pytest.raises(ProfileMismatch):
        Profile.from_bytes(damage)


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_damaged_bytes_never_raise_anything_else(data):
    stored = bytearray(profile([(1.0, 1, "a", True, "t", True, "1", 0)]).to_bytes())
    place = data.draw(st.integers(8, len(stored) - 1))
    stored[place] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(ProfileMismatch):
        Profile.from_bytes(bytes(stored))


def test_profiles_of_other_contracts_do_not_merge():
    other = CONTRACT.model_copy(
        update={"columns": {n: c for n, c in CONTRACT.columns.items() if n != "x"}, "pairs": ()}
    )
    with pytest.raises(ProfileMismatch, match="x"):
        profile([]).merge(profile_table(make_table([]), other))
    with pytest.raises(ProfileMismatch):
        merge([])


def test_histograms_on_other_grids_merge_only_after_rebinning_with_a_stated_error():
    x = np.random.default_rng(6).normal(5, 2, 3000)
    one, two = HistogramBuilder(Grid()).add(x).build(), HistogramBuilder(Grid(center=5, scale=2)).add(x).build()
    with pytest.raises(ProfileMismatch, match="rebin"):
        one.merge(two)
    moved, error = rebin(one, two.grid)
    assert (moved.total, 6000) == (one.total, moved.merge(two).total)
    edges, (a, b) = shared_bins(moved, two)
    assert len(edges) == len(a) + 1 == len(b) + 1
    share = np.abs(np.cumsum(a) - np.cumsum(b)) / one.total
    assert 0 < error < 0.1 and share.max() < 0.02


def test_bins_are_bounded_and_hold_every_row_between_their_edges():
    x = np.random.default_rng(7).standard_t(2, 30_000)
    histogram = HistogramBuilder(Grid()).add(x).build()
    edges, counts = histogram.bins
    assert len(histogram.keys) <= BIN_LIMIT and np.all(np.diff(edges) > 0)
    exact = np.searchsorted(np.sort(x), edges[1:-1], side="left")
    assert np.abs(exact - np.cumsum(counts)[:-1]).max() <= 2
