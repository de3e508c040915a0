"""The examples in the local cloud's own modules hold."""

from __future__ import annotations

import doctest
import importlib

import pytest


@pytest.mark.parametrize(
    "name",
    [
        "localcloud.scales",
        "localcloud.lambdas.architecture",
        "localcloud.lambdas.embedded_metrics",
        "localcloud.states.errors",
        "localcloud.states.paths",
        "localcloud.states.task",
        "localcloud.states.definition",
        "localcloud.events.clock",
    ],
)
def test_the_examples_of_a_module_hold(name: str) -> None:
    flags = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
    found = doctest.testmod(importlib.import_module(name), optionflags=flags)
    assert (found.failed, found.attempted > 0) == (0, True)
