"""Tells the demo's story on the terminal, and keeps it for the report."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from perennial import events as happened
from perennial.events import Event
from perennial.narration import tell

if TYPE_CHECKING:
    from perennial.cli.demo.script import Demo

__all__ = ["Narrator"]

_STYLES: dict[type[Event], str] = {
    happened.BatchRejected: "yellow",
    happened.LabelsRejected: "yellow",
    happened.DriftDetected: "magenta",
    happened.PerformanceFell: "magenta",
    happened.BusinessFell: "magenta",
    happened.RetrainingRequested: "cyan",
    happened.CandidateJudged: "bold",
    happened.RolloutAdvanced: "blue",
    happened.ModelPromoted: "bold green",
    happened.ModelRolledBack: "bold red",
}
# Told on the terminal only when they say something that the lines around them don't.
_QUIET = (happened.DatasetFrozen, happened.ModelRegistered, happened.LabelsJoined)


def _expected(event: Event) -> bool:
    """Files that are no reason to learn yet, and signals during a run: declined on record, but not news."""
    if not isinstance(event, happened.RetrainingDeclined):
        return False
    return event.signal == "new data" or event.reasons[0].startswith("running:")


class Narrator:
    """One line an event, with the seconds since the start."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = time.monotonic()
        self._lock = threading.Lock()
        self.lines: list[tuple[datetime, str, str]] = []

    def say(self, sentence: str) -> None:
        """A line of the demo itself."""
        self._print("demo", sentence, "bold white")

    def tell(self, event: Event) -> None:
        """A line about what the loop did."""
        if not isinstance(event, _QUIET) and not _expected(event):
            self._print(event.detail_type, tell(event), _STYLES.get(type(event), ""))

    def report(self, demo: Demo, summary: Iterable[tuple[str, bool, str]]) -> str:
        """The story as a self-contained HTML page."""
        from perennial.cli.demo.story import story_of
        from perennial.report import render_story

        return render_story(story_of(demo, self.lines, summary))

    def _print(self, kind: str, sentence: str, style: str) -> None:
        with self._lock:
            self.lines.append((datetime.now(UTC), kind, sentence))
            line = Text(f"{time.monotonic() - self._started:6.1f} s  ", style="dim")
            line.append(f"{kind:<21}", style=style or "dim")
            line.append(sentence, style=style)
            self._console.print(line, soft_wrap=True)
