"""Joining predictions with labels and scoring them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.contract import Column
from perennial.prequential import Known, Said, join, scorable_metric, score

LABEL = Column(type="integer", min=0, max=1)


def said(*rows: tuple[str, str, float | None, str, str]) -> Said:
    columns = list(zip(*rows, strict=True)) if rows else [[], [], [], [], []]
    return Said.of(*(list(column) for column in columns))


def test_a_versions_first_prediction_of_a_record_counts() -> None:
    joined = join(said(("r", "1", 0.9, "v", "t2"), ("r", "0", 0.1, "v", "t1")), Known.of(["r"], np.array([1])), "v")

    assert joined.answer.tolist() == ["0"]


def test_the_newest_label_counts() -> None:
    known = Known.of(["r", "r"], np.array([0, 1]))

    assert (known.labels.tolist(), known.record_ids.tolist()) == ([1], ["r"])


def test_unlabelled_predictions_of_the_same_time_count_for_maturity() -> None:
    rows = [(f"r{n}", "1", 0.9, "v", f"t{n}") for n in range(10)]

    joined = join(said(*rows), Known.of(["r2", "r5"], np.array([1, 1])), "v")

    assert (len(joined), joined.predicted) == (2, 4)


def test_nothing_said_or_nothing_known_scores_nothing() -> None:
    known = Known.of(["r"], np.array([1]))
    assert len(join(said(), known, "v")) == 0
    assert score(join(said(), known, "v"), "accuracy", LABEL).rows == 0
    assert len(join(said(("r", "1", 0.9, "v", "t")), Known.of([], np.array([])), "v")) == 0


@pytest.mark.parametrize(
    ("column", "labels", "answers"),
    [
        (LABEL, [1, 0], ["1", "0"]),
        (Column(type="boolean"), [True, False], ["true", "false"]),
        (Column(type="category"), ["yes", "no"], ["yes", "no"]),
        (Column(type="number"), [1.5, 2.0], ["1.5", "2.0"]),
    ],
)
def test_answers_captured_as_text_equal_the_labels_they_stand_for(
    column: Column, labels: list[object], answers: list[str]
) -> None:
    rows = [(f"r{n}", answer, 0.5, "v", "t") for n, answer in enumerate(answers)]

    joined = join(said(*rows), Known.of(["r0", "r1"], np.array(labels)), "v")

    assert score(joined, "accuracy", column).value == 1.0


def test_a_metric_that_answers_cannot_give_falls_back_to_accuracy() -> None:
    assert scorable_metric("log_loss", "multiclass") == "accuracy"
    assert scorable_metric("log_loss", "binary") == "log_loss"


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=1, max_size=40), st.randoms())
def test_the_order_of_captured_rows_changes_nothing(rows: list[tuple[int, bool]], chance: object) -> None:
    told = [(f"r{n}", str(int(right)), 0.5, "v", f"t{place:03}") for place, (n, right) in enumerate(rows)]
    mixed = list(told)
    chance.shuffle(mixed)  # type: ignore[attr-defined]
    known = Known.of([f"r{n}" for n in range(10)], np.array([n % 2 for n in range(10)]))

    one, other = join(said(*told), known, "v"), join(said(*mixed), known, "v")

    assert sorted(zip(one.truth.tolist(), one.answer.tolist(), strict=True)) == sorted(
        zip(other.truth.tolist(), other.answer.tolist(), strict=True)
    )
    assert one.predicted == other.predicted
