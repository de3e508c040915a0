"""The loop as it was parsed at synthesis, as the file that functions read."""

from __future__ import annotations

from pathlib import Path

from infra.packaging import BUILD
from perennial.project import Loop

__all__ = ["loop_file"]


def loop_file(loop: Loop, target: Path = BUILD) -> Path:
    """loop.json of `loop`, named by its digest."""
    path = target / "loops" / f"{loop.name}-{loop.digest[:20]}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(loop.to_json(), encoding="utf-8")
    return path
