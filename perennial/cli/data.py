"""`perennial validate | profile`: validation and profiling of files, with nothing deployed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from perennial.cli.console import err
from perennial.cli.project_root import load_named_loop
from perennial.cli.rows import existing
from perennial.errors import DataUnreadable
from perennial.profile import Profile, merge

__all__ = ["merge_files", "profile_files", "read_profile", "validate"]

# Smaller files are done before a bar could be read.
_BAR_FROM_BYTES = 16_000_000


def validate(loop: str, path: Path, *, curated: Path | None = None, quarantine: Path | None = None) -> Any:
    """
    The outcome of validating one file against the loop's contract; accepted rows and quarantine where asked for.

    Nothing of the file is held in memory as a whole. Files over 16 MB show a bar on a terminal.
    """
    from perennial.validation import validate_file

    contract = load_named_loop(loop).contract
    size_bytes = existing(path).stat().st_size
    with _opened(path, size_bytes) as source:
        return validate_file(
            source,
            contract=contract,
            key=path.name,
            size_bytes=size_bytes,
            curated=curated,
            quarantine=quarantine,
            now=datetime.now(UTC),
            digest=False,
            workers=os.cpu_count() or 1,
        )


@contextmanager
def _opened(path: Path, size_bytes: int) -> Iterator[Any]:
    """The path itself, or the open file under a bar that follows what was read of it."""
    if size_bytes < _BAR_FROM_BYTES or not err.is_terminal:
        yield path
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True) as bar, bar.open(path, "rb", description=path.name) as file:
        yield file


def profile_files(loop: str, paths: Sequence[Path]) -> Profile:
    """
    The merged profile of the accepted rows of `paths`.

    Raises
    ------
    DataUnreadable
        A file is refused as a whole.
    """
    profiles = []
    for path in paths:
        outcome = validate(loop, path)
        if not outcome.accepted or outcome.profile is None:
            why = "; ".join(str(reason) for reason in outcome.reasons)
            raise DataUnreadable(f"{path} must keep the contract of loop {loop}. Got: {why}")
        profiles.append(outcome.profile)
    return merge(profiles)


def read_profile(path: Path) -> Profile:
    """A profile written by `perennial profile`."""
    return Profile.from_bytes(existing(path).read_bytes())


def merge_files(paths: Sequence[Path]) -> Profile:
    """The exact merge of stored profiles."""
    return merge([read_profile(path) for path in paths])
