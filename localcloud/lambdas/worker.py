"""The server's end of one Lambda worker: starts it, hands it one invocation at a time, ends it."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import selectors
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from localcloud.context import Context
from localcloud.lambdas import bundle

_BOOTSTRAP = Path(__file__).with_name("bootstrap.py")
# What AWS's python3.12 runtime has beside the standard library.
_RUNTIME_DISTRIBUTIONS = ("boto3", "botocore", "s3transfer", "jmespath", "urllib3", "python-dateutil", "six")
_HOST_VARIABLES = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT")
_RESPONSE_LIMIT = 6 * 1024 * 1024
# The clock that a function's time is measured by may change its pace, so nobody sleeps by it for long.
_LONGEST_SLEEP_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one invocation came to: `payload` is JSON text, or the error's description when `failed`."""

    payload: str
    failed: bool
    log: str
    cold: bool
    init_milliseconds: float = 0.0
    memory_megabytes: int | None = None


class Worker:
    """
    One execution environment.

    ministack keeps a pool of these for each function version and leases one for each invocation; the attributes it
    looks at are in_use, last_used and config.
    """

    context: Context

    def __init__(self, func_name: str, config: dict[str, Any], code_zip: bytes) -> None:
        self.func_name = func_name
        self.config = config
        self.code_zip = code_zip
        self.in_use = False
        self.last_used = time.time()
        self.log_stream = _log_stream(config)
        self._proc: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._cold = True
        self._retired = False
        self._tmpdir: str | None = None
        self._answers = self._logs = self._alive = -1
        self._pending = b""

    def invoke(self, event: Any, request_id: str, *, arn: str, environment: Mapping[str, str | None]) -> Outcome:
        """Run the handler on `event`, within the function's timeout."""
        with self._lock:
            timeout = float(self.config.get("Timeout", 3))
            log, init_milliseconds, cold = "", 0.0, False
            if self._proc is None or self._proc.poll() is not None:
                started = time.monotonic()
                failure, log = self._load(timeout)
                init_milliseconds, cold = (time.monotonic() - started) * 1000, True
                if failure is not None:
                    return Outcome(failure, True, log, True, init_milliseconds)
            call = {
                "event": event,
                "request_id": request_id,
                "arn": arn,
                "timeout_seconds": timeout,
                "environment": environment,
            }
            answer, more = self._exchange(json.dumps(call).encode() + b"\n", timeout)
            outcome = self._outcome(answer, log + more, request_id, timeout, cold, init_milliseconds)
            if self._retired:
                self.kill()
            return outcome

    def retire(self) -> None:
        """Take no further invocation, and end as soon as the present one, if any, is done."""
        self._retired = True
        self.rest()

    def rest(self) -> None:
        """End the process unless it is at work; the next invocation starts another."""
        if self._lock.acquire(blocking=False):
            try:
                self.kill()
            finally:
                self._lock.release()

    def _outcome(
        self, answer: dict[str, Any] | None, log: str, request_id: str, timeout: float, cold: bool, init: float
    ) -> Outcome:
        if answer is None:
            failure, line = self._ended(request_id, timeout)
            return Outcome(failure, True, log + line, cold, init)
        if "error" in answer:
            return Outcome(json.dumps(answer["error"]), True, log, cold, init)
        result = str(answer["result"])
        if len(result) > _RESPONSE_LIMIT:
            message = f"Response payload size exceeded maximum allowed payload size ({_RESPONSE_LIMIT} bytes)."
            return Outcome(_error("Function.ResponseSizeTooLarge", message), True, log, cold, init)
        return Outcome(result, False, log, cold, init, self._peak_megabytes())

    def _peak_megabytes(self) -> int | None:
        """The most memory that the process has held, where the system tells (Linux)."""
        status = Path(f"/proc/{self._proc.pid}/status") if self._proc else None
        if status is None or not status.exists():
            return None
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        return int(found[1]) // 1024 if found else None

    def _ended(self, request_id: str, timeout: float) -> tuple[str, str]:
        """The worker gave no answer: it ran out of time, or it died."""
        process = self._proc
        code = process.poll() if process else None
        self.kill()
        if code is None:
            stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
            message = f"{stamp} {request_id} Task timed out after {timeout:.2f} seconds"
            return _error("Sandbox.Timedout", message), message + "\n"
        how = f"exit status {code}" if code >= 0 else f"signal: {-code}"
        message = f"RequestId: {request_id} Error: Runtime exited with error: {how}"
        return _error("Runtime.ExitError", message), message + "\n"

    def _load(self, timeout: float) -> tuple[str | None, str]:
        """Start the process and wait until it has imported the handler: (error or None, what it logged)."""
        try:
            self._spawn()
        except bundle.UnusableBundle as error:
            return _error("Runtime.ImportModuleError", str(error)), f"[ERROR] {error}\n"
        # AWS gives the init phase 10 seconds, and starts it again within the function's own timeout.
        answer, log = self._exchange(b"", max(10.0, timeout))
        if answer is None:
            failure, line = self._ended("init", max(10.0, timeout))
            return failure, log + line
        if "error" in answer:
            self.kill()
            return json.dumps(answer["error"]), log
        return None, log

    def _spawn(self) -> None:
        self.kill()
        self._cold = False
        code = bundle.unpack(self.code_zip, self.context.directory("cache/bundles"))
        self._tmpdir = tempfile.mkdtemp(prefix=f"lambda-{self.func_name[:40]}-")
        answers_read, answers_write = os.pipe()
        logs_read, logs_write = os.pipe()
        alive_read, alive_write = os.pipe()
        environment = self._environment(code) | {
            "LOCALCLOUD_ANSWERS": str(answers_write),
            "LOCALCLOUD_ALIVE": str(alive_read),
            "LOCALCLOUD_PATH": json.dumps([str(code), str(runtime_packages(self.context.directory("cache/runtime")))]),
        }
        self._proc = subprocess.Popen(
            [sys.executable, "-I", "-S", "-u", str(_BOOTSTRAP)],
            cwd=code,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=logs_write,
            stderr=logs_write,
            pass_fds=(answers_write, alive_read),
            start_new_session=True,
        )
        for descriptor in (answers_write, logs_write, alive_read):
            os.close(descriptor)
        os.set_blocking(answers_read, False)
        os.set_blocking(logs_read, False)
        self._answers, self._logs, self._alive, self._pending = answers_read, logs_read, alive_write, b""

    def _exchange(self, message: bytes, timeout: float) -> tuple[dict[str, Any] | None, str]:
        """Send `message`, and give the worker's answer (None: too late, or dead) with what it logged meanwhile."""
        assert self._proc is not None and self._proc.stdin is not None
        pace = self.context.pace
        deadline = pace.now() + timeout
        sender = threading.Thread(target=self._send, args=(message,), daemon=True) if len(message) > 32_768 else None
        if sender:
            sender.start()
        else:
            self._send(message)
        log: list[bytes] = []
        with selectors.DefaultSelector() as selector:
            selector.register(self._answers, selectors.EVENT_READ)
            selector.register(self._logs, selectors.EVENT_READ)
            while b"\n" not in self._pending:
                left = deadline - pace.now()
                ready = selector.select(min(_LONGEST_SLEEP_SECONDS, max(0.0, left)))
                if not ready and left <= 0:
                    break
                for key, _ in ready:
                    chunk = _read(key.fd)
                    if key.fd == self._logs:
                        log.append(chunk)
                    else:
                        self._pending += chunk
                    if not chunk:
                        selector.unregister(key.fd)
                if not selector.get_map():
                    self._proc.wait()
                    break
        # All that the handler wrote was flushed before it answered.
        while chunk := _read(self._logs):
            log.append(chunk)
        line, separator, rest = self._pending.partition(b"\n")
        self._pending = rest if separator else b""
        return (json.loads(line) if separator else None), b"".join(log).decode("utf-8", "replace")

    def _send(self, message: bytes) -> None:
        assert self._proc is not None and self._proc.stdin is not None
        try:
            self._proc.stdin.write(message)
            self._proc.stdin.flush()
        except (BrokenPipeError, ValueError):
            pass  # it died; reading its answer tells

    def _environment(self, code: Path) -> dict[str, str]:
        config = self.config
        own = {
            name: str(value)
            for name, value in (config.get("Environment") or {}).get("Variables", {}).items()
            if not name.startswith("LOCALCLOUD_")
        }
        host = {name: os.environ[name] for name in _HOST_VARIABLES if name in os.environ}
        role = config.get("Role") or None
        return {
            **host,
            "HOME": str(self._tmpdir),
            "TMPDIR": str(self._tmpdir),
            "TZ": ":UTC",
            "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
            **self.context.child_environment(role),
            **own,
            **self.context.credentials_for(role).environment(),
            "AWS_REGION": self.context.region,
            "AWS_DEFAULT_REGION": self.context.region,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{config.get('Runtime', 'python3.12')}",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_FUNCTION_NAME": config.get("FunctionName", self.func_name),
            "AWS_LAMBDA_FUNCTION_VERSION": config.get("Version", "$LATEST"),
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(config.get("MemorySize", 128)),
            "AWS_LAMBDA_LOG_GROUP_NAME": log_group(config),
            "AWS_LAMBDA_LOG_STREAM_NAME": self.log_stream,
            "LAMBDA_TASK_ROOT": str(code),
            "_HANDLER": config.get("Handler", ""),
        }

    def kill(self) -> None:
        """End the process, if it runs."""
        process, self._proc = self._proc, None
        if process is not None and process.poll() is None:
            process.kill()
            process.wait()
        self._close(process)

    def _close(self, process: subprocess.Popen[bytes] | None) -> None:
        if process is not None and process.stdin:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        for descriptor in (self._answers, self._logs, self._alive):
            if descriptor >= 0:
                os.close(descriptor)
        self._answers = self._logs = self._alive = -1
        self._discard_tmpdir()

    def _discard_tmpdir(self) -> None:
        if self._tmpdir:
            shutil.rmtree(self._tmpdir, ignore_errors=True)
            self._tmpdir = None


def log_group(config: Mapping[str, Any]) -> str:
    """The log group that a function writes to."""
    chosen = (config.get("LoggingConfig") or {}).get("LogGroup")
    return str(chosen or f"/aws/lambda/{config.get('FunctionName', 'unknown')}")


@functools.cache
def runtime_packages(target: Path) -> Path:
    """The directory `target`, with the SDK that AWS's own runtime brings linked in from this interpreter."""
    target.mkdir(parents=True, exist_ok=True)
    for name in _RUNTIME_DISTRIBUTIONS:
        installed = distribution(name)
        base = Path(str(installed.locate_file(""))).resolve()
        for top in {file.parts[0] for file in installed.files or () if file.parts[0] not in ("..", "__pycache__")}:
            link = target / top
            if not link.is_symlink() or link.resolve() != (base / top).resolve():
                link.unlink(missing_ok=True)
                link.symlink_to(base / top)
    return target


def _log_stream(config: Mapping[str, Any]) -> str:
    return f"{datetime.now(UTC):%Y/%m/%d}/[{config.get('Version', '$LATEST')}]{uuid.uuid4().hex}"


def _error(kind: str, message: str) -> str:
    return json.dumps({"errorMessage": message, "errorType": kind})


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 20)
    except BlockingIOError:
        return b""
