"""
Condition keys of requests that ministack 1.5.33 doesn't know of: whose partition, which kind of event.

Sources: developer guide of DynamoDB, "Using IAM policy conditions for fine-grained access control"
(dynamodb:LeadingKeys holds the partition keys that a request names; Scan names none) and "IAM with DynamoDB
transactions" (each item is allowed or denied as its own operation is); user guide of EventBridge, "Using IAM policy
conditions" (events:source and events:detail-type of PutEvents). Read 2026-12-01.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from localcloud.extension import replace, require

__all__ = ["install", "of_events", "of_items"]

# What a request's parts are known by between ministack's two steps: gathering condition keys, and asking for each.
_PARTS = "localcloud:parts"
_EQUALS = re.compile(r"([#\w.-]+)\s*=\s*(:\w+)")

Parts = list[tuple[str, dict[str, Any]]]
"""An action and its condition keys, for each part of a request that AWS allows or denies on its own."""


def install() -> None:
    """Gather the keys where ministack gathers its own, and ask for each part where it asks once."""
    from ministack.core import iam_actions, iam_evaluator
    from ministack.services import dynamodb

    require(dynamodb, "_tables")
    tags = replace(
        iam_actions,
        "request_tag_context",
        lambda service, action, body, params: {
            **tags(service, action, body, params),
            **({_PARTS: of_events(_json(body))} if action == "events:PutEvents" else {}),
        },
    )
    items = replace(
        iam_actions,
        "dynamodb_service_context",
        lambda body: {**items(body), _PARTS: of_items(_json(body), dynamodb._tables)},
    )
    enforce = replace(
        iam_evaluator,
        "enforce",
        lambda access_key, action, *more, **named: _each(enforce, access_key, action, more, named),
    )


def of_events(request: Mapping[str, Any]) -> Parts:
    """
    One part for each entry of PutEvents.

    >>> of_events({"Entries": [{"Source": "shop", "DetailType": "Sold"}]})
    [('events:PutEvents', {'events:source': 'shop', 'events:detail-type': 'Sold'})]
    """
    return [
        (
            "events:PutEvents",
            {key: entry[name] for key, name in _EVENT_KEYS.items() if isinstance(entry.get(name), str)},
        )
        for entry in request.get("Entries") or ()
    ]


_EVENT_KEYS = {"events:source": "Source", "events:detail-type": "DetailType"}


def of_items(request: Mapping[str, Any], tables: Mapping[str, Any]) -> Parts:
    """
    One part for each item of a transaction, one for a request about partitions, none for one that names none.

    >>> tables = {"t": {"pk_name": "pk"}}
    >>> of_items({"TableName": "t", "Key": {"pk": {"S": "a"}}}, tables)
    [('', {'dynamodb:LeadingKeys': ['a']})]
    >>> of_items({"TableName": "t"}, tables)
    []
    """
    transaction = [
        (f"dynamodb:{_ACTIONS[kind]}", {"dynamodb:LeadingKeys": list(_partitions(part, tables))})
        for item in request.get("TransactItems") or ()
        for kind, part in item.items()
        if kind in _ACTIONS
    ]
    batch = [
        value
        for table, asked in (request.get("RequestItems") or {}).items()
        for part in _batched(asked)
        for value in _partitions({"TableName": table, **part}, tables)
    ]
    named = batch or list(_partitions(request, tables))
    return transaction or ([("", {"dynamodb:LeadingKeys": named})] if named else [])


_ACTIONS = {
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "Get": "GetItem",
    "ConditionCheck": "ConditionCheckItem",
}


def _batched(asked: Any) -> Iterator[Mapping[str, Any]]:
    """The requests of one table in BatchGetItem or BatchWriteItem."""
    if isinstance(asked, Mapping):
        yield from ({"Key": key} for key in asked.get("Keys") or ())
    else:
        yield from (part for request in asked for part in request.values())


def _partitions(request: Mapping[str, Any], tables: Mapping[str, Any]) -> Iterator[str]:
    """Values of the partition key that a request is about."""
    table = tables.get(str(request.get("TableName", "")).rpartition("/")[2]) or {}
    name = _hash_key(table, request.get("IndexName"))
    for given in (request.get("Key"), request.get("Item")):
        if given and name in given:
            yield _text(given[name])
    aliases, values = request.get("ExpressionAttributeNames") or {}, request.get("ExpressionAttributeValues") or {}
    for alias, value in _EQUALS.findall(str(request.get("KeyConditionExpression") or "")):
        if aliases.get(alias, alias) == name and value in values:
            yield _text(values[value])


def _hash_key(table: Mapping[str, Any], index: str | None) -> str:
    """The partition key's name, of the table or of one of its indexes."""
    for described in table.get("GlobalSecondaryIndexes") or ():
        if described["IndexName"] == index:
            return next(str(key["AttributeName"]) for key in described["KeySchema"] if key["KeyType"] == "HASH")
    return str(table.get("pk_name"))


def _text(value: Mapping[str, Any]) -> str:
    """`a` of {"S": "a"}."""
    return str(next(iter(value.values())))


def _json(body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body or b"{}")
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _each(enforce: Any, access_key: str, action: str, more: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """The first refusal of any part that is about this action; a request without parts is asked for as it is."""
    context = dict(named.pop("service_context", None) or {})
    parts = [keys for about, keys in context.pop(_PARTS, ()) if about in ("", action)]
    for keys in parts or [{}]:
        if denied := enforce(access_key, action, *more, **named, service_context={**context, **keys}):
            return denied
    return None
