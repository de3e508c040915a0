"""
Unpack the source bundle beside this file, then run a module of it: the entry point of the processing jobs.

The first argument names the module; without one it is training.evaluate. A processing container brings no script mode
of its own, so this file and sourcedir.tar.gz are its `code` input. It stands alone: the standard library only, and
nothing of ours before the bundle is unpacked.
"""

import runpy
import sys
import tarfile
import tempfile
from pathlib import Path


def main() -> None:
    """Run the module from the bundle."""
    named = len(sys.argv) > 1 and not sys.argv[1].startswith("-")
    module = sys.argv.pop(1) if named else "training.evaluate"
    here = Path(__file__).resolve().parent
    # The input's folder may be read-only; the temporary folder never is.
    source = Path(tempfile.mkdtemp(prefix="perennial-source-"))
    with tarfile.open(here / "sourcedir.tar.gz") as bundle:
        bundle.extractall(source, filter="data")
    sys.path.insert(0, str(source))
    # This file is <base>/input/code/bootstrap.py, wherever the base was put.
    if here.parent.name == "input" and "--base" not in sys.argv:
        sys.argv += ["--base", str(here.parent.parent)]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
