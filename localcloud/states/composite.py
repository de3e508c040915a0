"""Parallel and Map: branches that run at the same time, and end together when one fails."""

from __future__ import annotations

import contextvars
import copy
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ministack.services import stepfunctions as sf

from localcloud.states import data, distributed
from localcloud.states.data import Frame, State
from localcloud.states.errors import Interrupted, StateFailed
from localcloud.states.run import Scope

# AWS runs at most about 40 iterations of an inline Map at once.
_INLINE_AT_ONCE = 40


def parallel(state: State, value: Any, frame: Frame, scope: Scope) -> list[Any]:
    """The outputs of every branch, in order."""
    from localcloud.states.interpreter import branch_frame, walk

    branches = state["Branches"]
    argument = data.arguments(state, value, frame)
    scope.run.record("ParallelStateStarted")
    results = together(
        [
            lambda inner, branch=branch: walk(branch, copy.deepcopy(argument), branch_frame(frame), inner)  # type: ignore[misc]
            for branch in branches
        ],
        scope,
        at_once=len(branches),
        on_failure=lambda: scope.run.record("ParallelStateFailed", {}),
    )
    scope.run.record("ParallelStateSucceeded")
    return results


def map_items(state: State, value: Any, frame: Frame, scope: Scope) -> Any:
    """The outputs of every iteration, in order; of a distributed Map's child executions."""
    from localcloud.states.interpreter import branch_frame, walk

    processor = state.get("ItemProcessor") or state["Iterator"]
    if (processor.get("ProcessorConfig") or {}).get("Mode") == "DISTRIBUTED":
        return distributed.run(state, processor, value, frame, scope)
    name = frame["State"]["Name"]
    items = items_of(state, value, frame)
    scope.run.record("MapStateStarted", {"length": len(items)})

    def iterate(inner: Scope, index: int, item: Any) -> Any:
        inside = branch_frame(frame)
        argument = selected(state, value, inside, index, item)
        scope.run.record("MapIterationStarted", {"name": name, "index": index})
        try:
            result = walk(processor, argument, inside, inner)
        except StateFailed:
            scope.run.record("MapIterationFailed", {"name": name, "index": index})
            raise
        scope.run.record("MapIterationSucceeded", {"name": name, "index": index})
        return result

    at_once = int(data.field(state, "MaxConcurrency", value, frame) or 0) or _INLINE_AT_ONCE
    results = together(
        [
            lambda inner, index=index, item=item: iterate(inner, index, item)  # type: ignore[misc]
            for index, item in enumerate(items)
        ],
        scope,
        at_once=min(at_once, _INLINE_AT_ONCE),
        on_failure=lambda: scope.run.record("MapStateFailed"),
    )
    scope.run.record("MapStateSucceeded")
    return results


def items_of(state: State, value: Any, frame: Frame) -> list[Any]:
    """The items that a Map goes over."""
    with data.bound(frame):
        if data.is_jsonata(state, frame):
            found = data.field(state, "Items", value, frame, kind="array") if "Items" in state else value
        else:
            effective = sf._apply_input_path(state, value, frame)
            found = sf._resolve_path_or_ctx(state.get("ItemsPath", "$"), effective, frame)
    if not isinstance(found, list):
        raise StateFailed("States.Runtime", f"A Map's items must be an array. Got {type(found).__name__} instead")
    return found


def selected(state: State, value: Any, frame: Frame, index: int, item: Any) -> Any:
    """The input of one iteration: the item, or what ItemSelector makes of it."""
    frame["Map"] = {"Item": {"Index": index, "Value": item}}
    selector = state.get("ItemSelector") or state.get("Parameters")
    if selector is None:
        return item
    with data.bound(frame):
        if data.is_jsonata(state, frame):
            return sf._apply_jsonata_template(selector, value, frame)
        return data.template(selector, sf._apply_input_path(state, value, frame), frame)


def together(
    works: list[Callable[[Scope], Any]], scope: Scope, *, at_once: int, on_failure: Callable[[], Any]
) -> list[Any]:
    """
    What each of `works` gives; when one fails the others are given up, and its failure is raised.

    They run in threads of their own, each in a scope within `scope`.
    """
    if not works:
        return []
    inner = Scope(scope.run, scope)
    first_failure: list[BaseException] = []
    lock = threading.Lock()

    def run(work: Callable[[Scope], Any]) -> Any:
        try:
            with scope.run.context.scope():
                inner.check()
                return work(inner)
        except Interrupted:
            raise
        except BaseException as error:
            with lock:
                first_failure.append(error)
            inner.give_up()
            raise

    with ThreadPoolExecutor(min(at_once, len(works)), thread_name_prefix="localcloud-branch") as pool:
        futures = [pool.submit(contextvars.copy_context().run, run, work) for work in works]
    if first_failure:
        on_failure()
        raise first_failure[0]
    scope.check()
    return [future.result() for future in futures]
