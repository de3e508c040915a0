"""
The large batch job's entry point: a file that is too large for a function becomes a batch, by all cores.

Run by bootstrap.py as `python -m training.make_batch [--base FOLDER]`. The order is the job's input; the file itself is
fetched here, since a SageMaker channel can't name an object's version: the job runs without network isolation, under a
role that may read what landed and write what batches consist of.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

__all__ = ["main"]

ORDER_FILE = "order.json"


def main(arguments: list[str] | None = None) -> None:
    """Make the batch that the job's order asks for."""
    from training.container import ProcessingContainer, failure_in, provide_wheels

    parser = argparse.ArgumentParser(prog="python -m training.make_batch", description=main.__doc__)
    parser.add_argument("--base", type=Path, help="folder with input/ (default: PROCESSING_BASE)")
    base = parser.parse_args(arguments).base
    container = ProcessingContainer.at(base) if base else ProcessingContainer.from_environment()
    with failure_in(container.message_file):
        provide_wheels()
        from perennial.aws.clients import Clients
        from perennial.aws.large_batches import LargeOrder, make_large_batch

        logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
        order = LargeOrder.model_validate_json((container.order_dir / ORDER_FILE).read_bytes())
        # The folder of the inputs is on the volume that was sized by the file.
        scratch = container.order_dir.parent.parent
        outcome = make_large_batch(order, Clients(), scratch=scratch, workers=_cores())
        told = outcome.gone or f"{outcome.batch['status']}, {outcome.batch['rows']} rows"
        logging.getLogger(__name__).info("batch %s: %s", outcome.batch_id or "-", told)


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


if __name__ == "__main__":
    main()
