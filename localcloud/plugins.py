"""The plug-ins, in the order in which they are installed."""

from __future__ import annotations

import importlib

from localcloud.context import Context
from localcloud.pace import LOOK_SECONDS

PLUGINS = (
    "localcloud.services",
    "localcloud.permissions",
    "localcloud.simulation",
    "localcloud.encryption",
    "localcloud.recording",
    "localcloud.objects",
    "localcloud.lambdas",
    "localcloud.states",
    "localcloud.events",
    "localcloud.cloudformation",
    "localcloud.cloudwatch",
    "localcloud.logs",
    "localcloud.sagemaker",
)


def install(context: Context) -> None:
    """
    Install every plug-in.

    Raises
    ------
    localcloud.extension.MissingExtensionPoint
        A plug-in extends something that this version of ministack has not.
    """
    context.every(LOOK_SECONDS, context.pace.look, name="pace")
    for name in PLUGINS:
        importlib.import_module(name).install(context)
