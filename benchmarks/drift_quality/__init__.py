"""How often drift checks cry wolf, and how often they see the wolf: ours beside others' rules, on one simulation."""

import os

# Matrices are small: more threads only wait for each other. Must be set before numpy loads.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
