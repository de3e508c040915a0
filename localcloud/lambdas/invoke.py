"""One invocation of a Python function, and all that AWS writes about it: logs, metrics, the metrics in its logs."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from typing import Any, cast

from localcloud.context import Context
from localcloud.extension import replace, require
from localcloud.lambdas import embedded_metrics
from localcloud.lambdas.worker import Outcome, Worker, log_group
from localcloud.pace import Pace

_REST_SECONDS = 300.0
# AWS starts every environment on hardware of its own. Here they share the cores: more of one function than there are
# cores would all start slowly together, so a call waits for a warm one, if it comes free within this time.
_AT_ONCE = max(2, os.cpu_count() or 1)
_PATIENCE_SECONDS, _LOOK_SECONDS = 10.0, 0.02
_HOST_RUNTIME = f"python{sys.version_info.major}.{sys.version_info.minor}"


def install(context: Context) -> None:
    """Let Python functions run in our workers."""
    from ministack.core import lambda_runtime
    from ministack.services import lambda_svc

    require(lambda_runtime, "Worker", "_workers", "acquire_worker", "release_worker", "kill_workers")
    require(lambda_svc, "_xray_trace_id_for_invocation", "_invoke_depth", "_ensure_reaper_thread", "_functions")
    shutil.rmtree(context.state_dir / "cache", ignore_errors=True)
    workers = type("LocalWorker", (Worker,), {"context": context})
    worker_class_for = lambda_runtime._worker_class_for
    kill_ministacks = lambda_runtime.kill_workers

    def choose(config: dict[str, Any]) -> type:
        return workers if _is_python(config) else worker_class_for(config)

    def kill(group: list[Any]) -> None:
        for worker in group:
            if isinstance(worker, Worker):
                worker.retire()
        kill_ministacks([worker for worker in group if not isinstance(worker, Worker)])

    replace(lambda_runtime, "_worker_class_for", choose)
    replace(lambda_runtime, "kill_workers", kill)
    executor = _Executor(context)
    executor.ministacks = replace(lambda_svc, "_execute_function_warm", executor.run)
    executor.write_ministacks_log = replace(lambda_svc, "_emit_lambda_logs", executor.write_log)
    executor.dispatch_ministacks = replace(lambda_svc, "_execute_function_dispatch", executor.dispatch)
    replace(lambda_svc, "_emit_lambda_metrics", executor.count_throttle)
    for name in ("_create_function", "_update_config"):
        _refuse_other_interpreters(lambda_svc, name)
    fetch = replace(lambda_svc, "_fetch_code_from_s3", lambda *place, **named: _shared(fetch(*place, **named)))
    context.every(_REST_SECONDS / 4, lambda: _let_rest(lambda_runtime), name="lambda-rest")
    context.on_stop(lambda_runtime.reset)


def _shared(code: bytes | None) -> bytes | None:
    """The same code as another function's is kept in memory once: bundles are large, and apps share them."""
    from ministack.services import lambda_svc

    for function in list(lambda_svc._functions._data.values()):
        known = function.get("code_zip")
        if code and known and len(known) == len(code) and known == code:
            return bytes(known)
    return code


def _let_rest(lambda_runtime: Any) -> None:
    """End workers that have been idle for long: a laptop keeps its memory, the next call starts cold as on AWS."""
    idle_since = time.time() - _REST_SECONDS
    for workers in list(lambda_runtime._workers.values()):
        for worker in list(workers):
            if isinstance(worker, Worker) and not worker.in_use and worker.last_used < idle_since:
                worker.rest()


class _Executor:
    """Stands in for ministack's own: the same arguments, the same answers."""

    ministacks: Any
    write_ministacks_log: Any
    dispatch_ministacks: Any

    def __init__(self, context: Context) -> None:
        self._context = context

    def run(self, function: dict[str, Any], event: Any, request_id: str) -> dict[str, Any]:
        config = function.get("config") or function
        if not _is_python(config) or not function.get("code_zip"):
            return dict(self.ministacks(function, event, request_id))
        from ministack.core import lambda_runtime
        from ministack.services import lambda_svc

        lambda_svc._ensure_reaper_thread()
        worker = _lease(config, function["code_zip"], self._context.pace)
        started = time.monotonic()
        try:
            arn = config.get("FunctionArn", "")
            outcome = worker.invoke(event, request_id, arn=arn, environment=_per_call(config))
        except Exception:
            self._context.log.exception("invocation of %s failed", config.get("FunctionName"))
            worker.kill()
            raise
        finally:
            lambda_runtime.release_worker(worker)
        milliseconds = (time.monotonic() - started) * 1000 - outcome.init_milliseconds
        self._log(config, request_id, worker.log_stream, outcome, milliseconds)
        return _answer(outcome)

    def dispatch(
        self, function: dict[str, Any], config: dict[str, Any], event: Any, request_id: str, started: float
    ) -> Any:
        """Every executor's invocations pass here, whoever invoked: AWS counts them all."""
        begun = time.monotonic()
        failed = True
        try:
            result = self.dispatch_ministacks(function, config, event, request_id, started)
            failed = bool(result.get("error"))
            return result
        finally:
            self._count(config, (time.monotonic() - begun) * 1000, failed)

    def _count(self, config: dict[str, Any], milliseconds: float, failed: bool) -> None:
        dimensions = {"FunctionName": str(config.get("FunctionName", ""))}
        for name, value, unit in (
            ("Invocations", 1.0, "Count"),
            ("Errors", float(failed), "Count"),
            ("Duration", milliseconds, "Milliseconds"),
        ):
            self._context.put_metric("AWS/Lambda", name, value, unit, dimensions)

    def count_throttle(self, function_name: str, duration_ms: float, error: bool, throttle: bool) -> None:
        """ministack's own counting, of which only throttled calls never reach `dispatch`."""
        if throttle and duration_ms == 0.0:
            self._context.put_metric("AWS/Lambda", "Throttles", 1, "Count", {"FunctionName": function_name})

    def write_log(self, function: dict[str, Any], request_id: str, text: str, *rest: Any, **named: Any) -> None:
        """Python functions' logs are written by `run`, which knows their stream."""
        if not _is_python(function.get("config") or function):
            self.write_ministacks_log(function, request_id, text, *rest, **named)
            self._take_metrics(text)

    def _log(self, config: dict[str, Any], request_id: str, stream: str, outcome: Outcome, milliseconds: float) -> None:
        version, memory = config.get("Version", "$LATEST"), config.get("MemorySize", 128)
        report = (
            f"REPORT RequestId: {request_id}\tDuration: {milliseconds:.2f} ms\tBilled Duration: "
            f"{int(milliseconds) + 1} ms\tMemory Size: {memory} MB"
        )
        if outcome.memory_megabytes is not None:
            report += f"\tMax Memory Used: {outcome.memory_megabytes} MB"
        lines = [f"START RequestId: {request_id} Version: {version}", *outcome.log.splitlines()]
        if outcome.cold:
            lines.insert(0, f"INIT_START Runtime Version: {config.get('Runtime')} (localcloud)")
            report += f"\tInit Duration: {outcome.init_milliseconds:.2f} ms"
        lines += [f"END RequestId: {request_id}", report]
        self._context.put_log(log_group(config), stream, "\n".join(lines))
        self._take_metrics(outcome.log)

    def _take_metrics(self, text: str) -> None:
        for line in text.splitlines():
            for datum in embedded_metrics.read(line):
                self._context.put_metric(
                    datum.namespace, datum.name, datum.value, datum.unit, datum.dimensions, datum.at
                )


def _lease(config: dict[str, Any], code: bytes, pace: Pace) -> Worker:
    """A warm environment, or a new one; a function that was invoked by a function never waits: it may be its own."""
    from ministack.core import lambda_runtime
    from ministack.services import lambda_svc

    name, version = config.get("FunctionName", "unknown"), config.get("Version", "$LATEST")
    deadline = pace.now() + (0.0 if lambda_svc._invoke_depth.get() > 1 else _PATIENCE_SECONDS)
    while True:
        cap = _AT_ONCE if pace.now() < deadline else None
        worker, _ = lambda_runtime.acquire_worker(name, config, code, qualifier=version, max_concurrency=cap)
        if worker is not None:
            return cast("Worker", worker)
        time.sleep(_LOOK_SECONDS)


def _answer(outcome: Outcome) -> dict[str, Any]:
    body = json.loads(outcome.payload)
    if outcome.failed:
        return {"body": body, "error": True, "function_error": "Unhandled", "log": outcome.log}
    return {"body": body, "log": outcome.log}


def _per_call(config: dict[str, Any]) -> dict[str, str | None]:
    from ministack.services import lambda_svc

    depth = lambda_svc._invoke_depth.get()
    return {
        "_X_AMZN_TRACE_ID": lambda_svc._xray_trace_id_for_invocation(config),
        "_LOCALCLOUD_DEPTH": str(depth) if depth else None,
    }


def _is_python(config: dict[str, Any]) -> bool:
    return str(config.get("Runtime", "python")).startswith("python") and config.get("PackageType") != "Image"


def _refuse_other_interpreters(module: Any, name: str) -> None:
    from ministack.core.responses import error_response_json

    original = getattr(module, name)

    def checked(*arguments: Any) -> Any:
        runtime = str(arguments[-1].get("Runtime") or "")
        if runtime.startswith("python") and runtime != _HOST_RUNTIME:
            message = f"The local cloud runs functions with its own interpreter, {_HOST_RUNTIME}. Got {runtime} instead"
            return error_response_json("InvalidParameterValueException", message, 400)
        return original(*arguments)

    replace(module, name, checked)
