"""
What a plug-in may use: the one interface between the local cloud and its parts.

A plug-in is a module with `install(context: Context) -> None`, called once before the server takes requests. At that
time nothing may be called over the network yet: register here, work later (`on_start`, handlers, `every`).
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localcloud.children import Children
from localcloud.pace import Pace
from localcloud.scales import Scales

if TYPE_CHECKING:
    import subprocess


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request to a service; `path` is decoded, header names are lower case, query values are lists."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    query: Mapping[str, list[str]]
    account: str = ""
    region: str = ""
    caller_arn: str = ""

    @property
    def action(self) -> str:
        """The operation that `X-Amz-Target` names (`SageMaker.CreateModel` gives `CreateModel`), or nothing."""
        return self.headers.get("x-amz-target", "").rpartition(".")[2]

    def json(self) -> dict[str, Any]:
        """The body, parsed; an empty body is an empty object."""
        parsed: dict[str, Any] = json.loads(self.body or b"{}")
        return parsed


@dataclass(frozen=True, slots=True)
class Response:
    """What a service handler gives back."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_json(cls, payload: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
        """A JSON 1.1 answer."""
        merged = {"Content-Type": "application/x-amz-json-1.1", **(headers or {})}
        return cls(status, json.dumps(payload, default=str).encode(), merged)

    @classmethod
    def of_error(cls, code: str, message: str, *, status: int = 400) -> Response:
        """An error as JSON 1.1 services state it; botocore raises ClientError with `code`."""
        return cls.of_json({"__type": code, "message": message}, status=status, headers={"x-amzn-errortype": code})


Handler = Callable[[Request], Response]
"""Runs in a thread of its own, so it may block and may call the server."""

Authorize = Callable[[Request], tuple[str, str] | None]
"""(IAM action, resource ARN) that a request needs; None when it needs no permission."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Temporary keys of a role, or the root pair; every call signed with them is held to the role's policies."""

    access_key: str
    secret_key: str
    token: str = ""

    def environment(self) -> dict[str, str]:
        """The variables by which every AWS SDK takes these keys."""
        variables = {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}
        return variables | ({"AWS_SESSION_TOKEN": self.token} if self.token else {})


@dataclass(frozen=True, slots=True)
class ResourceType:
    """
    How CloudFormation makes, changes and removes one type of resource.

    `create(logical_id, properties, stack_name)` and `update(physical_id, old, new, stack_name)` give (what Ref
    gives, attributes for Fn::GetAtt); without `update` a change replaces the resource. Raise ValueError with a
    sentence to fail the stack. `delete(physical_id, properties)` passes when the resource is gone already.
    Properties arrive resolved; booleans and numbers may still be strings ("true").
    """

    create: Callable[[str, dict[str, Any], str], tuple[str, dict[str, Any]]]
    delete: Callable[[str, dict[str, Any]], None]
    update: Callable[[str, dict[str, Any], dict[str, Any], str], tuple[str, dict[str, Any]]] | None = None


class Context:
    """
    The local cloud, as its plug-ins see it.

    Attributes
    ----------
    account, region
        The one account and region that it plays.
    scales
        How fast time passes.
    pace
        The clock for what AWS limits in seconds: it goes slower where the machine is busy.
    state_dir
        Where everything that outlives the server is kept; a plug-in keeps its files in `directory(name)`.
    endpoint_url
        The address that children get as AWS_ENDPOINT_URL.
    changed
        Call it when something worth keeping changed other than by a request: a snapshot follows.
    record
        File that what roles ask for is written to; None writes nothing.
    log
        Writes to `state_dir`/localcloud.log; use `log.getChild(name)`.
    children
        The running child processes.
    """

    def __init__(
        self,
        *,
        account: str,
        region: str,
        scales: Scales,
        state_dir: Path,
        endpoint_url: str,
        log: logging.Logger,
        record: Path | None = None,
    ) -> None:
        self.account = account
        self.region = region
        self.scales = scales
        self.state_dir = state_dir
        self.endpoint_url = endpoint_url
        self.log = log
        self.record = record
        self.pace = Pace()
        self.children = Children(log, self.pace)
        self._savers: dict[str, Callable[[], Any]] = {}
        self._loaders: dict[str, Callable[[Any], None]] = {}
        self._last_words: dict[str, bytes] = {}
        self.changed: Callable[[], None] = lambda: None
        self._starters: list[Callable[[], None]] = []
        self._stoppers: list[Callable[[], None]] = []
        self._stopping = threading.Event()

    # Services and resource types

    def register_service(
        self,
        name: str,
        handler: Handler,
        *,
        target_prefixes: Sequence[str] = (),
        credential_scope: str | None = None,
        iam_namespace: str | None = None,
        paths: Sequence[str] = (),
        authorize: Authorize | None = None,
    ) -> None:
        """
        Serve `name`: requests whose X-Amz-Target starts with a target prefix, whose signature names the scope
        `credential_scope`, or whose path matches a regular expression in `paths`.

        Every request needs `authorize(request)`; without it, `iam_namespace`:Action on `*`.
        """
        from localcloud import services

        services.register(
            self,
            name,
            handler,
            target_prefixes=target_prefixes,
            credential_scope=credential_scope,
            iam_namespace=iam_namespace,
            paths=paths,
            authorize=authorize,
        )

    def register_resource(self, type_name: str, resource: ResourceType) -> None:
        """Let CloudFormation know the type `type_name`, in place of ministack's own if it has one."""
        from localcloud import services

        services.register_resource(self, type_name, resource)

    # Calls into the cloud

    def call(
        self, service: str, action: str, params: Mapping[str, Any] | None = None, *, role: str | None = None
    ) -> dict[str, Any]:
        """
        Call an operation as an SDK would: `call("sagemaker", "DescribeEndpoint", {"EndpointName": "e"})`.

        Parameters
        ----------
        service, action
            botocore's service name and the API's own operation name.
        role
            ARN of the role whose permissions count; without it, root's.

        Raises
        ------
        botocore.exceptions.ClientError
            What the service answered.
        RuntimeError
            Called on the server's own event loop, which would then wait for itself.
        """
        from localcloud import clients

        return clients.call(self, service, action, dict(params or {}), role)

    def credentials_for(self, role_arn: str | None) -> Credentials:
        """Keys of the role `role_arn`; of root when None. The same role gives the same keys."""
        from localcloud import clients

        return clients.credentials(self, role_arn)

    def child_environment(self, role_arn: str | None) -> dict[str, str]:
        """Variables for a process that works on AWS as `role_arn`: endpoint, region, keys."""
        return self.credentials_for(role_arn).environment() | {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    # What AWS services do of their own accord

    def put_metric(
        self,
        namespace: str,
        name: str,
        value: float,
        unit: str = "None",
        dimensions: Mapping[str, str] | None = None,
        at: datetime | None = None,
    ) -> None:
        """Record one value of a metric, at `at` (now when None), as a service does for its own namespace."""
        from localcloud import emissions

        emissions.put_metric(self, namespace, name, value, unit, dict(dimensions or {}), at or self.clock())

    def put_event(
        self,
        source: str,
        detail_type: str,
        detail: Mapping[str, Any],
        resources: Sequence[str] = (),
        *,
        bus: str = "default",
    ) -> None:
        """Put an event of a service (`source` may start with `aws.`) on a bus; rules and archives see it."""
        from localcloud import emissions

        emissions.put_event(self, source, detail_type, dict(detail), list(resources), bus)

    def put_log(self, group: str, stream: str, text: str) -> None:
        """Append the lines of `text` to a log stream, making group and stream when they are not there."""
        from localcloud import emissions

        emissions.put_log(self, group, stream, text.splitlines())

    # Processes, threads and time

    def spawn(
        self,
        argv: Sequence[str | Path],
        env: Mapping[str, str] | None = None,
        cwd: str | Path | None = None,
        log: str | Path | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a child that ends with the server; its output is appended to the file `log`. Stop it with
        `children.stop(process)`."""
        return self.children.spawn(argv, env=env, cwd=cwd, log=log)

    def background(self, work: Callable[[], None], *, name: str) -> threading.Thread:
        """Run `work` once in a daemon thread, inside the account's scope; what it raises is logged."""
        thread = threading.Thread(target=self._guard, args=(work, name), name=f"localcloud-{name}", daemon=True)
        thread.start()
        return thread

    def every(self, seconds: float, work: Callable[[], None], *, name: str) -> None:
        """From the server's start to its stop, run `work` every `seconds`; what it raises is logged, and it goes on."""

        def loop() -> None:
            while not self._stopping.wait(seconds):
                self._guard(work, name)

        self.on_start(lambda: self.background(loop, name=name) and None)

    def sleep(self, seconds: float) -> bool:
        """Wait `seconds` (real ones: scale them first). False as soon as the server stops, and nothing more is due."""
        return not self._stopping.wait(seconds)

    @property
    def stopping(self) -> bool:
        """Whether the server is going down."""
        return self._stopping.is_set()

    def clock(self) -> datetime:
        """Now, aware, in UTC."""
        return datetime.now(UTC)

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Within it, ministack's stores show this account and region: needed outside of a request."""
        from ministack.core.responses import request_scope

        with request_scope(self.account, self.region):
            yield

    # State and life cycle

    def directory(self, name: str) -> Path:
        """A directory of the plug-in's own under `state_dir`, made on first use."""
        path = self.state_dir / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def on_save(self, name: str, save: Callable[[], Any]) -> None:
        """Now and then, and at an orderly stop, keep what `save` gives: anything that json can write."""
        self._savers[name] = save

    def on_load(self, name: str, load: Callable[[Any], None]) -> None:
        """At start, before `on_start`, hand back what was kept under `name`, if anything was."""
        self._loaders[name] = load

    def on_start(self, work: Callable[[], None]) -> None:
        """Run `work` once the server answers: the place to start threads, respawn children, call services."""
        self._starters.append(work)

    def on_stop(self, work: Callable[[], None]) -> None:
        """Run `work` before state is saved and children end."""
        self._stoppers.append(work)

    # For the server itself

    def load(self) -> None:
        """Hand every plug-in its kept state."""
        for name, load in self._loaders.items():
            path = self._state_path(name)
            if path.exists():
                self._guard(lambda load=load, path=path: load(json.loads(path.read_text())), f"load {name}")  # type: ignore[misc]

    def start(self) -> None:
        """The server answers."""
        for work in self._starters:
            self._guard(work, "start")

    def kept(self) -> dict[str, Callable[[], bytes | None]]:
        """What plug-ins want to be kept: files below `state_dir`, and what gives their content."""
        return {f"plugins/{name}.json": partial(self._content, name) for name in self._savers}

    def stop(self) -> None:
        """The server goes down: stop what plug-ins run, keep their state, end their children."""
        self._stopping.set()
        for work in reversed(self._stoppers):
            self._guard(work, "stop")
        # What is kept is what was true before the children ended.
        for name in self._savers:
            self._guard(partial(self._note, name), f"save {name}")
        self.children.stop_all()

    def _guard(self, work: Callable[[], Any], name: str) -> None:
        try:
            with self.scope():
                work()
        except Exception:
            self.log.exception("%s failed", name)

    def _state_path(self, name: str) -> Path:
        return self.state_dir / "plugins" / f"{name}.json"

    def _content(self, name: str) -> bytes | None:
        return self._last_words.get(name) or self._dumped(name)

    def _note(self, name: str) -> None:
        self._last_words[name] = self._dumped(name)

    def _dumped(self, name: str) -> bytes:
        with self.scope():
            return json.dumps(self._savers[name](), default=str).encode()
