"""One variant of an endpoint: a serving process, watched over, and the connections to it."""

from __future__ import annotations

import http.client
import queue
import shutil
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from localcloud.context import Context
from localcloud.sagemaker import storage, toolkit
from localcloud.sagemaker.logs import LogShipper
from localcloud.sagemaker.state import Record
from localcloud.sagemaker.storage import Storage, TransferFailed

HEALTH_CHECK_SECONDS = 240.0
MODEL_TIMEOUT_SECONDS = 60.0
ROUTED_SECONDS, DRAIN_SECONDS = 0.1, 10.0
"""Between the choice of a variant and the request to it; and how long a request may still take."""
FIRST_RESTART_SECONDS, LONGEST_RESTART_SECONDS = 0.2, 10.0
_SERVE = Path(__file__).parent / "container" / "serve.py"


class Unhealthy(Exception):
    """The container did not pass its health check; the message is AWS's FailureReason."""


class Unreachable(Exception):
    """The process does not answer now; it is being restarted."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the container answered."""

    status: int
    body: bytes
    content_type: str


class Variant:
    """
    The process that serves one variant.

    Parameters
    ----------
    spec
        The variant as an endpoint's record keeps it: VariantName, ModelName, `_container`, `_role`.
    """

    def __init__(self, context: Context, shipper: LogShipper, endpoint: str, spec: Record) -> None:
        self._context = context
        self._shipper = shipper
        self.endpoint = endpoint
        self.spec = spec
        self.name: str = spec["VariantName"]
        self._folder = context.directory("sagemaker") / "endpoint" / endpoint / f"{self.name}-{uuid.uuid4().hex[:8]}"
        self._log = self._folder / "log.txt"
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0
        self._connections: queue.LifoQueue[http.client.HTTPConnection] = queue.LifoQueue()
        self._ready = threading.Event()
        self._closed = False
        self._active = 0
        self._idle = threading.Condition()
        self._restart_at = 0.0
        self._restarts = 0

    def __repr__(self) -> str:
        return f"<Variant {self.endpoint}/{self.name} of {self.spec['ModelName']} on port {self._port}>"

    def same_model(self, spec: Record) -> bool:
        """Whether a process for `spec` would be just like this one."""
        ours = {key: self.spec[key] for key in ("VariantName", "ModelName", "_container", "_role")}
        return ours == {key: spec[key] for key in ours}

    def start(self) -> None:
        """
        Fetch the model, start the process and wait until it is healthy.

        Raises
        ------
        Unhealthy
            The model can't be fetched, the process ended, or it did not answer in time.
        """
        try:
            self._prepare()
            self._spawn()
            self._wait_until_healthy(HEALTH_CHECK_SECONDS)
        except TransferFailed as error:
            raise Unhealthy(f"Failed to download model data for production variant {self.name}: {error}") from error
        self._ready.set()

    def retire(self) -> None:
        """Stop, once the requests that were routed here have their answers."""
        self._context.sleep(ROUTED_SECONDS)
        with self._idle:
            self._idle.wait_for(lambda: self._active == 0, timeout=self._context.pace.real(DRAIN_SECONDS))
        self.stop()

    def stop(self) -> None:
        """End the process and remove its files."""
        self._closed = True
        self._ready.clear()
        if self._process is not None:
            self._context.children.stop(self._process)
        self._shipper.finish(self._log)
        shutil.rmtree(self._folder, ignore_errors=True)

    def watch(self) -> None:
        """Restart the process if it has ended; ever more slowly when it keeps ending."""
        if self._closed or self._process is None or self._process.poll() is None:
            return
        now = time.monotonic()
        if self._ready.is_set():
            self._ready.clear()
            self._drop_connections()
            self._restart_at = now + FIRST_RESTART_SECONDS
        elif now >= self._restart_at:
            self._restarts += 1
            delay = FIRST_RESTART_SECONDS * 2**self._restarts
            self._restart_at = now + min(delay, LONGEST_RESTART_SECONDS)
            self._context.background(self._restart, name=f"restart-{self.name}")

    def _restart(self) -> None:
        self._spawn()
        try:
            self._wait_until_healthy(HEALTH_CHECK_SECONDS)
        except Unhealthy as error:
            self._context.log.warning("%r: %s", self, error)
            return
        self._ready.set()

    def _prepare(self) -> None:
        base, role = self._folder / "ml", self.spec["_role"]
        archive = Storage(self._context, role).download(self.spec["_container"]["ModelDataUrl"], base / "model.tar.gz")
        storage.unpack(archive, base / "model")
        archive.unlink()
        group, stream = f"/aws/sagemaker/Endpoints/{self.endpoint}", f"{self.name}/i-{uuid.uuid4().hex[:17]}"
        self._shipper.follow(self._log, group, stream)
        argv = toolkit.install_command(base / "model" / "code", self._folder / "site-packages")
        if argv is not None:
            process = self._context.spawn(argv, env=self._environment(), cwd=base, log=self._log)
            if process.wait():
                raise Unhealthy(self._failed_health_check())

    def _environment(self) -> dict[str, str]:
        base = self._folder / "ml"
        code = base / "model" / "code"
        own = {
            "SAGEMAKER_PROGRAM": "inference.py",
            "SAGEMAKER_SUBMIT_DIRECTORY": str(code),
            "SAGEMAKER_REGION": self._context.region,
            "SAGEMAKER_BASE_DIR": str(base),
            "SM_MODEL_DIR": str(base / "model"),
            "PYTHONPATH": f"{code}:{self._folder / 'site-packages'}",
        }
        asked = self.spec["_container"].get("Environment", {})
        return (
            toolkit.process_environment(self._folder)
            | self._context.child_environment(self.spec["_role"])
            | own
            | {name: toolkit.in_directory(value, base) for name, value in asked.items()}
        )

    def _spawn(self) -> None:
        (self._folder / "port").unlink(missing_ok=True)
        argv: list[str | Path] = [*toolkit.PYTHON, _SERVE, self._folder / "ml" / "model", self._folder / "port"]
        self._process = self._context.spawn(argv, env=self._environment(), cwd=self._folder, log=self._log)

    def _wait_until_healthy(self, seconds: float) -> None:
        pace = self._context.pace
        deadline = pace.now() + seconds
        port_file = self._folder / "port"
        while pace.now() < deadline and not self._closed and not self._context.stopping:
            if self._process is None or self._process.poll() is not None:
                break
            if port_file.exists():
                self._port = int(port_file.read_text())
                if self._exchange("GET", "/ping", b"", {}).status == 200:
                    return
            time.sleep(0.03)
        raise Unhealthy(self._failed_health_check())

    def _failed_health_check(self) -> str:
        return (
            f"The primary container for production variant {self.name} did not pass the ping health check. "
            "Please check CloudWatch logs for this endpoint."
        )

    def invoke(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """
        One request to the container.

        Raises
        ------
        Unreachable
            The process is not there, or does not answer in time.
        """
        if not self._ready.is_set():
            raise Unreachable(f"variant {self.name} is not ready")
        with self._idle:
            self._active += 1
        try:
            return self._exchange("POST", "/invocations", body, headers)
        finally:
            with self._idle:
                self._active -= 1
                self._idle.notify_all()

    def _exchange(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        connection, reused = self._connection()
        connection.sock.settimeout(self._context.pace.real(MODEL_TIMEOUT_SECONDS))
        try:
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            answer = Answer(response.status, response.read(), response.headers.get("Content-Type", ""))
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            if reused and self._process is not None and self._process.poll() is None:
                return self._exchange(method, path, body, headers)
            raise Unreachable(f"variant {self.name} gave no answer: {error}") from error
        self._connections.put(connection)
        return answer

    def _connection(self) -> tuple[http.client.HTTPConnection, bool]:
        try:
            return self._connections.get_nowait(), True
        except queue.Empty:
            connection = http.client.HTTPConnection("127.0.0.1", self._port)
            connection.connect()
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection, False

    def _drop_connections(self) -> None:
        while True:
            try:
                self._connections.get_nowait().close()
            except queue.Empty:
                return

    def wait_ready(self, seconds: float) -> bool:
        """Whether it serves within `seconds`."""
        return self._ready.wait(seconds)

    @property
    def pid(self) -> int | None:
        """Its process."""
        return self._process.pid if self._process else None
