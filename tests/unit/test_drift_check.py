"""A drift check on stored profiles: silent when nothing drifts, plain when something does."""

from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.contract import Contract
from perennial.drift import (
    Calibration,
    DriftPolicy,
    DriftReport,
    calibrate,
    check,
    choose_reference,
    compare_shares,
    policy_for,
)
from perennial.drift.calibration import calibrate_columns, merge_columns
from perennial.drift.distances import Binned
from perennial.drift.judge import check_columns
from perennial.drift.places import season_of
from perennial.drift.profiles import columns_of, common_resolution
from perennial.drift.scores import NumberCounts, NumberScorer, build_scorer
from perennial.drift.spans import Span
from perennial.errors import CalibrationImpossible
from perennial.profile import Profile, merge, profile_table

BEGIN = datetime(2026, 1, 5, tzinfo=UTC)
BATCHES = 24
ROWS = 2000
POLICY = DriftPolicy(checks_per_year=20)
CONTRACT = Contract(
    format="csv",
    record_id="id",
    event_time="at",
    columns={
        "temp": {"type": "number", "nullable": True},
        "count": {"type": "integer"},
        "kind": {"type": "category"},
        "note": {"type": "text"},
        "noise": {"type": "number"},
    },
)
WORDS = np.array(["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "in", "rain", "and", "snow"])


def make_batch(
    *,
    seed: int,
    temp: float = 0.0,
    spread: float = 1.0,
    nulls: float = 0.02,
    kinds: str = "aaabbc",
    words: np.ndarray = WORDS,
    rows: int = ROWS,
) -> Profile:
    """A batch whose columns differ a little from those of any other batch."""
    rng = np.random.default_rng(seed)
    values = rng.normal(temp + rng.normal(0, 0.05), spread, rows)
    table = {
        "temp": pa.array(np.where(rng.random(rows) < nulls, np.nan, values), from_pandas=True),
        "count": rng.poisson(5, rows),
        "kind": pa.array(rng.choice(list(kinds), rows)),
        "note": [" ".join(row) for row in rng.choice(words, (rows, 3))],
        "noise": rng.normal(rng.normal(0, 0.05), 1, rows),
    }
    return profile_table(pa.table(table), CONTRACT)


@cache
def batches() -> tuple[Profile, ...]:
    return tuple(make_batch(seed=seed) for seed in range(BATCHES))


@cache
def reference() -> Profile:
    return merge(batches())


@cache
def calibration() -> Calibration:
    return calibrate(batches(), policy=POLICY, times=[BEGIN + timedelta(days=day) for day in range(BATCHES)])


def checked(window: Profile, *, policy: DriftPolicy = POLICY, history: tuple[DriftReport, ...] = ()) -> DriftReport:
    """The check of a window that follows the reference and the windows of `history`."""
    now = BEGIN + timedelta(days=BATCHES + len(history))
    return check(reference(), window, calibration=calibration(), policy=policy, history=history, now=now)


def test_batches_like_those_of_the_reference_are_steady() -> None:
    reports = [checked(make_batch(seed=1000 + seed)) for seed in range(20)]
    assert sum(report.verdict == "drifted" for report in reports) <= 2
    assert all(report.calibrated for report in reports)


@pytest.mark.parametrize(
    ("changed", "column", "aspect", "words"),
    [
        ({"temp": 0.6}, "temp", "location", "moved up: median"),
        ({"temp": -0.6}, "temp", "location", "moved down: median"),
        ({"spread": 1.8}, "temp", "scale", "changed shape: spread"),
        ({"nulls": 0.3}, "temp", "nulls", "has nulls in"),
        ({"kinds": "abbbcc"}, "kind", "shares", "has another mix: 'a'"),
        ({"kinds": "aaabbcddd"}, "kind", None, ""),
        ({"words": np.array([word[::-1] for word in WORDS])}, "note (words)", None, ""),
    ],
)
def test_a_change_is_found_named_and_told(changed: dict, column: str, aspect: str | None, words: str) -> None:
    report = checked(make_batch(seed=5, **changed))
    assert report.verdict == "drifted"
    first = report.columns[0]
    assert first.name == column
    assert first.drifted
    assert aspect in (None, first.changed)
    assert words in first.sentence
    assert first.sentence in report.reasons
    assert f"{BATCHES} reference batches" in first.sentence


def test_new_categories_are_measured() -> None:
    found = {column.name: column for column in checked(make_batch(seed=6, kinds="aaabbcddd")).columns}
    assert found["kind"].new_category_share == pytest.approx(1 / 3, abs=0.05)
    assert found["temp"].new_category_share == 0


def test_every_effect_size_that_applies_is_there() -> None:
    found = {column.name: column for column in checked(make_batch(seed=7, temp=1.0)).columns}
    number, category = found["temp"], found["kind"]
    assert number.ks == pytest.approx(0.38, abs=0.05)
    assert number.wasserstein_normed == pytest.approx(1.0, abs=0.15)
    assert None not in (number.psi, number.jensen_shannon)
    assert number.cramers_v is None
    assert category.ks is None
    assert None not in (category.psi, category.jensen_shannon, category.total_variation, category.cramers_v)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, BATCHES - 1))
def test_a_profile_never_drifts_from_itself(place: int) -> None:
    assert checked(reference()).verdict == "steady"
    own = batches()[place]
    for learnt in (None, calibration()):
        assert check(own, own, calibration=learnt, policy=POLICY).verdict == "steady"


def test_a_larger_shift_is_more_surprising() -> None:
    shifts = (0.1, 0.3, 0.5, 0.8)
    found = [{c.name: c for c in checked(make_batch(seed=8, temp=shift)).columns}["temp"] for shift in shifts]
    p_values = [column.p_value for column in found]
    assert p_values == sorted(p_values, reverse=True)
    assert [column.ks for column in found] == sorted(column.ks or 0 for column in found)


def test_an_alarm_is_always_about_some_column_however_loose_its_budget() -> None:
    loose = POLICY.model_copy(update={"alarms_per_year": 1000.0, "alarm_fdr": 0.9, "warn_fdr": 1e-9})
    reports = [checked(make_batch(seed=2000 + seed), policy=loose) for seed in range(8)]
    assert any(report.verdict == "drifted" for report in reports)
    assert all(bool(report.drifted_columns) == (report.verdict == "drifted") for report in reports)


def test_drift_too_small_for_one_window_is_found_in_several_and_dated() -> None:
    history: tuple[DriftReport, ...] = ()
    for seed in range(3):
        history += (checked(make_batch(seed=2000 + seed), history=history),)
    for seed in range(6):
        history += (checked(make_batch(seed=3000 + seed, temp=0.16), history=history),)
    assert [report.verdict for report in history[:4]] == ["steady"] * 4
    assert history[-1].verdict == "drifted"
    assert history[-1].drifted_columns == ("temp",)
    began = BEGIN + timedelta(days=BATCHES + 3)
    assert history[-1].since is not None
    assert abs(history[-1].since - began) <= timedelta(days=2)


def test_confirmation_waits_for_consecutive_windows() -> None:
    policy = POLICY.model_copy(update={"confirm": 2})
    first = checked(make_batch(seed=10, temp=0.6), policy=policy)
    assert first.verdict == "steady"
    assert "not yet confirmed" in first.reasons[0]
    assert [column.name for column in first.columns if column.warned] == ["temp"]
    second = checked(make_batch(seed=11, temp=0.6), policy=policy, history=(first,))
    assert second.verdict == "drifted"
    calm = checked(make_batch(seed=12), policy=policy, history=(first,))
    third = checked(make_batch(seed=13, temp=0.6), policy=policy, history=(first, calm))
    assert third.verdict == "steady"


def test_a_window_of_too_few_rows_is_inconclusive() -> None:
    report = checked(make_batch(seed=14, temp=3.0, rows=50))
    assert report.verdict == "inconclusive"
    assert report.reasons == ("the window must have at least 100 rows. Got 50 instead",)


def test_too_few_reference_batches_are_said_and_only_large_changes_count() -> None:
    few = calibrate(batches()[:8], policy=POLICY)
    assert not few.sufficient
    small, large = (
        check(reference(), make_batch(seed=15, temp=temp), calibration=few, policy=POLICY) for temp in (0.15, 0.8)
    )
    assert (small.verdict, large.verdict) == ("steady", "drifted")
    assert not large.calibrated
    assert "only 8 reference batches; 20 are needed" in large.reasons[-1]
    nothing = check(reference(), make_batch(seed=15, temp=0.8), calibration=None, policy=POLICY)
    assert nothing.verdict == "drifted"
    assert "nothing is calibrated" in nothing.reasons[-1]


def test_one_batch_calibrates_nothing_and_says_so() -> None:
    assert "1 reference batches say nothing" in calibrate(batches()[:1], policy=POLICY).reason


def test_a_weight_of_zero_leaves_a_column_out_and_a_high_one_gives_it_more_of_the_budget() -> None:
    window = make_batch(seed=16, temp=0.6)
    without = check(reference(), window, calibration=calibration(), policy=POLICY, weights={"temp": 0})
    assert "temp" not in {column.name for column in without.columns}
    plain, heavy = (
        {c.name: c for c in check(reference(), window, calibration=calibration(), policy=POLICY, weights=w).columns}
        for w in ({}, {"temp": 5.0})
    )
    assert heavy["temp"].adjusted_p_value < plain["temp"].adjusted_p_value


def test_the_contract_says_which_columns_take_part_and_from_which_effect_on() -> None:
    contract = Contract(
        format="csv",
        record_id="id",
        event_time="at",
        columns={
            "temp": {"type": "number", "drift": {"floor": 0.9, "weight": 2}},
            "kind": {"type": "category", "drift": False},
        },
    )
    policy = policy_for(contract, POLICY)
    assert policy.weights == {"temp": 2.0, "kind": 0.0, "id": 0.0, "at": 0.0}
    assert policy.floor("temp") == 0.9
    assert policy.floor("count") == POLICY.min_effect
    assert checked(make_batch(seed=17, temp=0.6), policy=policy).verdict == "steady"


def test_the_budget_sets_the_level_and_a_cadence_of_batches_the_number_of_checks() -> None:
    assert DriftPolicy(alarms_per_year=1).alarm_level(100) == 0.01
    assert DriftPolicy(alarms_per_year=1).alarm_level(None) == 0.05
    assert DriftPolicy(alarms_per_year=1000).alarm_level(100) == 0.05
    assert calibration().checks_per_year == pytest.approx(365.25)
    assert checked(make_batch(seed=18), policy=DriftPolicy()).alarm_level == pytest.approx(1 / 365.25)


def test_a_calibration_survives_json_to_the_letter() -> None:
    text = calibration().to_json()
    again = Calibration.from_json(text)
    assert again.to_json() == text
    window = make_batch(seed=19, temp=0.3)
    reports = [check(reference(), window, calibration=c, policy=POLICY) for c in (calibration(), again)]
    assert reports[0] == reports[1]


def test_a_calibration_of_columns_without_shape_survives_json() -> None:
    contract = CONTRACT.model_copy(update={"columns": dict.fromkeys(("two", "one", "none"), CONTRACT.columns["temp"])})
    rng = np.random.default_rng(8)
    past = [
        profile_table(pa.table({"two": rng.integers(0, 2, 200), "one": [4.0] * 200, "none": [None] * 200}), contract)
        for _ in range(6)
    ]
    learnt = calibrate(past, policy=DriftPolicy(min_reference_batches=5))
    again = Calibration.from_json(learnt.to_json())
    assert again.to_json() == learnt.to_json()
    reports = [check(merge(past), past[0], calibration=each, policy=POLICY) for each in (learnt, again)]
    assert reports[0] == reports[1]
    assert reports[0].verdict == "steady"


def test_location_and_scale_leave_shape_as_it_was() -> None:
    past = [make_batch(seed=seed) for seed in range(5)]
    columns = [columns_of(profile, common_resolution(past))["noise"] for profile in past]
    pooled = merge_columns(columns)
    scorer = build_scorer(pooled)
    assert isinstance(scorer, NumberScorer) and isinstance(pooled, NumberCounts)
    plain = scorer.score(pooled)
    for change in (lambda v: v + 0.1, lambda v: v * 1.1):
        moved = NumberCounts(Binned(change(pooled.binned.values), pooled.binned.counts), 0)
        told = scorer.score(moved)
        whole = np.linalg.norm(2 * np.sqrt(scorer.coarsen(scorer.groups(moved.binned)) / pooled.rows))
        assert np.linalg.norm(told["shape"] - plain["shape"]) < 0.02 * whole
        assert max(abs(told[a][0] - plain[a][0]) for a in ("location", "scale")) > 0.05


def test_a_calibration_of_another_version_is_refused() -> None:
    with pytest.raises(CalibrationImpossible, match=r"must be of version 2\. Got 99"):
        Calibration.from_json('{"version": 99}')


def test_a_report_survives_json() -> None:
    report = checked(make_batch(seed=20, temp=0.6))
    assert DriftReport.model_validate_json(report.to_json()) == report


def test_seasons_must_be_given_for_every_batch() -> None:
    with pytest.raises(ValueError, match=r"seasons must be one for each of 24 batches\. Got 2"):
        calibrate(batches(), policy=POLICY, seasons=["a", "b"])


def test_the_reference_of_the_same_season_is_chosen_where_history_allows() -> None:
    policy = DriftPolicy(season="weekday")
    seasons = [season_of(BEGIN + timedelta(days=day), "weekday") for day in range(BATCHES)]
    few, said = choose_reference(batches(), seasons, "Sunday", policy=policy)
    assert (few.rows, said) == (BATCHES * ROWS, "compared with all 24 reference batches")
    same, said = choose_reference(batches(), seasons, "Monday", policy=policy)
    assert (same.rows, said) == (4 * ROWS, "compared with the 4 reference batches of the same weekday (Monday)")
    everything, _ = choose_reference(batches(), seasons, "Monday", policy=POLICY)
    assert everything.rows == BATCHES * ROWS


def weekend(day: int) -> float:
    """Far warmer on two days of seven."""
    return 0.8 if day % 7 >= 5 else 0.0


def test_a_season_that_is_told_is_no_drift_and_a_missing_season_is() -> None:
    policy = DriftPolicy(checks_per_year=20, season="weekday")
    weekly = [make_batch(seed=4000 + day, temp=weekend(day)) for day in range(28)]
    learnt = calibrate(weekly, policy=policy, times=[BEGIN + timedelta(days=day) for day in range(28)])
    verdicts = {}
    for day, temp in ((33, 0.8), (33, 0.0), (29, 0.8), (29, 0.0)):
        window = make_batch(seed=5000 + day, temp=temp)
        report = check(merge(weekly), window, calibration=learnt, policy=policy, now=BEGIN + timedelta(days=day))
        verdicts[day, temp] = report.verdict
    assert verdicts == {(33, 0.8): "steady", (33, 0.0): "drifted", (29, 0.8): "drifted", (29, 0.0): "steady"}


# --- identical distributions, many times ------------------------------------------------------------------------------


def draw_columns(rng: np.random.Generator, tau: float, rows: int) -> dict[str, NumberCounts]:
    """Four normal columns on a grid of 80 bins."""
    places = np.linspace(-4, 4, 81)
    columns = {}
    for name in "abcd":
        density = np.exp(-((places - rng.normal(0, tau)) ** 2) / 2)
        columns[name] = NumberCounts(Binned.of(places, rng.multinomial(rows, density / density.sum())), 0)
    return columns


def raised(tau: float, rows: int) -> float:
    """Share of 144 checks that name a column: 12 references, 12 windows each."""
    alarms = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        past = [draw_columns(rng, tau, rows) for _ in range(20)]
        spans = [Span((float(place),), ("",), rows) for place in range(20)]
        learnt = calibrate_columns(past, spans, policy=POLICY)
        pooled = {name: merge_columns([batch[name] for batch in past]) for name in past[0]}
        for _ in range(12):
            window = draw_columns(rng, tau, rows)
            report = check_columns(pooled, window, rows=rows, calibration=learnt, policy=POLICY, positions=(20.0,))
            alarms.append(bool(report.drifted_columns))
    return float(np.mean(alarms))


@pytest.mark.parametrize(("tau", "rows"), [(0.0, 500), (0.05, 1000), (0.05, 1_000_000)])
def test_identical_distributions_alarm_no_more_often_than_the_budget_says(tau: float, rows: int) -> None:
    assert raised(tau, rows) <= POLICY.alarm_level() + 2 * np.sqrt(0.05 * 0.95 / 144)


def test_a_change_that_alarmed_in_every_window_is_dated_to_the_first_of_them() -> None:
    history: list[DriftReport] = []
    for day in range(4):
        window = make_batch(seed=200 + day, temp=1.0 if day else 0.0)
        at = BEGIN + timedelta(days=BATCHES + day)
        history.append(check(reference(), window, calibration=None, policy=POLICY, history=history, now=at))
    assert [report.verdict for report in history] == ["steady", "drifted", "drifted", "drifted"]
    assert history[-1].since == BEGIN + timedelta(days=BATCHES + 1)


def test_without_a_calibration_little_of_the_budget_is_spent() -> None:
    loose = DriftPolicy(alarm_fdr=0.5, alarms_per_year=500, checks_per_year=1000)
    window = make_batch(seed=61, temp=0.25, rows=150)
    report = check(make_batch(seed=161, rows=300), window, calibration=None, policy=loose)
    assert report.verdict == "steady"
    assert report.columns[0].effect > loose.fallback_ks
    assert report.columns[0].p_value < 0.25


def test_shares_to_plot_add_up_and_show_where_rows_went() -> None:
    window = make_batch(seed=30, temp=1.0)
    number = compare_shares(reference(), window, "temp")
    assert (number.kind, len(number.labels), len(number.window)) == ("number", 24, 24)
    assert number.labels[0].startswith("below ")
    assert number.labels[-1].endswith(" and above")
    assert sum(number.reference) == pytest.approx(1) == pytest.approx(sum(number.window))
    middle = [sum(share * place for place, share in enumerate(side)) for side in (number.reference, number.window)]
    assert middle[1] > middle[0] + 2
    category = compare_shares(reference(), make_batch(seed=31, kinds="abd"), "kind")
    assert (category.kind, category.labels) == ("category", ("a", "b", "c", "others"))
    assert category.window == pytest.approx((1 / 3, 1 / 3, 0, 1 / 3), abs=0.04)
    with pytest.raises(KeyError):
        compare_shares(reference(), window, "nonsense")
