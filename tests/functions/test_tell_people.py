"""People are told once: a retry sends no second mail, and a worker that died before it sent one doesn't silence it."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
from aws_lambda_powertools.utilities.idempotency.exceptions import IdempotencyAlreadyInProgressError

from functions import _shell, request_approval
from functions._shell import EXPIRY_ATTRIBUTE, Shell
from perennial import keys
from tests.builders import make_loop
from tests.functions.builders import put_evaluation
from tests.functions.test_learning import RUN, register
from tests.functions.world import TABLE, World

ABOUT = {"question": "approval", "model_version": RUN}
HOUR_MS = 3_600_000


class Killed(BaseException):
    """The worker ends without a word: no `except Exception` of anybody sees it."""


@pytest.fixture
def mails(world: World) -> list[dict[str, Any]]:
    """What reached the topic; put an exception into it, and the next message meets that instead."""
    sent: list[Any] = []

    def hook(params: dict[str, Any], **_: Any) -> None:
        if sent and isinstance(sent[-1], BaseException):
            raise sent.pop()
        sent.append(params["body"])

    world.clients.sns.meta.events.register("before-call.sns.Publish", hook)
    return sent


def worker(world: World, *, left_ms: int = HOUR_MS) -> Shell[Any]:
    """A fresh execution environment whose call has that much time left."""
    shell = world.shell(request_approval)
    shell.invocation.context = SimpleNamespace(get_remaining_time_in_millis=lambda: left_ms)
    return shell


def tell(shell: Shell[Any], world: World, **about: str) -> None:
    shell.tell_people(world.topic_arn, about={**ABOUT, **about}, subject="Approve?", message="please")


def test_a_retry_sends_no_second_mail(world: World, mails: list[Any]) -> None:
    tell(worker(world), world)
    tell(worker(world), world)

    assert len(mails) == 1


def test_another_model_is_another_mail(world: World, mails: list[Any]) -> None:
    tell(worker(world), world)
    tell(worker(world), world, model_version="other")

    assert len(mails) == 2


def test_a_mail_that_was_refused_is_sent_by_the_retry(world: World, mails: list[Any]) -> None:
    mails.append(ConnectionError("no route"))
    with pytest.raises(ConnectionError):
        tell(worker(world), world)

    tell(worker(world), world)

    assert len(mails) == 1


def test_a_killed_worker_s_claim_holds_until_its_time_would_have_been_up(world: World, mails: list[Any]) -> None:
    """P12."""
    mails.append(Killed())
    with pytest.raises(Killed):
        tell(worker(world), world)
    with pytest.raises(IdempotencyAlreadyInProgressError):
        tell(worker(world), world)
    assert mails == []


def test_a_killed_worker_s_claim_is_taken_once_its_time_would_have_been_up(world: World, mails: list[Any]) -> None:
    """P12."""
    mails.append(Killed())
    with pytest.raises(Killed):
        tell(worker(world, left_ms=1), world)

    time.sleep(0.01)
    tell(worker(world), world)

    assert len(mails) == 1


def test_a_claim_expires_by_the_attribute_that_the_table_forgets_by(world: World, mails: list[Any]) -> None:
    tell(worker(world), world)

    [item] = [
        one
        for one in world.clients.dynamodb.scan(TableName=TABLE)["Items"]
        if one["pk"]["S"] == keys.messages_partition("demo")
    ]
    left = int(item[EXPIRY_ATTRIBUTE]["N"]) - time.time()
    assert left == pytest.approx(_shell.MESSAGE_KEPT_SECONDS, abs=60)


def test_a_person_is_asked_once_although_each_attempt_has_another_token(world: World, mails: list[Any]) -> None:
    world.deploy(make_loop(governance={"approval": "manual"}))
    put_evaluation(world, RUN)
    model = register(world)
    for token in ("token-1", "token-2"):
        request_approval.run({"task_token": token, "run_id": RUN, "model": model}, worker(world))

    assert len(mails) == 1
    assert (world.catalog.get(keys.approval_item("demo", RUN)) or {})["task_token"] == "token-2"
