"""
The rules that the false-alarm simulation takes for evidently's and NannyML's decide as their packages do.

tests/data/peer_decisions.json holds what the packages answered to the rows of a few simulated streams, in their own
environments (`python -m benchmarks.differential` asks them again): 20 columns, three windows each.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.differential.streams import STREAMS
from benchmarks.drift_quality.doane import group_counts
from benchmarks.drift_quality.rules import evidently_default, nannyml_default

FOUND = json.loads((Path(__file__).parents[1] / "data" / "peer_decisions.json").read_text())
RULES = {"evidently": evidently_default, "nannyml": nannyml_default}


@pytest.mark.parametrize("case", STREAMS, ids=lambda case: case.name)
def test_each_window_of_a_stream_is_judged_as_the_packages_judge_its_rows(case):
    stream = case.draw()
    drawn_anew = "streams changed: run `python -m benchmarks.differential --write`"
    assert FOUND["digests"][case.name] == case.digest_of(stream), drawn_anew
    for peer, rule in RULES.items():
        windows = FOUND["peers"][peer]["answers"][case.name]
        for number, theirs in enumerate(windows, start=1):
            assert theirs == [f"c{place:02d}" for place in np.flatnonzero(rule(stream, number))], (peer, number)


@pytest.mark.parametrize("peer", RULES)
def test_the_streams_show_both_verdicts(peer):
    flags = [len(window) for windows in FOUND["peers"][peer]["answers"].values() for window in windows]
    assert 0 in flags
    assert max(flags) >= 4


quarters = st.lists(st.integers(-40, 40).map(lambda n: n / 4), min_size=3, max_size=80)


@given(quarters, quarters)
def test_doanes_bins_are_numpys_and_what_lies_outside_is_one_more(reference, current):
    edges = np.histogram_bin_edges(reference, bins="doane")
    inside = np.histogram(current, bins=edges)[0]
    values, counts = np.unique(reference, return_counts=True)
    expected = np.append(inside, len(current) - inside.sum())
    found = group_counts(values, counts.astype(float), np.array(current), np.ones(len(current)))
    assert expected.tolist() == found.tolist()
