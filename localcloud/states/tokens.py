"""
Task tokens: what SendTaskSuccess, SendTaskFailure and SendTaskHeartbeat reach.

Who answers a token needs the permission on the state machine whose task waits for it, as on AWS; ministack knows no
resource for these calls.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ministack.core import iam_actions
from ministack.services import stepfunctions as sf

from localcloud.context import Context
from localcloud.extension import replace
from localcloud.states.errors import StateFailed


def install(context: Context) -> None:
    """Name the waiting state machine as the resource of the calls that answer its tokens."""

    def resource(service: str, method: str, path: str, headers: Any, body: bytes, *rest: Any) -> str:
        if service == "states" and (machine := _waiting_machine(body)):
            return machine
        return str(original(service, method, path, headers, body, *rest))

    original = replace(iam_actions, "extract_resource_arn", resource)


def _waiting_machine(body: bytes) -> str | None:
    try:
        token = json.loads(body or b"{}").get("taskToken")
    except (ValueError, AttributeError):
        return None
    answer = sf._task_tokens.get(token) if token else None
    return answer.machine_arn if isinstance(answer, Answer) else None


class Answer(dict[str, Any]):
    """
    The entry that ministack's SendTask operations write to, under the names they use.

    Attributes
    ----------
    beats
        How many heartbeats came.
    given
        Whether the answer came.
    machine_arn
        The state machine whose task waits.
    """

    def __init__(self, changed: Callable[[], None], machine_arn: str) -> None:
        super().__init__(event=self, result=None, error=None, heartbeat=None)
        self.machine_arn = machine_arn
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
def expected(token: str, changed: Callable[[], None], *, machine_arn: str) -> Iterator[Answer]:
    """Within it, the API takes answers for `token`, and calls `changed` when one came."""
    answer = Answer(changed, machine_arn)
    sf._task_tokens[token] = answer
    try:
        yield answer
    finally:
        sf._task_tokens.pop(token, None)
