"""P51: a pickle runs code, so nothing unpickles outside of the containers that hold neither network nor credentials."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("perennial", "functions", "infra", "localcloud", "training", "loops", "benchmarks")
MODULES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "jsonpickle"}
LOADERS = {"read_pickle", "Unpickler"}
SANCTIONED = {
    # After its digest and its versions were checked, in the containers of training, evaluation and serving.
    "training/model_folder.py": {"joblib.dump", "joblib.load"},
    # What it has just dumped itself, to see that an estimator survives it; on the machine of who writes the loop.
    "perennial/checks.py": {"joblib.dump", "joblib.load"},
}


def uses(source: str) -> Iterator[str]:
    """What of a pickling module is used, as `module.name`; `module` alone where it only appears by itself."""
    tree = ast.parse(source)
    known: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            known |= {(one.asname or one.name).partition(".")[0]: one.name for one in node.names if _pickles(one.name)}
        elif isinstance(node, ast.ImportFrom) and _pickles(node.module or ""):
            yield from (f"{node.module}.{one.name}" for one in node.names)
    used = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            if isinstance(node.value, ast.Name) and node.value.id in known:
                used.add(node.value.id)
                yield f"{known[node.value.id]}.{node.attr}"
            elif node.attr in LOADERS:
                yield node.attr
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle" and _may_be_true(node.value):
            yield "allow_pickle"
        elif isinstance(node, ast.Constant) and node.value in MODULES - {"dill"}:
            yield f"{node.value} by name"
    yield from (module for name, module in known.items() if name not in used)


def _pickles(module: str) -> bool:
    return module.partition(".")[0] in MODULES


def _may_be_true(value: ast.expr) -> bool:
    return not (isinstance(value, ast.Constant) and value.value is False)


def test_p51_nothing_unpickles_but_what_is_listed() -> None:
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            used = set(uses(path.read_text(encoding="utf-8")))
            if used:
                found[path.relative_to(ROOT).as_posix()] = used
    assert found == SANCTIONED


@pytest.mark.parametrize(
    "source",
    [
        "import pickle\npickle.loads(b'')",
        "from joblib import load",
        "import joblib as j\nj.load('x')",
        "import pandas as pd\npd.read_pickle('x')",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "import importlib\nimportlib.import_module('pickle')",
        "def f():\n    import shelve",
    ],
)
def test_a_new_use_would_be_seen(source: str) -> None:
    assert list(uses(source))


def test_a_load_that_refuses_pickles_is_none() -> None:
    assert not list(uses("import numpy as np\nnp.load('x', allow_pickle=False)"))
