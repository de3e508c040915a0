"""Checks, at start-up, that what a plug-in reaches into ministack for is still there."""

from __future__ import annotations

from importlib.metadata import version
from types import ModuleType
from typing import Any

TESTED_WITH = "1.5.33"


class MissingExtensionPoint(RuntimeError):
    """ministack has not the private name that a plug-in extends: the pinned version was changed."""


def require(module: ModuleType | type, *names: str) -> None:
    """
    Pass when `module` has every one of `names`.

    Raises
    ------
    MissingExtensionPoint
        Names the module, the missing names, ministack's version and the one that the plug-ins were tested with.
    """
    missing = [name for name in names if not hasattr(module, name)]
    if missing:
        raise MissingExtensionPoint(
            f"{module.__name__} must have {', '.join(missing)}, which a local cloud plug-in extends. ministack "
            f"{version('ministack')} is installed instead of {TESTED_WITH}: install that version, or adapt the plug-in"
        )


def replace(module: ModuleType | type, name: str, value: Any) -> Any:
    """Put `value` in place of `module.name`, and give what stood there."""
    require(module, name)
    original = getattr(module, name)
    setattr(module, name, value)
    return original
