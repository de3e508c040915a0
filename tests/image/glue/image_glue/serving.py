"""Named by SAGEMAKER_SERVING_MODULE: a WSGI application of the user's functions; run as a module, the server itself."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from sagemaker_containers.beta.framework import env, modules, server, transformer, worker

__all__ = ["main"]

_FUNCTIONS = ("model_fn", "input_fn", "predict_fn", "output_fn")


def main(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The application that AWS's server starts once a worker process."""
    return _application()(environ, start_response)  # type: ignore[no-any-return]


@cache
def _application() -> Any:
    told = env.ServingEnv()
    try:
        user = importlib.import_module(told.module_name)
    except ImportError:
        # Not installed yet: AWS's toolkit does it, by `pip install .`.
        user = modules.import_module(told.module_dir, told.module_name)
    # Nothing stands in for a function that the user's module lacks: a loop's brings all four.
    made = transformer.Transformer(**{name: getattr(user, name) for name in _FUNCTIONS})
    made.initialize()
    return worker.Worker(transform_fn=made.transform, module_name=told.module_name)


if __name__ == "__main__":
    server.start(env.ServingEnv().framework_module)
