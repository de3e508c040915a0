"""
Script mode's serving entry point: SAGEMAKER_PROGRAM is inference.py.

The serving container may run a copy of this file in site-packages (it runs `pip install .` on the model's code), so
the rest is looked for where the model's code lies.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["input_fn", "model_fn", "output_fn", "predict_fn"]

for folder in (
    Path(__file__).resolve().parent,
    Path(os.environ.get("SAGEMAKER_SUBMIT_DIRECTORY", "/opt/ml/model/code")),
    Path("/opt/ml/model/code"),
    Path("/opt/ml/code"),
):
    if (folder / "training" / "serving.py").is_file():
        sys.path.insert(0, str(folder))
        break

from training.container import calm_threads, provide_wheels  # noqa: E402

calm_threads()
provide_wheels()

from training.serving import input_fn, model_fn, output_fn, predict_fn  # noqa: E402
