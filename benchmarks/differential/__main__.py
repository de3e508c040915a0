"""
`python -m benchmarks.differential [--only distances|decisions] [--write]`: ask the peers what our tests rely on.

Says whether they still answer what tests/data holds, or writes what they answer there. Their environments are built
under .build/peers when they aren't there. tests/unit/test_drift_against_peers.py and tests/unit/test_peer_rules.py
hold our numbers and our re-implementations of their rules against what was written.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.differential.samples import SAMPLES, digest_of
from benchmarks.differential.streams import STREAMS
from benchmarks.peer_environments import PeerFailed, call

__all__ = ["FIXTURES", "main"]

RUNNERS = Path(__file__).parent / "runners"
FIXTURES = Path(__file__).parents[2] / "tests" / "data"
PEERS = {"distances": ("evidently", "nannyml", "frouros"), "decisions": ("evidently", "nannyml")}


def main() -> int:
    """Ask each peer both questions, or one; 0 when all answer as they did, or when their answers were written."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.differential", description=__doc__)
    parser.add_argument("--only", choices=sorted(PEERS))
    parser.add_argument("--write", action="store_true", help="keep what they answer as the tests' fixtures")
    options = parser.parse_args()
    FIXTURES.mkdir(exist_ok=True)
    good = True
    for question in [options.only] if options.only else sorted(PEERS):
        path = FIXTURES / f"peer_{question}.json"
        try:
            figures = ask(question, _samples() if question == "distances" else _streams())
        except PeerFailed as error:
            print(f"{question}: {error}")
            good = False
            continue
        if options.write:
            path.write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n")
            print(f"{question}: wrote {path.relative_to(FIXTURES.parents[1])}")
        else:
            good &= _compare(question, json.loads(path.read_text()), figures)
    return 0 if good else 1


def _compare(question: str, kept: dict[str, Any], figures: dict[str, Any]) -> bool:
    """Print each peer's agreement with what is kept; whether all agree."""
    good = True
    for peer, said in figures["peers"].items():
        then = kept["peers"][peer]
        changed = [name for name, answer in said["answers"].items() if not _equal(answer, then["answers"].get(name))]
        good &= not changed
        verdict = (
            f"answers otherwise to {', '.join(changed)}" if changed else f"answers all {len(said['answers'])} as kept"
        )
        print(f"{question}: {peer} {said['version']} {verdict} (kept from {then['version']})")
    return good


def _equal(answer: Any, kept: Any) -> bool:
    """Same columns, or the same measures with the same numbers but for rounding."""
    if not isinstance(answer, dict) or not isinstance(kept, dict):
        return bool(answer == kept)
    return answer.keys() == kept.keys() and all(math.isclose(answer[k], kept[k], rel_tol=1e-6) for k in answer)


def ask(question: str, pairs: Iterable[tuple[str, str, pa.Table, pa.Table]]) -> dict[str, Any]:
    """What each peer answers to each pair of (name, digest, reference, current)."""
    with tempfile.TemporaryDirectory() as folder:
        digests = {}
        for name, digest, *tables in pairs:
            digests[name] = digest
            for side, table in zip(("reference", "current"), tables, strict=True):
                pq.write_table(table, Path(folder) / f"{name}.{side}.parquet")
        said = {peer: call(peer, RUNNERS / f"answer_{peer}.py", question, folder) for peer in PEERS[question]}
    return {"digests": digests, "peers": said}


def _samples() -> Iterable[tuple[str, str, pa.Table, pa.Table]]:
    for sample in SAMPLES:
        reference, current = sample.columns()
        digest = digest_of(pa.concat_arrays([reference, current]))
        yield sample.name, digest, pa.table({"x": reference}), pa.table({"x": current})


def _streams() -> Iterable[tuple[str, str, pa.Table, pa.Table]]:
    for case in STREAMS:
        stream = case.draw()
        yield case.name, case.digest_of(stream), case.reference_rows(stream), case.window_rows(stream)


if __name__ == "__main__":
    sys.exit(main())
