"""What every runner shares: `python answer_X.py DISTANCES|DECISIONS FOLDER` answers and prints one JSON line."""

import json
import os
import sys
from pathlib import Path

import pandas as pd


def answer(jobs, version):
    """Print what the named job says of each pair of files in the folder, in order of their names."""
    job, folder = jobs[sys.argv[1]], Path(sys.argv[2])
    said = {}
    for reference in sorted(folder.glob("*.reference.parquet")):
        name = reference.name.removesuffix(".reference.parquet")
        current = folder / f"{name}.current.parquet"
        said[name] = job(pd.read_parquet(reference), pd.read_parquet(current))
    print("\n" + json.dumps({"version": version, "answers": said}, default=float), flush=True)
    os._exit(0)


def is_number(column):
    """Whether a pandas column holds numbers."""
    return column.dtype.kind in "iuf"
