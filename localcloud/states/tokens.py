"""Task tokens: what SendTaskSuccess, SendTaskFailure and SendTaskHeartbeat reach."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ministack.services import stepfunctions as sf

from localcloud.states.errors import StateFailed


class Answer(dict[str, Any]):
    """
    The entry that ministack's SendTask operations write to, under the names they use.

    Attributes
    ----------
    beats
        How many heartbeats came.
    given
        Whether the answer came.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        super().__init__(event=self, result=None, error=None, heartbeat=None)
        self._changed = changed
        self.beats = 0
        self.given = False

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value)
        if name == "heartbeat":
            self.beats += 1
            self._changed()

    def set(self) -> None:
        """The answer is complete (ministack takes this for a threading.Event)."""
        self.given = True
        self._changed()

    def result(self) -> Any:
        """What the task gave, or StateFailed with the error that it gave."""
        if self["error"]:
            raise StateFailed(self["error"].get("Error") or "", self["error"].get("Cause") or "")
        return json.loads(self["result"])


@contextmanager
def expected(token: str, changed: Callable[[], None]) -> Iterator[Answer]:
    """Within it, the API takes answers for `token`, and calls `changed` when one came."""
    answer = Answer(changed)
    sf._task_tokens[token] = answer
    try:
        yield answer
    finally:
        sf._task_tokens.pop(token, None)
