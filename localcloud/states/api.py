"""How executions start, stop, end, and go on after the server was down."""

from __future__ import annotations

import contextvars
import json
import re
import threading
from typing import Any

from ministack.core.responses import error_response_json, json_response
from ministack.services import stepfunctions as sf

from localcloud.context import Context
from localcloud.extension import replace, require
from localcloud.states.errors import PAYLOAD_LIMIT_BYTES, RUNTIME, TIMEOUT, Interrupted, StateFailed
from localcloud.states.interpreter import walk
from localcloud.states.run import Run, Scope

_NAME = re.compile(r"[^\x00-\x1f\x7f-\x9f\s<>{}\[\]?*\"#%\\^|~`$&,;:/]{1,80}")


def install(context: Context) -> None:
    """Take over the running of executions."""
    require(sf, "_executions", "_state_machines", "_task_tokens", "_add_event", "_emit_execution_status_event")
    require(sf, "_resolve_state_machine_arn", "_state_machine_versions")
    executions = _Executions(context)
    replace(sf, "_run_execution", executions.run)
    executions.start_ministacks = replace(sf, "_start_execution", executions.start)
    executions.stop_ministacks = replace(sf, "_stop_execution", executions.stop)
    described = replace(sf, "_describe_state_machine_for_execution", lambda request: _as_it_began(request, described))
    answer = replace(sf, "_send_task_success", lambda request: _checked_output(request, answer))
    context.on_start(executions.resume)
    context.on_stop(executions.suspend)


def _as_it_began(request: dict[str, Any], described: Any) -> Any:
    """DescribeStateMachineForExecution: an execution under way has the definition and the role that it began with."""
    status, headers, body = described(request)
    began_with = (sf._executions.get(request.get("executionArn", "")) or {}).get("_resume")
    if status != 200 or not began_with:
        return status, headers, body
    found = json.loads(body) | {"definition": began_with["definition"], "roleArn": began_with["role"]}
    return json_response(found)


class _Executions:
    start_ministacks: Any
    stop_ministacks: Any

    def __init__(self, context: Context) -> None:
        self._context = context
        self._running: dict[str, Run] = {}
        self._log = context.log.getChild("states")

    def start(self, request: dict[str, Any]) -> Any:
        """StartExecution: a name is used once, and the same start twice is one start."""
        name, text = request.get("name"), request.get("input", "{}")
        if name is not None and not _NAME.fullmatch(name):
            return error_response_json("InvalidName", f"Invalid Name: '{name}'", 400)
        if len(text.encode()) > PAYLOAD_LIMIT_BYTES:
            message = f"Input of {len(text.encode())} bytes is over the limit of {PAYLOAD_LIMIT_BYTES}"
            return error_response_json("InvalidExecutionInput", message, 400)
        try:
            json.loads(text)
        except ValueError as error:
            message = f"Invalid State Machine Execution Input: '{error}'"
            return error_response_json("InvalidExecutionInput", message, 400)
        running = self._same(request.get("stateMachineArn", ""), name) if name else None
        if running is not None and running["status"] == "RUNNING" and running["input"] == text:
            return json_response({"executionArn": running["executionArn"], "startDate": running["startDate"]})
        return self.start_ministacks(request)

    def _same(self, machine_arn: str, name: str) -> dict[str, Any] | None:
        base = sf._resolve_state_machine_arn(machine_arn)
        if base is None:
            return None
        arn = f"{base.replace(':stateMachine:', ':execution:')}:{name}"
        found: dict[str, Any] | None = sf._executions.get(arn)
        return found

    def stop(self, request: dict[str, Any]) -> Any:
        """StopExecution, whose work lets go at once."""
        answer = self.stop_ministacks(request)
        run = self._running.get(request.get("executionArn", ""))
        if run is not None and answer[0] == 200:
            run.end("stopped")
        return answer

    def run(self, arn: str) -> None:
        """Run an execution to its end, in the calling thread."""
        with self._context.scope():
            execution = sf._executions.get(arn)
            machine = sf._state_machines.get(execution["stateMachineArn"]) if execution else None
            if execution is None or machine is None:
                return
            self._run(execution, machine)

    def _run(self, execution: dict[str, Any], machine: dict[str, Any]) -> None:
        resumed = execution.get("_resume")
        plan = json.loads(resumed["definition"] if resumed else machine["definition"])
        role = resumed["role"] if resumed else machine["roleArn"]
        if not resumed:
            execution["_resume"] = {"definition": machine["definition"], "role": role}
        run = Run(self._context, execution, role=role, timeout_seconds=plan.get("TimeoutSeconds"))
        self._running[execution["executionArn"]] = run
        try:
            output = _walk(run, plan, execution, machine, role)
            self._end(execution, "SUCCEEDED", "ExecutionSucceeded", {"output": json.dumps(output)})
        except StateFailed as failure:
            self._end(execution, "FAILED", "ExecutionFailed", {"error": failure.error, "cause": failure.cause})
        except Interrupted:
            if run.ended == "timed out":
                self._end(execution, "TIMED_OUT", "ExecutionTimedOut", {"error": TIMEOUT, "cause": ""})
        except Exception as error:  # noqa: BLE001 - logged, and the execution fails with it
            self._log.exception("execution %s broke", execution["executionArn"])
            self._end(execution, "FAILED", "ExecutionFailed", {"error": RUNTIME, "cause": str(error)})
        finally:
            self._running.pop(execution["executionArn"], None)

    def _end(self, execution: dict[str, Any], status: str, event: str, details: dict[str, str]) -> None:
        if execution["status"] != "RUNNING":
            return
        execution.update(status=status, stopDate=sf.now_iso(), **details)
        execution.pop("_resume", None)
        key = event[0].lower() + event[1:] + "EventDetails"
        added = sf._add_event(execution, event, {key: details})
        added["previousEventId"] = added["id"] - 1
        sf._emit_execution_status_event(execution)
        self._log_history(execution)

    def _log_history(self, execution: dict[str, Any]) -> None:
        """Write the history to the state machine's log group, as its logging configuration says."""
        machine = sf._state_machines.get(execution["stateMachineArn"]) or {}
        settings = machine.get("loggingConfiguration") or {}
        level, destinations = settings.get("level", "OFF"), settings.get("destinations") or []
        if level == "OFF" or not destinations:
            return
        lines = [
            json.dumps(_logged(event, execution["executionArn"], data=bool(settings.get("includeExecutionData"))))
            for event in execution["events"]
            if level == "ALL" or "Failed" in event["type"] or "TimedOut" in event["type"]
        ]
        group = destinations[0]["cloudWatchLogsLogGroup"]["logGroupArn"].split(":log-group:")[1].removesuffix(":*")
        self._context.put_log(group, f"states/{machine['name']}/{execution['startDate'][:13]}", "\n".join(lines))

    def suspend(self) -> None:
        """The server goes down: leave every execution where it is."""
        for run in list(self._running.values()):
            run.end("suspended")

    def resume(self) -> None:
        """Go on with the executions that ran when the server went down, from the state that each was in."""
        for execution in sf._executions.all_values():
            if execution.get("_resume") and execution.get("error") == "States.ServiceRestart":
                execution.update(status="RUNNING", stopDate=None)
                execution.pop("error", None)
                execution.pop("cause", None)
                work = contextvars.copy_context()
                threading.Thread(target=work.run, args=(self.run, execution["executionArn"]), daemon=True).start()


def _logged(event: dict[str, Any], arn: str, *, data: bool) -> dict[str, Any]:
    details = next((value for key, value in event.items() if key.endswith("EventDetails")), {})
    hidden = () if data else ("input", "output", "parameters", "cause")
    return {
        "id": str(event["id"]),
        "type": event["type"],
        "details": {key: value for key, value in details.items() if key not in hidden},
        "previous_event_id": str(event.get("previousEventId", 0)),
        "event_timestamp": event["timestamp"],
        "execution_arn": arn,
    }


def _walk(run: Run, plan: dict[str, Any], execution: dict[str, Any], machine: dict[str, Any], role: str) -> Any:
    where = execution["_resume"]
    argument = json.loads(execution["input"])
    frame = {
        "QueryLanguage": plan.get("QueryLanguage", "JSONPath"),
        "Execution": {
            "Id": execution["executionArn"],
            "Input": argument,
            "Name": execution["name"],
            "RoleArn": role,
            "StartTime": execution["startDate"],
            "RedriveCount": 0,
        },
        "StateMachine": {"Id": execution["stateMachineArn"], "Name": machine["name"]},
        "variables": json.loads(where.get("variables", "{}")),
    }

    def remember(name: str, value: Any, frame: dict[str, Any]) -> None:
        where.update(state=name, input=json.dumps(value), variables=json.dumps(frame["variables"]))
        where.pop("progress", None)

    progress = where.pop("progress", None)
    value = json.loads(where["input"]) if "input" in where else argument
    return walk(plan, value, frame, Scope(run), start_at=where.get("state"), on_entry=remember, progress=progress)


def _checked_output(request: dict[str, Any], answer: Any) -> Any:
    try:
        json.loads(request.get("output", ""))
    except ValueError:
        return error_response_json("InvalidOutput", "Invalid Task Output: the output must be JSON", 400)
    return answer(request)
