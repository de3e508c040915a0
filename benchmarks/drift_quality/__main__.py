"""
`python -m benchmarks.drift_quality [--real DIR] [--streams N] [--json]`: false alarms and power, ours and others'.

Without `--real`, streams are simulated, and the cost of a check is measured.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

from benchmarks.drift_quality.cost import measure_cost
from benchmarks.drift_quality.real import compare_real
from benchmarks.drift_quality.simulate import ALL_CELLS, simulate_all


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drift_quality", description=__doc__)
    parser.add_argument("--streams", type=int, default=200, help="streams in each cell (default 200)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="only a few cells")
    parser.add_argument("--cells", metavar="N,N", help=f"only these cells, of 0 to {len(ALL_CELLS) - 1}")
    parser.add_argument("--real", nargs="?", const=os.environ.get("PERENNIAL_DRIFT_DATA", ""), metavar="DIR")
    parser.add_argument("--json", action="store_true", help="print figures as JSON")
    arguments = parser.parse_args()
    started = time.perf_counter()
    if arguments.real is not None:
        if not arguments.real or not Path(arguments.real).is_dir():
            print(
                f"--real must name a folder of data sets (or set PERENNIAL_DRIFT_DATA). Got {arguments.real!r} instead"
            )
            return 2
        figures = compare_real(Path(arguments.real), show=not arguments.json)
    else:
        cells = ALL_CELLS[2::8] if arguments.quick else ALL_CELLS
        if arguments.cells:
            cells = [ALL_CELLS[int(place)] for place in arguments.cells.split(",")]
        figures = {"cost": measure_cost(show=not arguments.json)}
        figures["cells"] = simulate_all(cells, streams=arguments.streams, seed=arguments.seed, show=not arguments.json)
    figures["seconds"] = round(time.perf_counter() - started, 1)
    if arguments.json:
        print(json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
