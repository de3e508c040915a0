"""
What the snapshots hold: every service of ministack and every plug-in, in the files that both are loaded from.

Objects of S3 are not among them: ministack writes each to disk before it answers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial

from ministack import app
from ministack.core import persistence
from ministack.services import lambda_svc

from localcloud.context import Context
from localcloud.extension import replace, require
from localcloud.snapshots import Snapshots

_LOOK_SECONDS = 0.25


def install(context: Context, *, seconds: float | None) -> Snapshots:
    """Keep everything by snapshots; also at the end, when ministack would write its files one by one."""
    require(app, "_build_persistence_save_dict")
    require(persistence, "_state_format_version", "_json_default")
    require(lambda_svc, "_functions")
    blobs = _CodeBlobs()
    snapshots = Snapshots(
        context.state_dir,
        lambda: {**_ministacks(), **context.kept()},
        seconds=seconds,
        log=context.log.getChild("snapshots"),
        prepare=blobs.write,
        clock=context.pace.now,
    )

    def save_all(services: object) -> None:
        snapshots.save()
        blobs.prune()

    replace(app, "save_all", save_all)
    context.changed = snapshots.changed
    context.every(_LOOK_SECONDS, snapshots.look, name="snapshots")
    return snapshots


def _ministacks() -> Mapping[str, Callable[[], bytes | None]]:
    return {f"ministack/{name}.json": partial(_content, name, give) for name, give in _services().items()}


def _services() -> dict[str, Callable[[], object]]:
    services: dict[str, Callable[[], object]] = app._build_persistence_save_dict()
    return services


def _content(name: str, give: Callable[[], object]) -> bytes | None:
    state = give()
    if state is None:
        return None
    wrapped = {"__ministack_format__": persistence._state_format_version(name), "payload": state}
    return json.dumps(wrapped, default=persistence._json_default).encode()


class _CodeBlobs:
    """
    Functions' code, written to disk once: it is large, and hashed anew for every snapshot it would cost seconds.

    A blob that nothing refers to any more stays until an orderly stop: the kept snapshot may be older than the change.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[bytes, str]] = {}
        self._write = replace(lambda_svc, "_write_code_blob", self.remember)
        self._prune = replace(lambda_svc, "_prune_orphan_code_blobs", lambda referenced: None)

    def remember(self, code: bytes) -> str:
        """The digest of `code`, which is on disk afterwards; by identity, as bytes don't change."""
        known = self._known.get(id(code))
        if known is None or known[0] is not code:
            known = self._known[id(code)] = (code, str(self._write(code)))
        return known[1]

    def write(self) -> None:
        """Write what is new, and forget what no function has any more."""
        functions = list(lambda_svc._functions._data.values())
        codes = [one.get("code_zip") for function in functions for one in (function, *_versions(function))]
        alive = {id(code): code for code in codes if isinstance(code, bytes) and code}
        for code in alive.values():
            self.remember(code)
        self._known = {key: known for key, known in self._known.items() if key in alive}

    def prune(self) -> None:
        """Remove the blobs that no function has."""
        self.write()
        self._prune({digest for _, digest in self._known.values()})


def _versions(function: Mapping[str, object]) -> list[dict[str, object]]:
    versions = function.get("versions")
    return list(versions.values()) if isinstance(versions, dict) else []
