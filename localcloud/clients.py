"""Calls services as an SDK does, over the loopback address, as root or as a role."""

from __future__ import annotations

import hashlib
import threading
from typing import Any

import botocore.session
from botocore.config import Config

from localcloud.context import Context, Credentials
from localcloud.extension import require

_clients: dict[tuple[str, str | None], Any] = {}
_lock = threading.Lock()
_CONFIG = Config(
    connect_timeout=5,
    read_timeout=900,
    retries={"total_max_attempts": 1, "mode": "standard"},
    max_pool_connections=64,
    s3={"addressing_style": "path"},
    inject_host_prefix=False,
)


def call(context: Context, service: str, action: str, params: dict[str, Any], role: str | None) -> dict[str, Any]:
    """What the operation answers; see `Context.call`."""
    _refuse_on_the_event_loop(service, action)
    answer: dict[str, Any] = client(context, service, role)._make_api_call(action, params)
    answer.pop("ResponseMetadata", None)
    return answer


def client(context: Context, service: str, role: str | None = None) -> Any:
    """A botocore client for `service`, kept: making one costs tens of milliseconds, and clients are thread safe."""
    found = _clients.get((service, role))
    if found is None:
        with _lock:
            found = _clients.get((service, role))
            if found is None:
                found = _clients[service, role] = _new_client(context, service, role)
    return found


def credentials(context: Context, role_arn: str | None) -> Credentials:
    """Keys of a role's session, derived from its name so that they are the same after a restart."""
    if role_arn is None:
        return root(context)
    from ministack.services import sts

    require(sts, "_sessions", "register_session")
    digest = hashlib.sha256(f"{context.account}:{role_arn}".encode()).hexdigest()
    keys = Credentials(
        access_key=f"ASIA{digest[:16].upper()}",
        secret_key=hashlib.sha256(f"secret:{digest}".encode()).hexdigest(),
        token=hashlib.sha256(f"token:{digest}".encode()).hexdigest(),
    )
    if keys.access_key not in sts._sessions:
        role_name = role_arn.rpartition("/")[2]
        account = role_arn.split(":")[4] if role_arn.count(":") >= 5 else context.account
        sts.register_session(
            keys.access_key,
            {
                "Arn": f"arn:aws:sts::{account}:assumed-role/{role_name}/localcloud",
                "UserId": f"AROA{digest[16:32].upper()}:localcloud",
                "SecretAccessKey": keys.secret_key,
                "SessionToken": keys.token,
            },
        )
    return keys


def root(context: Context) -> Credentials:
    """The pair that may do everything."""
    from localcloud.identity import ROOT

    return ROOT


def _new_client(context: Context, service: str, role: str | None) -> Any:
    keys = credentials(context, role)
    return botocore.session.Session().create_client(
        service,
        region_name=context.region,
        endpoint_url=context.endpoint_url,
        aws_access_key_id=keys.access_key,
        aws_secret_access_key=keys.secret_key,
        aws_session_token=keys.token or None,
        config=_CONFIG,
    )


def _refuse_on_the_event_loop(service: str, action: str) -> None:
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError(f"{service} {action} must be called from a thread: the server would wait for itself")
