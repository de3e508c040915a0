"""Consecutive evidence of a signal, kept in the catalog so that late and repeated windows change nothing."""

from __future__ import annotations

from perennial import keys
from perennial.aws.catalog import Catalog
from perennial.errors import Fenced
from perennial.keys import EvidenceKind
from perennial.trigger import Streak, Window, observe

__all__ = ["observe_window"]


def observe_window(catalog: Catalog, loop: str, kind: EvidenceKind, window: Window) -> Streak:
    """
    The streak of `kind` with this window in its place.

    Raises
    ------
    Fenced
        Others wrote it again and again meanwhile.
    """
    item = keys.streak_item(loop, kind)
    for _ in range(10):
        kept, version = catalog.get_versioned(item)
        streak = observe(Streak.model_validate(kept), window)
        token = f"{window.window_id}#{version}"
        if catalog.put_version(item, streak.model_dump(mode="json"), expected=version, token=token):
            return streak
    raise Fenced("the evidence must stand still for a moment. Got ten changes by others instead.")
