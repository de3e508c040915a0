"""Mounts a plug-in's service behind ministack's router, and its resource types behind CloudFormation."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Sequence
from typing import Any

from localcloud.context import Authorize, Context, Handler, Request, ResourceType, Response
from localcloud.extension import replace, require

Served = tuple[int, dict[str, str], bytes]

_authorizers: dict[str, Authorize] = {}
_threaded_types: set[str] = set()


def install(context: Context) -> None:
    """Let registered services say which permission a request needs."""
    from ministack.core import iam_actions

    action_of = replace(iam_actions, "extract_iam_action", _extract_iam_action)
    resource_of = replace(iam_actions, "extract_resource_arn", _extract_resource_arn)
    _fallback.update(action=action_of, resource=resource_of)
    context.log.getChild("services").debug("permissions of registered services are checked")


_fallback: dict[str, Callable[..., Any]] = {}


def register(
    context: Context,
    name: str,
    handler: Handler,
    *,
    target_prefixes: Sequence[str],
    credential_scope: str | None,
    iam_namespace: str | None,
    paths: Sequence[str],
    authorize: Authorize | None,
) -> None:
    """Serve `name`; see `Context.register_service`."""
    from ministack import app
    from ministack.core import iam_actions, router

    require(app, "SERVICE_HANDLERS")
    require(router, "SERVICE_PATTERNS", "detect_service")
    require(iam_actions, "SERVICE_TO_IAM_NAMESPACE")
    app.SERVICE_HANDLERS[name] = _serving(context, name, handler, iam_namespace)
    patterns: dict[str, Any] = {"target_prefixes": list(target_prefixes), "path_patterns": list(paths)}
    if credential_scope:
        patterns["credential_scope"] = credential_scope
    # A path that S3 would take for a bucket is decided by the first service whose pattern fits.
    others = {key: value for key, value in router.SERVICE_PATTERNS.items() if key != name}
    router.SERVICE_PATTERNS.clear()
    router.SERVICE_PATTERNS.update({name: patterns, **others})
    if iam_namespace:
        iam_actions.SERVICE_TO_IAM_NAMESPACE[name] = iam_namespace
    if authorize:
        _authorizers[name] = authorize


def authorize(name: str, needed: Authorize) -> None:
    """
    Let `needed` say which permission a request to `name`, one of ministack's own services, takes.

    What it raises KeyError for is left to ministack.
    """
    _authorizers[name] = needed


def register_resource(context: Context, type_name: str, resource: ResourceType) -> None:
    """Let CloudFormation make `type_name`; see `Context.register_resource`."""
    from ministack.services.cloudformation import provisioners

    require(provisioners, "_RESOURCE_HANDLERS")
    run_in_threads(type_name)
    handlers: dict[str, Any] = {"create": resource.create, "delete": resource.delete}
    if resource.update:
        handlers["update"] = resource.update
    else:
        handlers["update"] = _replacing(type_name, resource)
        handlers["update_with_logical_id"] = True
    provisioners._RESOURCE_HANDLERS[type_name] = handlers


def run_in_threads(type_name: str) -> None:
    """Let the type's handlers call services, which is not possible on the event loop."""
    from ministack.services.cloudformation import stacks

    if not _threaded_types:
        blocking = replace(stacks, "_runs_on_worker_thread", lambda kind: kind in _threaded_types or blocking(kind))
    _threaded_types.add(type_name)


def _replacing(type_name: str, resource: ResourceType) -> Callable[..., tuple[str, dict[str, Any]]]:
    from ministack.services.cloudformation import provisioners

    require(provisioners, "_seeded_create", "_delete_predecessor")

    def update(physical_id: str, old: dict[str, Any], new: dict[str, Any], stack: str, logical_id: str | None) -> Any:
        created = provisioners._seeded_create(resource.create, logical_id or physical_id, new, stack)
        if created[0] != physical_id:
            provisioners._delete_predecessor(resource.delete, physical_id, old)
        return created

    return update


def _serving(context: Context, name: str, handler: Handler, iam_namespace: str | None) -> Callable[..., Any]:
    from ministack.core import concurrency, iam_evaluator, responses

    require(concurrency, "run_reentrant")
    require(iam_evaluator, "caller_arn")

    def respond(request: Request) -> Served:
        try:
            response = handler(request)
        except Exception:
            context.log.exception("%s %s failed", name, request.action or request.path)
            response = Response.of_error("InternalFailure", "The local cloud failed; see localcloud.log", status=500)
        return response.status, dict(response.headers), response.body

    async def serve(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]]
    ) -> Served:
        request = Request(
            method, path, headers, body if isinstance(body, bytes) else str(body).encode(), query,
            account=responses.get_account_id(), region=responses.get_region(), caller_arn=iam_evaluator.caller_arn(),
        )  # fmt: skip
        if iam_namespace and (refused := _refused_role(request, iam_namespace)):
            return refused.status, dict(refused.headers), refused.body
        served: Served = await concurrency.run_reentrant(respond, request, thread_name=f"localcloud-{name}")
        return served

    if inspect.iscoroutinefunction(handler):
        raise TypeError(f"the handler of {name} must be an ordinary function. Got a coroutine function instead")
    return serve


def _refused_role(request: Request, iam_namespace: str) -> Response | None:
    """AccessDenied when the caller hands the service a role that it may not pass."""
    from ministack.core import iam_evaluator, router

    if not request.action.startswith(("Create", "Update", "Start")):
        return None
    try:
        roles = [request.json().get(name) for name in ("RoleArn", "ExecutionRoleArn")]
    except ValueError:
        return None
    access_key = router.extract_access_key_id(dict(request.headers), dict(request.query))
    passed_to = {"iam:passedtoservice": f"{iam_namespace}.amazonaws.com"}
    for role in filter(None, roles):
        denied = iam_evaluator.enforce(
            access_key, "iam:PassRole", "iam", request.region, resource_arn=role, service_context=passed_to
        )
        if denied:
            message = (
                f"User: {request.caller_arn} is not authorized to perform: iam:PassRole on resource: {role} "
                "because no identity-based policy allows the iam:PassRole action"
            )
            return Response.of_error("AccessDeniedException", message)
    return None


def _extract_iam_action(
    service: str, method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
) -> Any:
    needed = _needed(service, method, path, headers, body, query)
    if needed is _UNKNOWN:
        return _fallback["action"](service, method, path, headers, body, query)
    return needed[0] if needed else None


def _extract_resource_arn(
    service: str, method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any], *rest: Any
) -> Any:
    needed = _needed(service, method, path, headers, body, query)
    if needed is _UNKNOWN or not needed:
        return _fallback["resource"](service, method, path, headers, body, query, *rest)
    return needed[1]


_UNKNOWN: Any = object()


def _needed(service: str, method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Any:
    authorize = _authorizers.get(service)
    if authorize is None:
        return _UNKNOWN
    try:
        return authorize(Request(method, path, headers, body or b"", query))
    except (json.JSONDecodeError, KeyError, TypeError):
        return _UNKNOWN
