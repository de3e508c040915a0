"""
All that the Lambda functions share: settings from the environment, clients, clock, logs, metrics and traces.

A function module has a `Settings` model, a `run(event, shell)` of four lines (parse, load, one rule, save and
announce) and `handler = _shell.lambda_handler(Settings, run)`. Importing a module does nothing: the shell is
opened at the first call and kept for the life of the execution environment. Tests open a `Shell` themselves, with
their own clients and clock.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict

from perennial import keys
from perennial.aws.bus import Bus
from perennial.aws.catalog import Catalog
from perennial.aws.clients import Clients
from perennial.aws.endpoint import Endpoint
from perennial.aws.executions import Executions
from perennial.aws.lake import Lake
from perennial.aws.metrics import Metrics
from perennial.aws.queue import Queue
from perennial.aws.registry import Registry
from perennial.errors import EventInvalid, PerennialError
from perennial.events import Event, parse
from perennial.keys import TableKey

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger

    from perennial.project import Loop

__all__ = ["EXPIRY_ATTRIBUTE", "Invocation", "Settings", "Shell", "each_message", "lambda_handler"]

NAMESPACE = "Perennial"
# The catalog table's TTL attribute; DynamoDB looks at numbers only.
EXPIRY_ATTRIBUTE = "expires_at"
# Longer than any retry of a message comes later.
MESSAGE_KEPT_SECONDS = 30 * 86_400
# A message that is begun with less could be cut off in its middle, and all others of the call with it.
LEAST_SECONDS_A_MESSAGE = 10.0


class Settings(BaseModel):
    """
    What every function gets as its environment; a function's own `Settings` adds to it.

    >>> names = {"loop_uri": "s3://a/b", "loop_name": "x", "stage": "dev"}
    >>> Settings(**names, lake_bucket="l", catalog_table="t", bus_name="b").to_environment()["LOOP_URI"]
    's3://a/b'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    loop_uri: str
    loop_name: str
    stage: str
    lake_bucket: str
    catalog_table: str
    bus_name: str

    @property
    def deployment_name(self) -> str:
        """Loop and stage in one: what nothing of another deployment is called or tagged."""
        return keys.deployment_name(self.loop_name, self.stage)

    def to_environment(self) -> dict[str, str]:
        """Environment variables: upper-case field names; what isn't text is JSON. Deployment tokens stay intact."""
        values = {name.upper(): getattr(self, name) for name in type(self).model_fields}
        return {name: value if isinstance(value, str) else _json(value) for name, value in values.items()}

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """The settings that `to_environment` wrote; a missing variable is an error that names it."""
        values: dict[str, Any] = {}
        for name, described in cls.model_fields.items():
            raw = environment.get(name.upper())
            if raw is not None:
                values[name] = raw if described.annotation is str else json.loads(raw)
        return cls.model_validate(values)


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _wall_clock() -> datetime:
    return datetime.now(UTC)


@dataclass
class Invocation:
    """The call under way; `context` is Lambda's, which knows how much time is left."""

    context: Any = None

    @property
    def seconds_left(self) -> float:
        """Until Lambda ends the call; endless where nothing says."""
        left = getattr(self.context, "get_remaining_time_in_millis", None)
        return left() / 1000 if left else math.inf


@dataclass(frozen=True)
class Shell[S: Settings]:
    """Everything a function reaches the outside with; each part is made when first used."""

    settings: S
    clients: Clients = field(default_factory=Clients)
    clock: Callable[[], datetime] = _wall_clock
    sleep: Callable[[float], None] = time.sleep
    service: str = "perennial"
    function_name: str = ""
    invocation: Invocation = field(default_factory=Invocation)

    def now(self) -> datetime:
        """The time, aware and in UTC; the only clock of a function."""
        return self.clock()

    @cached_property
    def logger(self) -> Logger:
        """Structured logs; rows never go in."""
        from aws_lambda_powertools import Logger

        return Logger(service=self.service, use_rfc3339=True, utc=True)

    @cached_property
    def metrics(self) -> Metrics:
        """Metrics of the loop, written to the log in CloudWatch's embedded format."""
        return Metrics(namespace=NAMESPACE, loop=self.settings.loop_name, stage=self.settings.stage)

    @cached_property
    def lake(self) -> Lake:
        """The lake bucket."""
        return Lake(self.clients.s3, self.settings.lake_bucket)

    @cached_property
    def catalog(self) -> Catalog:
        """The catalog table."""
        return Catalog(self.clients.dynamodb, self.settings.catalog_table)

    @cached_property
    def bus(self) -> Bus:
        """The loop's event bus."""
        return Bus(self.clients.events, self.settings.bus_name)

    @cached_property
    def executions(self) -> Executions:
        """The loop's state machine executions."""
        return Executions(self.clients.stepfunctions)

    def bucket(self, name: str) -> Lake:
        """Another bucket: landing or audit."""
        return Lake(self.clients.s3, name)

    def queue(self, url: str) -> Queue:
        """A queue that the function puts messages into."""
        return Queue(self.clients.sqs, url)

    def endpoint(self, name: str) -> Endpoint:
        """The loop's endpoint."""
        return Endpoint(self.clients.sagemaker, self.clients.sagemaker_runtime, name)

    def digest_of(self, uri: str) -> str:
        """SHA-256 of the object at an s3:// address, in hex."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return self.bucket(bucket).digest(key)

    def registry(self, group: str) -> Registry:
        """The loop's model package group."""
        return Registry(self.clients.sagemaker, group)

    def announce_once(self, key: TableKey, event: Event) -> Event:
        """
        Records `event` in the item at `key` unless one of its type is there, then announces what is recorded.

        A retry announces the same bytes again, so that listeners and the ledger know it as the same; what was said
        first stays said.
        """
        name = "said_" + event.detail_type.lower().replace(" ", "_")
        said = event.model_dump(mode="json")
        if not self.catalog.update(key, {name: said}, only_if={name: None}, create=True):
            said = (self.catalog.get(key) or {})[name]
        recorded = parse(event.detail_type, said)
        self.bus.announce(recorded)
        return recorded

    def tell_people(self, topic_arn: str, *, about: Mapping[str, str], subject: str, message: str) -> None:
        """
        Publishes a message to people, once for what it is `about`, however often a retry comes back to it.

        All else that functions do may be done twice; a mail that comes twice is two mails. Powertools claims what the
        message is about in the catalog first. Who dies with the claim loses it when its own time would have been up: so
        a message may come twice after a crash between publishing and saying so, and never not at all.

        Raises
        ------
        IdempotencyAlreadyInProgressError
            Somebody else has the claim: try again later.
        """
        from aws_lambda_powertools.utilities.idempotency import (
            DynamoDBPersistenceLayer,
            IdempotencyConfig,
            idempotent_function,
        )

        store = DynamoDBPersistenceLayer(
            table_name=self.settings.catalog_table,
            key_attr="pk",
            static_pk_value=keys.messages_partition(self.settings.loop_name),
            sort_key_attr="sk",
            expiry_attr=EXPIRY_ATTRIBUTE,
            boto3_client=self.clients.dynamodb,
        )
        config = IdempotencyConfig(
            expires_after_seconds=MESSAGE_KEPT_SECONDS, hash_function="sha256", lambda_context=self.invocation.context
        )

        @idempotent_function(
            data_keyword_argument="about", persistence_store=store, config=config, key_prefix=self.settings.loop_name
        )
        def publish(*, about: Mapping[str, str]) -> str:
            answer = self.clients.sns.publish(TopicArn=topic_arn, Subject=subject, Message=message)
            return str(answer["MessageId"])

        self.logger.info({"event": "people told", "about": dict(about), "message_id": publish(about=dict(about))})

    @cached_property
    def loop(self) -> Loop:
        """The loop as it was deployed, read once."""
        from perennial.project import Loop

        bucket, _, key = self.settings.loop_uri.removeprefix("s3://").partition("/")
        return Loop.from_json(self.bucket(bucket).get(key).decode())


def lambda_handler[S: Settings, R](
    settings_type: type[S], run: Callable[[Any, Shell[S]], R]
) -> Callable[[Any, Any], R]:
    """
    The Lambda entry point around `run`: opens the shell once, adds request ids to logs, traces, flushes metrics.

    Whatever `run` raises is logged and raised again: retries, dead-letter queues and state machines decide then.
    """
    name = run.__module__.rpartition(".")[2]

    @cache
    def opened() -> tuple[Shell[S], Callable[[Any, Any], R]]:
        import os

        from aws_lambda_powertools import Tracer

        shell = Shell(
            settings=settings_type.from_environment(os.environ),
            service=name,
            function_name=os.environ.get("AWS_LAMBDA_FUNCTION_NAME", ""),
        )
        # Neither responses nor exceptions go into traces: they may quote data.
        traced = Tracer(service=name).capture_lambda_handler(capture_response=False, capture_error=False)

        def running(event: Any, _context: Any) -> R:
            try:
                return run(event, shell)
            except Exception as error:
                if _is_sayable(error):
                    raise
                # Its sentence would go into the logs of tracer and Lambda, and by a machine's Catch into the ledger.
                raise _silenced(error) from None

        running.__name__ = name  # what the trace calls it
        return shell, traced(running)

    def handler(event: Any, context: Any) -> R:
        shell, traced = opened()
        shell.invocation.context = context
        shell.logger.append_keys(
            loop=shell.settings.loop_name,
            stage=shell.settings.stage,
            function_request_id=getattr(context, "aws_request_id", None),
        )
        try:
            return traced(event, context)
        except Exception as error:
            shell.logger.error({"event": "failed", "error": type(error).__name__, "detail": _sayable(error)})
            raise
        finally:
            shell.metrics.flush()

    handler.__doc__ = (run.__doc__ or "").strip()
    handler.__module__ = run.__module__
    return handler


def each_message[S: Settings](event: Any, shell: Shell[S], process: Callable[[str], None]) -> dict[str, Any]:
    """
    Gives every SQS message's body to `process`; answers which ones must come again.

    One message that fails returns alone, the others are done. What must never be processed (EventInvalid: not
    parseable, or from somewhere it must not come from) is logged and counted, and doesn't come again. When the time
    left may not suffice for another message (it is less than twice what the longest one took), the rest goes back to
    the queue unopened, whose redrive policy must allow for that.
    """
    from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response

    begun, longest = 0, LEAST_SECONDS_A_MESSAGE / 2

    def one(record: Any) -> None:
        nonlocal begun, longest
        before = shell.invocation.seconds_left
        if begun and before < 2 * longest:
            shell.logger.info({"event": "postponed", "message_id": record.message_id, "seconds_left": before})
            raise _Postponed
        begun += 1
        try:
            process(record.body)
        except EventInvalid as error:
            shell.logger.warning({"event": "refused", "message_id": record.message_id, "reason": str(error)})
            shell.metrics.add("EventsRefused", 1)
        except Exception as error:
            said = {"event": "returned", "message_id": record.message_id, "error": type(error).__name__}
            shell.logger.error({**said, "detail": _sayable(error)})
            raise
        finally:
            if before < math.inf:
                longest = max(longest, before - shell.invocation.seconds_left)

    processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
    return dict(process_partial_response(event=event, record_handler=one, processor=processor))


class _Postponed(Exception):
    """A message that another call has time for."""


def _is_sayable(error: Exception) -> bool:
    from botocore.exceptions import ClientError

    return isinstance(error, PerennialError | ClientError)


def _sayable(error: Exception) -> str:
    return str(error) if _is_sayable(error) else "see the type; its text may quote data"


def _silenced(error: Exception) -> Exception:
    """An error of the same name and place that says nothing: machines retry and catch by names."""
    kind = type(type(error).__name__, (Exception,), {})
    silent: Exception = kind("its text may quote data, so that it is not shown; the traceback says where it happened")
    return silent.with_traceback(error.__traceback__)
