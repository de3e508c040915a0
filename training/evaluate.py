"""
The processing job's entry point: score the challenger, and the champion if there is one, on the same held-out rows.

Run by bootstrap.py as `python -m training.evaluate [--base FOLDER]`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> None:
    """Write evaluation.json and smoke.json into the job's output folder."""
    from training.container import ProcessingContainer, calm_threads, failure_in, provide_wheels

    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description=main.__doc__)
    parser.add_argument("--base", type=Path, help="folder with input/ and output/ (default: PROCESSING_BASE)")
    base = parser.parse_args(arguments).base
    container = ProcessingContainer.at(base) if base else ProcessingContainer.from_environment()
    with failure_in(container.message_file):
        calm_threads()
        provide_wheels()
        from training.evaluation import evaluate

        evaluate(container)


if __name__ == "__main__":
    main()
