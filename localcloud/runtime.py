"""Runs ministack and the plug-ins in this process, until a signal ends it."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from localcloud import identity
from localcloud.context import Context
from localcloud.scales import Scales
from localcloud.snapshots import Snapshots, changes_something, recover

HEALTH_PATH = "/_localcloud/health"
LOOPBACK = "127.0.0.1"
ADDRESS_FILE = "address"
SAVE_SECONDS = 15.0

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class PortInUse(Exception):
    """Another process listens on the port."""


class StateInUse(Exception):
    """Another local cloud keeps its state in the same directory."""


def serve(
    *,
    port: int,
    state_dir: Path,
    scales: Scales,
    announce: Callable[[str], None],
    save_seconds: float | None = SAVE_SECONDS,
    record: Path | None = None,
) -> None:
    """
    Serve on 127.0.0.1 until SIGTERM or SIGINT; then save state and end the children.

    State is also saved when it has been quiet for a second after a change, and every `save_seconds` while it isn't;
    None saves at the end only. What roles ask for is written to the file `record`.

    Raises
    ------
    PortInUse, StateInUse
        Before anything was started.
    """
    state_dir.mkdir(parents=True, exist_ok=True)
    with _locked(state_dir), _listening(port) as listener:
        recover(state_dir)
        port = listener.getsockname()[1]
        endpoint_url = f"http://{LOOPBACK}:{port}"
        log = _log_to(state_dir / "localcloud.log")
        _configure(port, state_dir, scales, endpoint_url)
        context = Context(
            account=identity.ACCOUNT,
            region=identity.REGION,
            scales=scales,
            state_dir=state_dir,
            endpoint_url=endpoint_url,
            log=log,
            record=record,
        )
        from localcloud import persistence, plugins

        plugins.install(context)
        snapshots = persistence.install(context, seconds=save_seconds)

        def ready() -> None:
            (state_dir / ADDRESS_FILE).write_text(endpoint_url)
            announce(endpoint_url)

        try:
            asyncio.run(_run(context, Front(context, snapshots), listener, ready))
        finally:
            (state_dir / ADDRESS_FILE).unlink(missing_ok=True)


def _configure(port: int, state_dir: Path, scales: Scales, endpoint_url: str) -> None:
    """ministack reads its settings from the environment when it is imported."""
    _keep_bytecode()
    # Nothing here runs in containers, and importing the client costs a second and tens of megabytes.
    sys.modules.setdefault("docker", None)  # type: ignore[arg-type]
    assert "ministack.app" not in sys.modules, "the settings come too late: ministack is imported already"
    os.environ.update(
        {
            "GATEWAY_PORT": str(port),
            "BIND_HOST": LOOPBACK,
            "MINISTACK_HOST": "localhost",
            "MINISTACK_ACCOUNT_ID": identity.ACCOUNT,
            "MINISTACK_REGION": identity.REGION,
            "PERSIST_STATE": "1",
            "STATE_DIR": str(state_dir / "ministack"),
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(state_dir / "s3"),
            "AUTH": "true",
            "LAMBDA_EXECUTOR": "local",
            "LAMBDA_STRICT": "0",
            "SFN_WAIT_SCALE": repr(1 / scales.waits),
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "DOCKER_HOST": f"unix://{state_dir / 'no-docker.sock'}",
            "LOG_LEVEL": "WARNING",
            **identity.environment(endpoint_url),
        }
    )
    os.environ.pop("AWS_SESSION_TOKEN", None)
    os.environ.pop("AWS_PROFILE", None)
    os.environ.pop("USE_SSL", None)


def _keep_bytecode() -> None:
    """ministack is large: where Python is told to write no bytecode, keep it in the user's cache all the same."""
    if sys.dont_write_bytecode:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        sys.pycache_prefix = str(cache / "localcloud" / "bytecode")
        sys.dont_write_bytecode = False


async def _run(context: Context, front: Front, listener: socket.socket, ready: Callable[[], None]) -> None:
    from hypercorn.asyncio import serve as hypercorn_serve
    from hypercorn.config import Config

    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)

    config = Config()
    config.bind = [f"fd://{listener.fileno()}"]
    config.keep_alive_timeout = 75
    config.graceful_timeout = 0.5
    config.backlog = 1024
    config.errorlog = context.log

    async def stopped() -> None:
        threading.Thread(target=_start, args=(context, front, ready), daemon=True).start()
        await stop.wait()
        await loop.run_in_executor(None, context.stop)

    await hypercorn_serve(front, config, shutdown_trigger=stopped)  # type: ignore[arg-type]


def _start(context: Context, front: Front, ready: Callable[[], None]) -> None:
    try:
        context.start()
        front.status = "ok"
        ready()
    except Exception:
        context.log.exception("start failed")


class Front:
    """ministack's ASGI application, behind our health path and with our plug-ins' state loaded after its own."""

    def __init__(self, context: Context, snapshots: Snapshots) -> None:
        from ministack.app import app

        self._app = app
        self._context = context
        self._snapshots = snapshots
        self.status = "starting"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == HEALTH_PATH:
            await self._answer_health(send)
        elif scope["type"] == "lifespan":
            await self._app(scope, receive, self._loading(send))
        elif scope["type"] == "http" and _changes_something(scope):
            # Before: what is under way when a snapshot begins makes another one due. After: that one holds it.
            self._snapshots.changed()
            await self._app(scope, receive, send)
            self._snapshots.changed()
        else:
            await self._app(scope, receive, send)

    def _loading(self, send: Send) -> Send:
        async def forward(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "lifespan.startup.complete":
                self._context.load()
            await send(message)

        return forward

    async def _answer_health(self, send: Send) -> None:
        scales = self._context.scales
        body = json.dumps(
            {
                "status": self.status,
                "endpoint": self._context.endpoint_url,
                "saved": self._snapshots.saved,
                "scales": {"waits": scales.waits, "alarms": scales.alarms, "schedules": scales.schedules},
            }
        ).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200 if self.status == "ok" else 503, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _changes_something(scope: Scope) -> bool:
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    target = next((value.decode("latin-1") for name, value in headers if name == b"x-amz-target"), "")
    return changes_something(scope["method"], scope["path"], target)


@contextlib.contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, port))
            listener.listen(1024)
        except OSError as error:
            raise PortInUse(f"port {port} is in use ({error.strerror})") from error
        yield listener


@contextlib.contextmanager
def _locked(state_dir: Path) -> Iterator[None]:
    with (state_dir / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StateInUse(f"{state_dir} is in use by another local cloud") from error
        yield


def _log_to(path: Path) -> logging.Logger:
    handler = RotatingFileHandler(path, maxBytes=5_000_000, backupCount=1)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    log = logging.getLogger("localcloud")
    log.setLevel(logging.INFO)
    threading.excepthook = lambda args: log.error(
        "thread %s died", args.thread.name if args.thread else "?",
        exc_info=(args.exc_type, args.exc_value, args.exc_traceback),  # type: ignore[arg-type]
    )  # fmt: skip
    return log
