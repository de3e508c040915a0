"""
Installs what a bundle's requirements.txt asks for and this interpreter lacks, without a package index.

    python requirements.py BUNDLE TARGET

pip is asked twice: what is missing (a dry run sees what is installed), and then to put just that into TARGET, so that
the interpreter which all jobs share is never changed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path


def main(bundle: str, target: str) -> int:
    """Exit code of the installation."""
    environment = {**os.environ, "PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    pip = [sys.executable, "-m", "pip", "install", "--quiet"]
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.json"
        asked = subprocess.run(
            [*pip, "--dry-run", "--report", str(report), "-r", "requirements.txt"], cwd=bundle, env=environment
        )
        if asked.returncode:
            return asked.returncode
        wheels = [item["download_info"]["url"] for item in json.loads(report.read_text())["install"]]
    if not wheels:
        return 0
    return subprocess.run([*pip, "--no-deps", "--target", target, *wheels], cwd=bundle, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
