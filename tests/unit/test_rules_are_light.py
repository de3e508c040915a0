"""What functions that only decide import must load without arrays (numpy and its like) and without AWS."""

import subprocess
import sys

import pytest

RULES = (
    "canonical", "contract", "cost", "dataset", "events", "gate", "governance", "keys", "labels", "ledger", "metrics",
    "performance", "policy", "project", "rollout", "rollout_plan", "sequential", "toml_lines", "trigger", "checks",
)  # fmt: skip

BLOCKED = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"numpy", "pandas", "scipy", "sklearn", "pyarrow", "boto3", "botocore", "joblib"}:
            raise ImportError(f"{name} must not be needed")
sys.meta_path.insert(0, Refuse())
"""


def _run(code):
    return subprocess.run([sys.executable, "-c", BLOCKED + code], capture_output=True, text=True, check=False)


def test_every_rule_loads_without_arrays_and_without_aws():
    found = _run("\n".join(f"import perennial.{name}" for name in RULES))
    assert (found.returncode, found.stderr) == (0, "")


def test_a_stored_loop_is_read_without_arrays():
    from tests.builders import make_loop

    code = f"from perennial.project import Loop\nprint(Loop.from_json({make_loop().to_json()!r}).digest)"
    assert make_loop().digest == _run(code).stdout.strip()


@pytest.mark.parametrize("name", ["numpy", "boto3"])
def test_the_block_blocks(name):
    assert "must not be needed" in _run(f"import {name}").stderr
