"""
`python -m benchmarks.differential [--only distances|decisions]`: ask the peers, write the fixtures of our tests.

The peers' environments are built under .build/peers when they aren't there. tests/unit/test_drift_against_peers.py and
tests/unit/test_peer_rules.py hold our numbers and our re-implemented rules against what is written.
"""

from __future__ import annotations

import argparse
import json
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
    """Ask each peer both questions, or one; nothing is written when a peer can't answer."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.differential", description=__doc__)
    parser.add_argument("--only", choices=sorted(PEERS))
    only = parser.parse_args().only
    FIXTURES.mkdir(exist_ok=True)
    for question in [only] if only else sorted(PEERS):
        pairs = list(_samples() if question == "distances" else _streams())
        try:
            figures = ask(question, pairs)
        except PeerFailed as error:
            print(f"{question} are left as they were: {error}", file=sys.stderr)
            return 1
        path = FIXTURES / f"peer_{question}.json"
        path.write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n")
        print(f"wrote {path.relative_to(FIXTURES.parents[1])}")
    return 0


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
