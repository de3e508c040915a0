"""
State is kept while the server runs, so that a kill -9 or a power cut loses seconds and not the day.

A snapshot is written by a fork of the server: the fork has all memory as it was at one instant, so services agree with
each other, and writing costs the server nothing but the fork. All files are written beside the kept ones, one rename
makes them the ones that count, then they take the kept ones' places; a start first finishes what a crash broke off.
"""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import os
import shutil
import signal
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

from localcloud.children import end_with_parent

__all__ = ["Snapshots", "changes_something", "recover"]

Sources = Callable[[], Mapping[str, Callable[[], "bytes | None"]]]
"""What to keep: path below the state directory -> its content, None when there is nothing to say."""

QUIET_SECONDS = 1.0
# Saving takes no more than this share of one core.
LARGEST_SHARE = 0.1
_PARTIAL, _WHOLE, _TROUBLES = "snapshot.partial", "snapshot", "troubles.txt"
_READS = ("Describe", "Get", "List", "Head", "BatchGet", "Query", "Scan", "Filter", "Lookup", "Search", "Validate")


class Snapshots:
    """
    Keeps what `sources` give in `directory`.

    Parameters
    ----------
    seconds
        How old a change may get before it is kept although others follow; None keeps at an orderly stop only.
    prepare
        Called in the server before each fork: what the fork couldn't do.
    limit_seconds
        When a fork that gets no further is given up: it may have been born while another thread held a lock.
    clock
        Seconds by which that is measured.
    """

    def __init__(
        self,
        directory: Path,
        sources: Sources,
        *,
        seconds: float | None,
        log: logging.Logger,
        prepare: Callable[[], None] = lambda: None,
        limit_seconds: float = 60,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory, self._sources, self._seconds = directory, sources, seconds
        self._log, self._prepare, self._limit_seconds, self._clock = log, prepare, limit_seconds, clock
        self._written, self._written_at = (0, 0), 0.0
        self._first_unsaved_at = self._changed_at = self._started_at = time.monotonic()
        self._unsaved = self._settling = False
        self._not_before = 0.0
        self._fork: int | None = None

    @property
    def saved(self) -> bool:
        """Whether the last snapshot holds every change that is known of."""
        return not self._unsaved and self._fork is None

    def changed(self) -> None:
        """Something changed, or is about to."""
        self._changed_at = time.monotonic()
        if not self._unsaved:
            self._first_unsaved_at = self._changed_at
        self._unsaved = self._settling = True

    def look(self) -> None:
        """Begin a snapshot when one is due, and see how the last went; called every fraction of a second."""
        if self._fork is not None:
            self._reap(os.WNOHANG)
            self._give_up_when_stuck()
        elif self._seconds is not None and self._due(time.monotonic(), self._seconds):
            self._begin()

    def save(self) -> None:
        """Keep everything now, in this process: the server is going down and nothing changes any more."""
        if self._fork is not None:
            os.kill(self._fork, signal.SIGKILL)
            self._reap(0)
        self._write()
        for trouble in self._commit():
            self._log.error("%s", trouble)
        self._unsaved = self._settling = False

    def _due(self, now: float, seconds: float) -> bool:
        if now < self._not_before:
            return False
        if self._unsaved:
            return now - self._changed_at >= QUIET_SECONDS or now - self._first_unsaved_at >= seconds
        # What a request began may go on after it: a stack's resources, a queue's messages. Look once more.
        return self._settling and now - self._changed_at >= seconds

    def _begin(self) -> None:
        self._prepare()
        self._started_at = time.monotonic()
        self._written, self._written_at = (0, 0), self._clock()
        self._settling = self._unsaved
        self._unsaved = False
        with warnings.catch_warnings():
            # Python warns of locks that other threads hold: such a fork gets no further, and the next one saves.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._fork = os.fork()
        if self._fork == 0:
            self._in_the_fork()

    def _in_the_fork(self) -> None:
        done = False
        try:
            end_with_parent()
            # The port, the lock and the event loop are the server's: a fork that outlives it must not hold them.
            os.closerange(0, 65536)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            os.nice(5)
            # This memory is ours alone and changes no more: there is nothing to copy it for.
            copy.deepcopy = lambda value, memo=None: value  # type: ignore[assignment]
            self._write()
            done = True
        finally:
            os._exit(0 if done else 1)

    def _reap(self, options: int) -> None:
        assert self._fork is not None
        pid, status = os.waitpid(self._fork, options)
        if pid == 0:
            return
        self._fork = None
        took = time.monotonic() - self._started_at
        self._not_before = time.monotonic() + took * (1 / LARGEST_SHARE - 1)
        if status == 0:
            for trouble in self._commit():
                self._log.error("%s", trouble)
        elif options == os.WNOHANG:
            self._log.warning("a snapshot ended with status %s after %.1f s: trying again", status, took)
            self.changed()

    def _give_up_when_stuck(self) -> None:
        if self._fork is None:
            return
        written = self._written
        with contextlib.suppress(FileNotFoundError):  # the fork begins with an empty folder
            files = [path.stat() for path in (self._directory / _PARTIAL).rglob("*")]
            written = (len(files), sum(file.st_size for file in files))
        if written != self._written:
            self._written, self._written_at = written, self._clock()
        elif self._clock() - self._written_at > self._limit_seconds:
            os.kill(self._fork, signal.SIGKILL)

    def _write(self) -> None:
        """Everything into a folder of its own, which doesn't count yet."""
        partial = self._directory / _PARTIAL
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        troubles = []
        for name, source in self._sources().items():
            try:
                content = source()
            except Exception as error:  # noqa: BLE001 - the others are kept all the same, and this one is told of
                troubles.append(f"{name} can't be kept: {type(error).__name__}: {error}")
                continue
            if content is not None:
                path = partial / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        (partial / _TROUBLES).write_text(json.dumps(troubles))

    def _commit(self) -> list[str]:
        """Make what was written count, in one step; what couldn't be kept."""
        partial = self._directory / _PARTIAL
        troubles: list[str] = json.loads((partial / _TROUBLES).read_text())
        (partial / _TROUBLES).unlink()
        partial.rename(self._directory / _WHOLE)
        recover(self._directory)
        return troubles


def recover(directory: Path) -> None:
    """Let a whole snapshot's files take the kept ones' places, and drop one that isn't whole; safe to be broken off."""
    shutil.rmtree(directory / _PARTIAL, ignore_errors=True)
    whole = directory / _WHOLE
    for path in sorted(whole.rglob("*")) if whole.is_dir() else []:
        if path.is_file():
            target = directory / path.relative_to(whole)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(whole)


def changes_something(method: str, path: str, target: str) -> bool:
    """
    Whether a request may change state, judged by its method, path and X-Amz-Target.

    >>> changes_something("POST", "/", "DynamoDB_20120810.PutItem")
    True
    >>> changes_something("POST", "/", "DynamoDB_20120810.Query")
    False
    >>> changes_something("POST", "/endpoints/perennial-bikeshare/invocations", "")
    False
    """
    if method in ("GET", "HEAD", "OPTIONS") or path.startswith("/endpoints/"):
        return False
    action = target.rpartition(".")[2] or path.rpartition("/operation/")[2]
    return not action.startswith(_READS)
