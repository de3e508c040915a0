"""Drift that no single column shows is told by a classifier on the profiles' row samples."""

import math

import numpy as np
import pyarrow as pa

from perennial.contract import Contract
from perennial.drift.classifier import check_jointly
from perennial.profile import Profile, profile_table

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
