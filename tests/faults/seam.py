"""
Faults at botocore's seam: one call of a run fails in one way, then the event is delivered again.

Whatever the fault, what stands afterwards must be what stands without it. Properties 3, 6, 7, 8 and 9.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from botocore import xform_name
from moto import mock_aws

from perennial import keys
from tests.functions.world import AUDIT, LAKE, LANDING, World, make_world

Fault = Literal["killed after", "lost acknowledgement", "refused"]
WRITES = ("Put", "Update", "Delete", "Start", "Transact", "Send", "Publish", "Create")
SERVICES = ("s3", "dynamodb", "events", "stepfunctions", "sagemaker", "sns", "cloudwatch")


class Killed(BaseException):
    """The worker is gone, as by kill -9: no handler may catch it."""


@dataclass
class Seam:
    """Counts the calls of a run; does something bad at one of them."""

    fault: Fault | None = None
    at: int = -1
    writes_only: bool = True
    seen: list[str] = field(default_factory=list)
    _twins: dict[str, Any] = field(default_factory=dict)
    _current: int = -1

    @contextmanager
    def over(self, world: World) -> Iterator[None]:
        """The seam is active inside."""
        clients = [getattr(world.clients, service) for service in SERVICES]
        for service, client in zip(SERVICES, clients, strict=True):
            self._twins[service] = world.clients.client(service)
            client.meta.events.register("provide-client-params.*", self._before)
            client.meta.events.register("before-call.*", self._refuse)
            client.meta.events.register("after-call.*", self._after)
        try:
            yield
        finally:
            for client in clients:
                for event, hook in (
                    ("provide-client-params.*", self._before),
                    ("before-call.*", self._refuse),
                    ("after-call.*", self._after),
                ):
                    client.meta.events.unregister(event, hook)

    def _before(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        if self.writes_only and not model.name.startswith(WRITES):
            self._current = -1
            return
        self._current = len(self.seen)
        self.seen.append(model.name)
        if self._current == self.at and self.fault == "lost acknowledgement":
            # The request had been applied when its answer was lost; what comes now is the client's own retry.
            service = model.service_model.service_name
            twin = self._twins[service]
            body = params.get("Body")
            getattr(twin, xform_name(model.name))(**params)
            if hasattr(body, "seek"):
                body.seek(0)

    def _refuse(self, **_: Any) -> Any:
        if self._current != self.at or self.fault != "refused":
            return None

        class Http:
            status_code = 400

        error = {"Code": "ThrottlingException", "Message": "Rate exceeded"}
        return Http(), {"Error": error, "ResponseMetadata": {"HTTPStatusCode": 400}}

    def _after(self, **_: Any) -> None:
        if self._current == self.at and self.fault == "killed after":
            self._current = -1
            raise Killed


@dataclass(frozen=True)
class Scenario:
    """How a world is made ready, and what is delivered to it (the same again on redelivery)."""

    prepare: Callable[[World], Any]
    deliver: Callable[[World, Any], Any]


def play(scenario: Scenario, seam: Seam | None = None) -> tuple[str, Seam]:
    """
    The scenario in a fresh world: what stands afterwards, as text.

    With a fault, the first delivery meets it, and a second one follows.
    """
    seam = seam or Seam()
    with mock_aws():
        world = make_world()
        given = scenario.prepare(world)
        world.announced()
        with seam.over(world), suppress(*((Killed, Exception) if seam.fault else ())):
            scenario.deliver(world, given)
        if seam.fault is not None:
            scenario.deliver(world, given)
        return _look(world), seam


def _look(world: World) -> str:
    """Catalog, objects, distinct events, executions and weights; without what S3 makes up anew each time."""
    stands = {
        "items": {" ".join(key): item for key, item in world.items().items()},
        "objects": {key: _content(key, data) for key, data in world.objects(LAKE).items()},
        "ledger": {key: data.decode() for key, data in world.objects(AUDIT).items()},
        "events": sorted({event.model_dump_json() for event in world.announced()}),
        "executions": world.executions(),
        "weights": {name: one.weights for name, one in world.sagemaker.endpoints.items()},
    }
    text = json.dumps(stands, sort_keys=True, indent=1)
    for page in world.clients.s3.get_paginator("list_object_versions").paginate(Bucket=LANDING):
        for one in page.get("Versions", []):
            item = keys.landing_item("demo", LANDING, one["Key"], one["VersionId"])
            place = item["sk"]
            for attempt in (1, 2):
                text = text.replace(keys.large_batch_name(item, attempt), f"ATTEMPT {attempt} of {one['Key']}")
            text = text.replace(one["VersionId"], "VERSION").replace(place, f"LANDING of {one['Key']}")
    # Landings are in the order of their places; now in the order of their keys.
    text = json.dumps(json.loads(text), sort_keys=True, indent=1)
    # S3 takes its times from the real clock; everything else has its own.
    today = datetime.now(UTC).strftime("%Y-%m-")
    return re.sub(today + r"[0-9]{2}T[0-9:.]+(Z|[+]00:00)", "TIME", text)


def _content(key: str, data: bytes) -> str:
    """What an object holds: as text where it names a version, which S3 makes up."""
    return data.decode() if key.startswith("ingest/") else hashlib.sha256(data).hexdigest()


def sweep(scenario: Scenario, fault: Fault, *, writes_only: bool = True) -> list[str]:
    """Every call of a scenario with this fault, one at a time; gives what then stood differently, line by line."""
    expected, seen = play(scenario, Seam(writes_only=writes_only))
    assert seen.seen, "the scenario must make calls"
    different: list[str] = []
    for number, operation in enumerate(seen.seen):
        found, _ = play(scenario, Seam(fault, number, writes_only))
        if found != expected:
            lines = difflib.unified_diff(expected.splitlines(), found.splitlines(), lineterm="", n=0)
            different.append(f"{number}: {operation}\n" + "\n".join(lines))
    return different
