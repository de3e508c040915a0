"""
Script mode's training entry point: `sagemaker_program` is train.py.

The source bundle holds this file twice: at its root, where the training toolkit runs it, and in this package. The
packages that it needs may still be inside the bundle, so only the standard library is imported above `main`.
"""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["main"]


def main() -> None:
    """
    Train the candidate of this job's dataset version and leave it in SM_MODEL_DIR.

    Hyperparameters also come as arguments `--name value`; they are read from SM_HPS, which holds the same.
    """
    from training.container import TrainingContainer, calm_threads, failure_in, provide_wheels

    container = TrainingContainer.from_environment()
    with failure_in(container.failure_file):
        calm_threads()
        provide_wheels()
        from training.fitting import train

        train(container)


if __name__ == "__main__":
    here = Path(__file__).resolve().parent
    sys.path.insert(0, str(here if (here / "training").is_dir() else here.parent))
    main()
