"""README's figures are the ones that the code gives."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from perennial.cost import batch_cost, cycle_cost, idle_cost
from perennial.project import load_loop

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _figure(name: str) -> str:
    found = re.search(rf"<!-- {name} -->\$([\d.,]+)<!-- /{name} -->", README)
    assert found, f"README must state the {name} cost between its marks"
    return found[1]


@pytest.fixture(scope="module")
def bikeshare():
    return load_loop(ROOT / "loops" / "bikeshare")


def test_readme_states_the_idle_cost_that_the_policies_give(bikeshare):
    assert _figure("idle") == f"{idle_cost(bikeshare).usd:.0f}"


def test_readme_states_the_cost_of_a_cycle(bikeshare):
    assert _figure("cycle") == f"{cycle_cost(bikeshare).usd:.2f}"


def test_readme_states_the_cost_of_a_thousand_batches(bikeshare):
    assert _figure("batch") == f"{1000 * batch_cost(bikeshare).usd:.2f}"


def test_the_loop_in_readme_is_a_whole_loop(tmp_path):
    block = re.search(r"```toml\n(.*?)```", README, re.DOTALL)
    assert block
    folder = tmp_path / "churn"
    folder.mkdir()
    (folder / "loop.toml").write_text(block[1], encoding="utf-8")
    (folder / "model.py").write_text("def build_estimator(hyperparameters):\n    ...\n", encoding="utf-8")
    assert load_loop(folder).name == tomllib.loads(block[1])["loop"]["name"]


def test_readme_links_only_to_files_that_exist():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), f"README links to {target}, which doesn't exist"
