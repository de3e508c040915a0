"""
Distributed Map: items from S3 or the input, in batches, each a child execution of a Map Run; results to S3.

https://docs.aws.amazon.com/step-functions/latest/dg/state-map-distributed.html (read 2026-11).
"""

from __future__ import annotations

import json
import uuid
from typing import Any

from ministack.services import stepfunctions as sf

from localcloud.states import composite, data
from localcloud.states.data import Frame, State
from localcloud.states.errors import PAYLOAD_LIMIT_BYTES, StateFailed
from localcloud.states.run import Run, Scope

_AT_ONCE = 64
_COUNTS = ("pending", "running", "succeeded", "failed", "timedOut", "aborted", "total", "resultsWritten",
           "failuresNotRedrivable", "pendingRedrive")  # fmt: skip


def run(state: State, processor: State, value: Any, frame: Frame, scope: Scope) -> Any:
    """The child executions' outputs, or where ResultWriter put them."""
    label = state.get("Label") or uuid.uuid4().hex[:32]
    items = _items(state, value, frame)
    inputs = [composite.selected(state, value, dict(frame), index, item) for index, item in enumerate(items)]
    batches = _batched(state, inputs, value, frame)
    map_run = _new_map_run(scope.run, label, state, len(batches))
    scope.run.record("MapRunStarted", {"mapRunArn": map_run["mapRunArn"]})
    children = [_child(scope.run, map_run, label, batch) for batch in batches]
    at_once = int(data.field(state, "MaxConcurrency", value, frame) or 0) or _AT_ONCE
    works = [lambda inner, child=child: _run_child(processor, child, frame, inner, map_run) for child in children]  # type: ignore[misc]
    composite.together(works, scope, at_once=min(at_once, _AT_ONCE), on_failure=lambda: None)
    failed = [child for child in children if child["status"] == "FAILED"]
    map_run["stopDate"] = sf.now_iso()
    if _too_many(state, len(failed), len(children), value, frame):
        map_run["status"] = "FAILED"
        scope.run.record("MapRunFailed", {"error": "States.ExceedToleratedFailureThreshold"})
        raise StateFailed(
            "States.ExceedToleratedFailureThreshold", "The specified tolerated failure threshold was exceeded"
        )
    map_run["status"] = "SUCCEEDED"
    scope.run.record("MapRunSucceeded")
    if "ResultWriter" in state:
        return _write(scope.run, state["ResultWriter"], map_run, children, value, frame)
    return [json.loads(child["output"]) for child in children if child["status"] == "SUCCEEDED"]


def _items(state: State, value: Any, frame: Frame) -> list[Any]:
    reader = state.get("ItemReader")
    if not reader:
        return composite.items_of(state, value, frame)
    if data.is_jsonata(state, frame) and "Arguments" in reader:
        reader = {**reader, "Arguments": sf._apply_jsonata_template(reader["Arguments"], value, frame)}
    with data.bound(frame):
        found = sf._read_map_items(reader, value, frame)
    if not isinstance(found, list):
        raise StateFailed("States.ItemReaderFailed", "The items that ItemReader reads must be an array")
    return found


def _batched(state: State, inputs: list[Any], value: Any, frame: Frame) -> list[Any]:
    batcher = state.get("ItemBatcher")
    if not batcher:
        return inputs
    most = int(data.field(batcher, "MaxItemsPerBatch", value, frame) or 0) or len(inputs) or 1
    largest = int(data.field(batcher, "MaxInputBytesPerBatch", value, frame) or PAYLOAD_LIMIT_BYTES)
    batches: list[list[Any]] = [[]]
    size = 0
    for item in inputs:
        length = len(json.dumps(item).encode()) + 1
        if batches[-1] and (len(batches[-1]) >= most or size + length > largest):
            batches.append([])
            size = 0
        batches[-1].append(item)
        size += length
    shared = batcher.get("BatchInput")
    if shared is not None and data.is_jsonata(state, frame):
        shared = sf._apply_jsonata_template(shared, value, frame)
    elif shared is not None:
        shared = data.template(shared, value, frame)
    extra = {} if shared is None else {"BatchInput": shared}
    return [{**extra, "Items": batch} for batch in batches if batch]


def _new_map_run(run: Run, label: str, state: State, count: int) -> dict[str, Any]:
    parts = run.execution["stateMachineArn"].split(":")
    counts = dict.fromkeys(_COUNTS, 0) | {"pending": count, "total": count}
    arn = f"arn:aws:states:{parts[3]}:{parts[4]}:mapRun:{parts[6]}/{label}:{uuid.uuid4()}"
    map_run = {
        "mapRunArn": arn,
        "executionArn": run.execution["executionArn"],
        "status": "RUNNING",
        "startDate": sf.now_iso(),
        "maxConcurrency": int(state.get("MaxConcurrency") or 0),
        "toleratedFailurePercentage": float(state.get("ToleratedFailurePercentage") or 0),
        "toleratedFailureCount": int(state.get("ToleratedFailureCount") or 0),
        "itemCounts": dict(counts),
        "executionCounts": dict(counts),
        "redriveCount": 0,
        "_stateMachineArn": f"arn:aws:states:{parts[3]}:{parts[4]}:stateMachine:{parts[6]}/{label}",
    }
    sf._map_runs[arn] = map_run
    return map_run


def _child(run: Run, map_run: dict[str, Any], label: str, argument: Any) -> dict[str, Any]:
    name = str(uuid.uuid4())
    arn = map_run["_stateMachineArn"].replace(":stateMachine:", ":execution:") + f":{name}"
    child = {
        "executionArn": arn,
        "stateMachineArn": map_run["_stateMachineArn"],
        "name": name,
        "status": "RUNNING",
        "startDate": sf.now_iso(),
        "stopDate": None,
        "input": json.dumps(argument),
        "inputDetails": {"included": True},
        "output": None,
        "outputDetails": {"included": True},
        "mapRunArn": map_run["mapRunArn"],
        "events": [],
    }
    sf._executions[arn] = child
    return child


def _run_child(processor: State, child: dict[str, Any], frame: Frame, scope: Scope, map_run: dict[str, Any]) -> None:
    from localcloud.states.interpreter import branch_frame, walk

    counts = (map_run["itemCounts"], map_run["executionCounts"])
    for count in counts:
        count["pending"] -= 1
        count["running"] += 1
    run = Run(scope.run.context, child, role=scope.run.role, timeout_seconds=None)
    inner = Scope(run, scope)
    outcome = "failed"
    try:
        inside = branch_frame(frame)
        inside["Execution"] = {**frame["Execution"], "Id": child["executionArn"], "Name": child["name"]}
        output = walk(processor, json.loads(child["input"]), inside, inner)
        child.update(status="SUCCEEDED", output=json.dumps(output))
        outcome = "succeeded"
    except StateFailed as failure:
        child.update(status="FAILED", error=failure.error, cause=failure.cause)
    finally:
        child["stopDate"] = sf.now_iso()
        for count in counts:
            count["running"] -= 1
            count[outcome] += 1


def _too_many(state: State, failed: int, total: int, value: Any, frame: Frame) -> bool:
    count = data.field(state, "ToleratedFailureCount", value, frame)
    percentage = data.field(state, "ToleratedFailurePercentage", value, frame)
    over_count = count is not None and failed > count
    over_percentage = percentage is not None and failed * 100 > percentage * total
    return over_count or over_percentage if count is not None or percentage is not None else failed > 0


def _write(
    run: Run, writer: State, map_run: dict[str, Any], children: list[dict[str, Any]], value: Any, frame: Frame
) -> Any:
    if data.is_jsonata(writer, frame) and "Arguments" in writer:
        place = sf._apply_jsonata_template(writer["Arguments"], value, frame)
    else:
        place = data.template(writer.get("Parameters") or {}, value, frame)
    prefix = f"{place.get('Prefix', '').rstrip('/')}/{map_run['mapRunArn'].rpartition(':')[2]}".lstrip("/")
    files: dict[str, list[dict[str, Any]]] = {"SUCCEEDED": [], "FAILED": [], "PENDING": []}
    for status in ("SUCCEEDED", "FAILED"):
        matching = [child for child in children if child["status"] == status]
        if matching:
            body = json.dumps([_result(child) for child in matching]).encode()
            key = f"{prefix}/{status}_0.json"
            run.context.call("s3", "PutObject", {"Bucket": place["Bucket"], "Key": key, "Body": body}, role=run.role)
            files[status].append({"Key": key, "Size": len(body)})
    manifest = {"DestinationBucket": place["Bucket"], "MapRunArn": map_run["mapRunArn"], "ResultFiles": files}
    key = f"{prefix}/manifest.json"
    params = {"Bucket": place["Bucket"], "Key": key, "Body": json.dumps(manifest).encode()}
    run.context.call("s3", "PutObject", params, role=run.role)
    return {"MapRunArn": map_run["mapRunArn"], "ResultWriterDetails": {"Bucket": place["Bucket"], "Key": key}}


def _result(child: dict[str, Any]) -> dict[str, Any]:
    names = {
        "executionArn": "ExecutionArn", "name": "Name", "stateMachineArn": "StateMachineArn", "status": "Status",
        "startDate": "StartDate", "stopDate": "StopDate", "input": "Input", "output": "Output", "error": "Error",
        "cause": "Cause", "inputDetails": "InputDetails", "outputDetails": "OutputDetails",
    }  # fmt: skip
    return {target: child[name] for name, target in names.items() if child.get(name) is not None}
