"""Reports are pages that can be kept: self-contained, and nothing in the data can become markup."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Literal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.drift import DriftPolicy, check
from perennial.drift.report import ColumnDrift, DriftReport, WindowEvidence
from perennial.profile import Profile, profile_table
from perennial.report import (
    Accident,
    DriftCell,
    DriftPage,
    HistogramPair,
    Marker,
    ModelRow,
    Moment,
    QualityPoint,
    QualitySeries,
    RolloutShare,
    RolloutStory,
    Story,
    SummaryRow,
    drift_page,
    render_drift,
    render_story,
)
from perennial.report.markup import cell
from tests.builders import make_contract

NASTY = '"><script>alert(1)</script><img src=x onerror=alert(2)>&'
VOID = {"meta", "br", "img", "link", "input"}


class Tags(HTMLParser):
    """Every element of a page, and whether each was closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def make_story(word: str = "temp", *, value: float = 0.9) -> Story:
    return Story(
        title=word,
        subtitle=word,
        metric=word or "accuracy",
        summary=(SummaryRow(word, word, word, "good"),),
        timeline=tuple(Moment(datetime(2026, 1, 1, tzinfo=UTC), word, word) for _ in range(70)),
        quality=(QualitySeries(word, (QualityPoint(word, value, 168), QualityPoint("b", value / 2))),),
        markers=(Marker(word, "promoted", word), Marker(word, "drift", word), Marker("nowhere", "rejected", word)),
        drift=(DriftCell(word, word, value, True),),
        rollouts=(RolloutStory(word, "rolled back", (RolloutShare(0.1, word, held=True),), word),),
        accidents=(Accident(word, word, word, False, (word,)),),
        models=(ModelRow(word, word, 10, value, None, word, word),),
    )


def make_drift_report(word: str = "temp") -> DriftReport:
    column = ColumnDrift(
        name=word,
        kind="number",
        null_rate_reference=0.0,
        null_rate_window=0.0,
        null_rate_change=0.0,
        effect=0.4,
        changed=word,
        p_value=0.001,
        adjusted_p_value=0.002,
        drifted=True,
        warned=True,
        sentence=word,
    )
    evidence = WindowEvidence(rows=168, positions=None, seasons=(), scores={})
    return DriftReport(
        verdict="drifted", columns=(column,), reasons=(word,), calibrated=True, alarm_level=0.05, evidence=evidence
    )


def make_page(word: str = "temp") -> DriftPage:
    pair = HistogramPair(word, (word, "b", "3 to 4"), (0.5, 0.5, 0.0), (0.1, 0.9, 0.0))
    cells = (DriftCell("monday", word, 0.1), DriftCell(word, word, 0.4, True))
    return DriftPage(word, word, (pair,), cells, word, (word,))


def pages(word: str) -> tuple[str, str, str]:
    told = make_page(word)
    numbers = replace(told, histograms=(replace(told.histograms[0], kind="number"),))
    report = make_drift_report(word)
    return render_story(make_story(word)), render_drift(report, told), render_drift(report, numbers)


def test_nothing_that_data_says_becomes_markup_p50() -> None:
    for page, plain in zip(pages(NASTY), pages("temp"), strict=True):
        assert Tags(page).seen == Tags(plain).seen
        assert not {"script", "img", "iframe", "object", "a"} & set(Tags(page).seen)
        assert not any(name.startswith("on") for name, _ in Tags(page).attributes)


# How long an example takes says more about the machine than about the page.
@settings(deadline=None, max_examples=40)
@given(st.text(max_size=30))
def test_any_text_gives_a_well_formed_page_with_the_same_elements(word: str) -> None:
    tags = Tags(render_story(make_story(word)))
    assert tags.open == []
    assert {"html", "head", "body", "svg"} <= set(tags.seen)


def test_a_page_refers_to_nothing_outside_itself() -> None:
    for page in pages("temp"):
        assert not re.search(r"https?:|//[a-z]|@import|url\(", page)
        assert not {"src", "href", "data", "action"} & {name for name, _ in Tags(page).attributes}
        assert "default-src &#x27;none&#x27;" in page


def test_an_empty_story_says_that_nothing_has_happened() -> None:
    page = render_story(Story(title="bikeshare"))
    assert "Nothing has happened yet" in page
    assert "<svg" not in page


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0, -3.5, 1e12])
def test_values_that_no_axis_was_made_for_still_give_a_page(value: float) -> None:
    page = render_story(make_story(value=value))
    assert Tags(page).open == []
    assert not re.search(r'(?:x|y|d|cx|cy|width|height)="[^"]*(?:nan|inf)', page)


def test_a_story_survives_json() -> None:
    story = make_story(NASTY)
    assert Story.from_json(story.to_json()) == story


@pytest.mark.parametrize("formula", ["=HYPERLINK(1)", "+cmd|' /C calc'!A0", "-2+3+cmd", "@SUM(1)", "\t=1"])
def test_a_cell_is_no_formula_when_pasted_into_a_spreadsheet_p50(formula: str) -> None:
    assert cell(formula).startswith("&#x27;")


def test_negative_numbers_in_cells_stay_numbers() -> None:
    assert [cell("-0.02"), cell("+3"), cell("-12%")] == ["-0.02", "+3", "-12%"]


@pytest.mark.parametrize("kind", ["number", "category"])
def test_a_drift_page_says_what_changed_by_how_much_and_since_when(kind: Literal["number", "category"]) -> None:
    (column,) = make_drift_report("temp").columns
    since = datetime(2026, 3, 9, tzinfo=UTC)
    report = make_drift_report().model_copy(
        update={"columns": (column.model_copy(update={"usual_effect": 0.12, "since": since}),), "since": since}
    )
    told = make_page()
    page = render_drift(report, replace(told, histograms=(replace(told.histograms[0], kind=kind),)))
    words = " ".join(re.sub(r"<[^>]*>", " ", page.partition("</style>")[2]).split())
    assert "Since 2026-03-09" in words
    assert "Effect 0.400 Usual, at most 0.120" in words
    assert "b: reference 50.0%, window 90.0%" in words
    assert "monday: effect 0.100" in words
    assert "temp: effect 0.400, drifted" in words


def test_a_drift_page_of_profiles_plots_the_columns_that_drifted_window_by_window() -> None:
    rng = np.random.default_rng(3)
    contract = make_contract(label=None, columns={"temp": {"type": "number"}, "kind": {"type": "category"}})

    def profile(mean: float) -> Profile:
        kinds = pa.array(["a", "b"] * 200)
        return profile_table(pa.table({"temp": rng.normal(mean, 1, 400), "kind": kinds}), contract)

    reference, first, second = profile(0), profile(2), profile(3)
    policy = DriftPolicy()
    earlier = check(reference, first, calibration=None, policy=policy, now=datetime(2026, 3, 8, tzinfo=UTC))
    report = check(
        reference, second, calibration=None, policy=policy, history=[earlier], now=datetime(2026, 3, 9, tzinfo=UTC)
    )
    told = drift_page(report, reference, second, title="Drift", earlier=[earlier])
    assert [pair.column for pair in told.histograms] == ["temp"]
    assert told.histograms[0].kind == "number"
    cells = {(cell.batch, cell.column): cell.drifted for cell in told.history}
    assert cells["2026-03-08", "temp"] and cells["2026-03-09", "temp"] and not cells["2026-03-09", "kind"]
    tags = Tags(render_drift(report, told))
    assert tags.open == []
    assert tags.seen.count("svg") == 3
