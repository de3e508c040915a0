"""The bundle's root script for training: `sagemaker_program` is train.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from training.container import provide_wheels

if __name__ == "__main__":
    provide_wheels()
    from training.train import main

    main()
