"""InvokeEndpoint: one request to one variant, measured, counted and captured."""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import BoundedSemaphore
from typing import Any
from urllib.parse import unquote

from localcloud.context import Context, Request, Response
from localcloud.sagemaker.capture import Capture, Exchange
from localcloud.sagemaker.endpoints import Endpoints, Live
from localcloud.sagemaker.faults import Faults
from localcloud.sagemaker.variant import Answer, Unreachable, Variant

PATH = re.compile(r"/endpoints/([^/]+)/invocations")
MAX_BODY_BYTES = 25 << 20
MAX_INFERENCE_ID = 64
READY_SECONDS = 30.0
_MAX_SHADOWS = 100
_HEADER = "x-amzn-sagemaker-"


class Runtime:
    """The data plane."""

    def __init__(self, context: Context, endpoints: Endpoints, capture: Capture, faults: Faults) -> None:
        self._context = context
        self._endpoints = endpoints
        self._capture = capture
        self._faults = faults
        self._shadows = ThreadPoolExecutor(4, thread_name_prefix="localcloud-shadow")
        self._shadow_room = BoundedSemaphore(_MAX_SHADOWS)

    def invoke(self, request: Request) -> Response:
        """Answer one InvokeEndpoint."""
        began = time.perf_counter()
        match = PATH.fullmatch(request.path)
        name = unquote(match[1]) if match else ""
        live = self._endpoints.live(name) or self._endpoints.await_live(name, READY_SECONDS)
        if live is None:
            return self._no_endpoint(name)
        inference_id = request.headers.get(f"{_HEADER}inference-id")
        if refusal := _refusal(request, inference_id):
            return refusal
        target = request.headers.get(f"{_HEADER}target-variant")
        if target and target not in live.variants:
            return _error(400, "ValidationError", f"Variant {target} not found for Endpoint {name} of account "
                          f"{self._context.account}.")  # fmt: skip
        variant = live.variants[target or choose(live.weights)]
        self._shadow(live, request, inference_id)
        return self._serve(live, variant, request, inference_id, began)

    def _serve(
        self, live: Live, variant: Variant, request: Request, inference_id: str | None, began: float
    ) -> Response:
        sent = time.perf_counter()
        answer = self._fault(variant) or _ask(variant, request)
        model_seconds = time.perf_counter() - sent
        status = answer.status if answer else 503
        count = live.counts.get(variant.name, 1)
        self._measure(live.name, variant.name, status, model_seconds, sent - began, count)
        if answer is None:
            return _error(503, "ServiceUnavailable", "The service is unavailable. Try your call again.")
        if not 200 <= status < 300:
            return self._model_error(live.name, variant.name, answer)
        self._note(live, variant.name, request, answer, inference_id)
        headers = {
            # In lower case: ministack would replace a Content-Type of JSON by that of the control plane.
            "content-type": answer.content_type or "application/octet-stream",
            "x-Amzn-Invoked-Production-Variant": variant.name,
        }
        return Response(200, answer.body, headers)

    def _fault(self, variant: Variant) -> Answer | None:
        fault = self._faults.answer(variant.name)
        return Answer(fault[0], fault[1].encode(), "text/plain") if fault else None

    def _shadow(self, live: Live, request: Request, inference_id: str | None) -> None:
        """Send a copy to the shadow variant, after the caller's own request; too many at once are dropped."""
        shadow = live.shadow
        if shadow is None or random.random() >= live.shadow_share or not self._shadow_room.acquire(blocking=False):
            return

        def copy() -> None:
            try:
                sent = time.perf_counter()
                answer = _ask(shadow, request)
                seconds = time.perf_counter() - sent
                self._measure(live.name, shadow.name, answer.status if answer else 503, seconds, 0.0, 1)
                if answer and 200 <= answer.status < 300:
                    self._note(live, shadow.name, request, answer, inference_id)
            finally:
                self._shadow_room.release()

        self._shadows.submit(copy)

    def _measure(
        self, endpoint: str, variant: str, status: int, model_seconds: float, overhead_seconds: float, count: int
    ) -> None:
        dimensions = {"EndpointName": endpoint, "VariantName": variant}
        at = self._context.clock()
        for name, value, unit in (
            ("Invocations", 1.0, "None"),
            ("InvocationsPerInstance", 1.0 / max(1, count), "None"),
            ("ModelLatency", round(model_seconds * 1e6), "Microseconds"),
            ("OverheadLatency", round(overhead_seconds * 1e6), "Microseconds"),
            ("Invocation4XXErrors", float(400 <= status < 500), "None"),
            ("Invocation5XXErrors", float(status >= 500), "None"),
            ("InvocationModelErrors", float(not 200 <= status < 300), "None"),
        ):
            self._context.put_metric("AWS/SageMaker", name, value, unit, dimensions, at)

    def _note(self, live: Live, variant: str, request: Request, answer: Answer, inference_id: str | None) -> None:
        if not live.capture:
            return
        exchange = Exchange(
            endpoint=live.name,
            variant=variant,
            request=request.body,
            request_type=request.headers.get("content-type", "application/octet-stream"),
            response=answer.body,
            response_type=answer.content_type,
            inference_id=inference_id,
            custom_attributes=request.headers.get(f"{_HEADER}custom-attributes"),
            at=self._context.clock(),
        )
        self._capture.note(exchange, live.capture, live.role)

    def _no_endpoint(self, name: str) -> Response:
        if self._endpoints.knows(name):
            return _error(400, "ValidationError", f"Endpoint {name} is not in service.")
        return _error(400, "ValidationError", f"Endpoint {name} of account {self._context.account} not found.")

    def _model_error(self, endpoint: str, variant: str, answer: Answer) -> Response:
        side = "client" if answer.status < 500 else "server"
        region, text = self._context.region, answer.body.decode(errors="replace")
        group = f"/aws/sagemaker/Endpoints/{endpoint}"
        message = (
            f'Received {side} error ({answer.status}) from {variant} with message "{text[:1000]}". See '
            f"https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}#logEventViewer:group={group} "
            f"in account {self._context.account} for more information."
        )
        stream = f"arn:aws:logs:{region}:{self._context.account}:log-group:{group}"
        details = {"OriginalStatusCode": answer.status, "OriginalMessage": text[:4096], "LogStreamArn": stream}
        return _error(424, "ModelError", message, **details)


def choose(weights: Mapping[str, float], *, draw: float | None = None) -> str:
    """
    A variant's name, with a share of weight / sum of weights; a weight of 0 is never chosen.

    >>> [choose({"blue": 3.0, "green": 1.0, "grey": 0.0}, draw=at) for at in (0.0, 0.74, 0.76, 0.999)]
    ['blue', 'blue', 'green', 'green']
    """
    left = (random.random() if draw is None else draw) * sum(weights.values())
    chosen = ""
    for name, weight in weights.items():
        if weight <= 0:
            continue
        chosen, left = name, left - weight
        if left < 0:
            break
    return chosen


def _ask(variant: Variant, request: Request) -> Answer | None:
    """The container's answer; None when it gives none."""
    headers = {"Content-Type": request.headers.get("content-type", "application/octet-stream")}
    for ours, theirs in (("accept", "Accept"), (f"{_HEADER}custom-attributes", "X-Amzn-SageMaker-Custom-Attributes")):
        if value := request.headers.get(ours):
            headers[theirs] = value
    try:
        return variant.invoke(request.body, headers)
    except Unreachable:
        return None


def _refusal(request: Request, inference_id: str | None) -> Response | None:
    if len(request.body) > MAX_BODY_BYTES:
        return _error(400, "ValidationError", f"a request has at most {MAX_BODY_BYTES} bytes. Got {len(request.body)}")
    if inference_id is not None and not 1 <= len(inference_id) <= MAX_INFERENCE_ID:
        return _error(
            400,
            "ValidationError",
            "1 validation error detected: Value at 'inferenceId' failed to satisfy constraint: Member must have "
            f"length between 1 and {MAX_INFERENCE_ID}",
        )
    return None


def _error(status: int, code: str, message: str, **details: Any) -> Response:
    body = json.dumps({"Message": message, "message": message, **details}).encode()
    return Response(status, body, {"content-type": "application/json", "x-amzn-errortype": code})
