"""Drift that no single column shows is told by a classifier on the profiles' row samples."""

import math

import numpy as np
import pyarrow as pa

from perennial.contract import Contract
from perennial.drift import DriftPolicy, DriftReport, calibrate, check, look_jointly
from perennial.drift.classifier import check_jointly
from perennial.profile import Profile, merge, profile_table

CONTRACT = Contract(
    format="csv",
    record_id="id",
    event_time="at",
    columns={name: {"type": "number", "nullable": True} for name in "abc"} | {"kind": {"type": "category"}},
)


def make_profile(*, seed: int, together: float = 0.0, rows: int = 600) -> Profile:
    """Three numbers and a category; `together` is the correlation of a and b."""
    rng = np.random.default_rng(seed)
    a, b, c = rng.normal(size=(3, rows))
    b = together * a + math.sqrt(1 - together**2) * b
    kind = rng.choice(["x", "y", None], rows)
    return profile_table(pa.table({"a": a, "b": b, "c": c, "kind": pa.array(kind.tolist(), pa.string())}), CONTRACT)


def test_columns_that_begin_to_move_together_are_found_though_none_of_them_changed() -> None:
    found = check_jointly(make_profile(seed=1), make_profile(seed=2, together=0.95), seed=7)
    assert found.verdict == "drifted"
    assert set(found.columns) == {"a", "b"}
    assert f"AUC {found.auc:.2f}), mostly by" in found.sentence


def test_rows_of_one_distribution_are_not_told_apart() -> None:
    found = [check_jointly(make_profile(seed=seed), make_profile(seed=100 + seed), seed=seed) for seed in range(4)]
    assert [one.verdict for one in found] == ["steady"] * 4
    assert all(one.columns == () for one in found)


def test_equal_inputs_give_equal_answers() -> None:
    one, two = (check_jointly(make_profile(seed=1), make_profile(seed=3), seed=5) for _ in range(2))
    assert one == two


def test_small_samples_are_inconclusive() -> None:
    found = check_jointly(make_profile(seed=1), make_profile(seed=2, rows=20), seed=7)
    assert found.verdict == "inconclusive"
    assert found.sentence == "the samples must have 60 rows and a column in common. Got (256, 20) rows instead"


def look(window: Profile, weights: dict[str, float] | None = None) -> DriftReport:
    reference = make_profile(seed=1)
    report = check(reference, window, calibration=None, policy=DriftPolicy(weights=weights or {}))
    return look_jointly(report, reference, window, seed=7)


def test_columns_that_drift_together_only_are_worth_a_look_but_no_alarm() -> None:
    report = look(make_profile(seed=2, together=0.95))
    assert (report.verdict, report.worth_a_look, report.drifted_columns) == ("steady", True, ())
    assert report.joint is not None and report.joint.verdict == "drifted"
    assert report.reasons[-1] == f"together, though, {report.joint.sentence}"
    assert DriftReport.model_validate_json(report.to_json()) == report


def test_a_calm_window_says_that_it_was_looked_at_and_nothing_more() -> None:
    report = look(make_profile(seed=2))
    assert report.joint is not None and report.joint.verdict == "steady"
    assert not report.worth_a_look
    assert not any("together" in reason for reason in report.reasons)


def test_columns_left_out_of_the_check_are_left_out_of_the_joint_one() -> None:
    report = look(make_profile(seed=2, together=0.95), weights={"a": 0.0})
    assert report.joint is not None and report.joint.verdict == "steady"


def test_a_window_whose_columns_drifted_is_not_looked_at_again() -> None:
    reference = make_profile(seed=1)
    shifted = profile_table(
        pa.table({name: np.random.default_rng(4).normal(2, 1, 600) for name in "abc"} | {"kind": ["x", "y"] * 300}),
        CONTRACT,
    )
    report = check(reference, shifted, calibration=None, policy=DriftPolicy())
    assert report.verdict == "drifted"
    assert look_jointly(report, reference, shifted, seed=7) is report


def test_chance_raises_the_joint_check_no_more_often_than_its_level_says() -> None:
    found = [check_jointly(make_profile(seed=s), make_profile(seed=900 + s), seed=s, min_auc=0.0) for s in range(60)]
    assert sum(one.p_value <= 0.1 for one in found) <= 12  # 6 on average; more than 12 in 1 of 200 suites


PAIRED = CONTRACT.model_copy(update={"pairs": (("a", "b"),)})


def paired(seed: int, together: float = 0.0) -> Profile:
    """Three numbers, of which a and b are counted together."""
    rng = np.random.default_rng(seed)
    a, b, c = rng.normal(size=(3, 2000))
    b = together * a + math.sqrt(1 - together**2) * b
    kind = pa.array(["x", "y"] * 1000)
    return profile_table(pa.table({"a": a, "b": b, "c": c, "kind": kind}), PAIRED)


def check_pair(window: Profile, weights: dict[str, float] | None = None) -> DriftReport:
    batches = [paired(seed) for seed in range(20)]
    stated = DriftPolicy(weights=weights or {})
    return check(merge(batches), window, calibration=calibrate(batches, policy=stated), policy=stated)


def test_a_pair_that_the_contract_names_drifts_though_neither_column_does() -> None:
    report = check_pair(paired(50, together=0.8))
    assert report.drifted_columns == ("a x b",)
    assert report.columns[0].sentence.startswith("a x b has another mix: 'part ")
    assert not look_jointly(report, paired(1), paired(2), seed=1).joint


def test_a_pair_that_goes_on_as_before_is_steady() -> None:
    assert check_pair(paired(51)).verdict == "steady"


def test_a_pair_is_left_out_with_either_of_its_columns() -> None:
    report = check_pair(paired(50, together=0.8), weights={"b": 0.0})
    assert {column.name for column in report.columns} == {"a", "c", "kind"}
