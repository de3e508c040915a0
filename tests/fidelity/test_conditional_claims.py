"""
Claims by conditional writes, as Powertools' idempotency makes them, on the local DynamoDB.

PutItem with ReturnValuesOnConditionCheckFailure gives the item that stood in the way (API reference, read 2026-11).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)
from aws_lambda_powertools.utilities.idempotency.exceptions import IdempotencyAlreadyInProgressError

from tests.fidelity.cloud import Cloud, fresh


class Killed(BaseException):
    """The worker ends without a word."""


@pytest.fixture
def table(cloud: Cloud) -> str:
    """A table with both keys, whose items expire."""
    name = fresh("claims")
    client = cloud.client("dynamodb")
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in ("pk", "sk")],
    )
    client.update_time_to_live(TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires_at"})
    return name


def worker(cloud: Cloud, table: str, work: Callable[[], str], *, left_ms: int = 3_600_000) -> Any:
    """One attempt at `work`, which is about the same thing each time, by a worker with so much time left."""
    store = DynamoDBPersistenceLayer(
        table_name=table,
        key_attr="pk",
        sort_key_attr="sk",
        static_pk_value="claims",
        expiry_attr="expires_at",
        boto3_client=cloud.client("dynamodb"),
    )
    context: Any = SimpleNamespace(get_remaining_time_in_millis=lambda: left_ms)
    config = IdempotencyConfig(lambda_context=context, hash_function="sha256")

    @idempotent_function(data_keyword_argument="about", persistence_store=store, config=config, key_prefix="test")
    def attempt(*, about: str) -> str:
        return work()

    return attempt(about="one thing")


def test_what_is_done_is_answered_from_its_record(cloud: Cloud, table: str) -> None:
    done: list[str] = []
    answers = [worker(cloud, table, lambda: done.append("x") or f"answer {len(done)}") for _ in range(2)]
    assert (answers, done) == (["answer 1", "answer 1"], ["x"])


def test_a_claim_stands_until_its_worker_must_be_over(cloud: Cloud, table: str) -> None:
    def dies() -> str:
        raise Killed

    with pytest.raises(Killed):
        worker(cloud, table, dies)
    with pytest.raises(IdempotencyAlreadyInProgressError):
        worker(cloud, table, lambda: "too early")


def test_a_claim_whose_worker_must_be_over_is_taken(cloud: Cloud, table: str) -> None:
    def dies() -> str:
        raise Killed

    with pytest.raises(Killed):
        worker(cloud, table, dies, left_ms=1)
    time.sleep(0.01)
    assert worker(cloud, table, lambda: "in time") == "in time"


def test_who_fails_gives_the_claim_back(cloud: Cloud, table: str) -> None:
    def fails() -> str:
        raise ConnectionError("no route")

    with pytest.raises(ConnectionError):
        worker(cloud, table, fails)
    assert worker(cloud, table, lambda: "again") == "again"
