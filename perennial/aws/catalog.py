"""
The catalog table: conditional writes that survive lost acknowledgements, optimistic versions, locks with fencing.

DynamoDB tells the retry of a write that was acknowledged into the void that its condition failed, although the
write itself won. Every conditional write here carries a token of its writer and reads the item back before it
believes that somebody else won.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

from perennial.keys import TableKey

__all__ = ["Catalog", "Item", "condition_failed"]

Item = dict[str, Any]

# Where a writer signs; readers never see these two.
_TOKEN = "written_by"
_VERSION = "item_version"


def condition_failed(error: ClientError) -> bool:
    """Whether a conditional write was refused."""
    return str(error.response["Error"]["Code"]) == "ConditionalCheckFailedException"


@dataclass(frozen=True)
class Catalog:
    """One DynamoDB table with keys `pk` and `sk`. Items are plain values; floats are kept to their last digit."""

    dynamodb: Any
    table: str

    def get(self, key: TableKey) -> Item | None:
        """The item as last written (a consistent read), without its keys; None where there is none."""
        answer = self.dynamodb.get_item(TableName=self.table, Key=_wire(key), ConsistentRead=True)
        return _plain(answer["Item"]) if "Item" in answer else None

    def put(self, key: TableKey, item: Mapping[str, Any]) -> None:
        """Writes an item whose content follows from its key: writing it twice writes the same."""
        self.dynamodb.put_item(TableName=self.table, Item=_wire({**item, **key}))

    def put_new(self, key: TableKey, item: Mapping[str, Any], *, token: str) -> bool:
        """
        Writes an item that must not exist yet; False where somebody else's is there.

        Parameters
        ----------
        token
            Who writes: equal for a retry or redelivery of the same work, different for anybody else.
        """
        try:
            self.dynamodb.put_item(
                TableName=self.table,
                Item=_wire({**item, **key, _TOKEN: token}),
                ConditionExpression="attribute_not_exists(pk)",
            )
        except ClientError as error:
            if not condition_failed(error):
                raise
            return self._written_by(key) == token
        return True

    def get_versioned(self, key: TableKey) -> tuple[Item, int]:
        """An item and its version, for `put_version`; ({}, 0) where there is none."""
        answer = self.dynamodb.get_item(TableName=self.table, Key=_wire(key), ConsistentRead=True)
        if "Item" not in answer:
            return {}, 0
        return _plain(answer["Item"]), int(answer["Item"].get(_VERSION, {"N": "0"})["N"])

    def put_version(self, key: TableKey, item: Mapping[str, Any], *, expected: int, token: str) -> bool:
        """
        Replaces version `expected` of an item (0: it has none yet); False where somebody was faster.

        Parameters
        ----------
        token
            As for `put_new`; must differ between two changes that a writer makes to one item.
        """
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(#v)"}
        if expected:
            condition = {
                "ConditionExpression": "#v = :expected",
                "ExpressionAttributeValues": _wire({":expected": expected}),
            }
        try:
            self.dynamodb.put_item(
                TableName=self.table,
                Item=_wire({**item, **key, _TOKEN: token, _VERSION: expected + 1}),
                ExpressionAttributeNames={"#v": _VERSION},
                **condition,
            )
        except ClientError as error:
            if not condition_failed(error):
                raise
            return self._written_by(key) == token
        return True

    def update(
        self,
        key: TableKey,
        changes: Mapping[str, Any],
        *,
        only_if: Mapping[str, Any] | None = None,
        create: bool = False,
    ) -> bool:
        """
        Sets some attributes of an item; False where it isn't as `only_if` says, or is missing and not to be made.

        Parameters
        ----------
        only_if
            Attribute values that must stand before the change; None as a value: the attribute must be absent. A
            retry that finds its own change already made is a success.
        """
        names = {f"#c{number}": name for number, name in enumerate(changes)}
        values = {f":c{number}": value for number, value in enumerate(changes.values())}
        conditions = [] if create else ["attribute_exists(pk)"]
        for number, (name, value) in enumerate((only_if or {}).items()):
            names[f"#o{number}"] = name
            if value is None:
                conditions.append(f"attribute_not_exists(#o{number})")
            else:
                values[f":o{number}"] = value
                conditions.append(f"#o{number} = :o{number}")
        try:
            self.dynamodb.update_item(
                TableName=self.table,
                Key=_wire(key),
                UpdateExpression="SET " + ", ".join(f"#c{number} = :c{number}" for number in range(len(changes))),
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=_wire(values),
                **({"ConditionExpression": " AND ".join(conditions)} if conditions else {}),
            )
        except ClientError as error:
            if not condition_failed(error):
                raise
            standing = self.get(key)
            return standing is not None and all(standing.get(name) == value for name, value in changes.items())
        return True

    def raise_to(self, key: TableKey, name: str, value: str, others: Mapping[str, Any]) -> bool:
        """
        Moves attribute `name` up to `value` (and sets `others`), never down: arrival order doesn't matter.

        Gives False where a larger or equal value stands.
        """
        names = {"#n": name} | {f"#c{number}": other for number, other in enumerate(others)}
        values = {":n": value} | {f":c{number}": other for number, other in enumerate(others.values())}
        assignments = ["#n = :n", *(f"#c{number} = :c{number}" for number in range(len(others)))]
        try:
            self.dynamodb.update_item(
                TableName=self.table,
                Key=_wire(key),
                UpdateExpression="SET " + ", ".join(assignments),
                ConditionExpression="attribute_not_exists(#n) OR #n < :n",
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=_wire(values),
            )
        except ClientError as error:
            if not condition_failed(error):
                raise
            return False
        return True

    def put_all_new(self, items: Sequence[tuple[TableKey, Mapping[str, Any]]]) -> bool:
        """
        Writes several items that must not exist yet, all or none; False where one of them is there.

        It doesn't tell a lost acknowledgement: whoever calls looks at what stands.
        """
        puts = [
            {
                "Put": {
                    "TableName": self.table,
                    "Item": _wire({**item, **key}),
                    "ConditionExpression": "attribute_not_exists(pk)",
                }
            }
            for key, item in items
        ]
        try:
            self.dynamodb.transact_write_items(TransactItems=puts)
        except ClientError as error:
            if error.response["Error"]["Code"] != "TransactionCanceledException":
                raise
            return False
        return True

    def query(
        self,
        partition: str,
        *,
        first: str | None = None,
        last: str | None = None,
        newest_first: bool = False,
        limit: int | None = None,
    ) -> Iterator[tuple[str, Item]]:
        """
        (sort key, item) pairs of a partition in the order of their sort keys, page by page.

        Parameters
        ----------
        first, last
            Bounds of the sort key, both included.
        limit
            At most so many items.
        """
        condition, values = "pk = :pk", {":pk": partition}
        if first is not None and last is not None:
            condition, values = (
                condition + " AND sk BETWEEN :first AND :last",
                values | {":first": first, ":last": last},
            )
        elif first is not None:
            condition, values = condition + " AND sk >= :first", values | {":first": first}
        elif last is not None:
            condition, values = condition + " AND sk <= :last", values | {":last": last}
        left = limit
        pages = self.dynamodb.get_paginator("query").paginate(
            TableName=self.table,
            KeyConditionExpression=condition,
            ExpressionAttributeValues=_wire(values),
            ScanIndexForward=not newest_first,
            ConsistentRead=True,
            PaginationConfig={"PageSize": min(limit or 200, 200)},
        )
        for page in pages:
            for item in page["Items"]:
                if left is not None:
                    if left == 0:
                        return
                    left -= 1
                yield item["sk"]["S"], _plain(item)

    def _written_by(self, key: TableKey) -> str | None:
        answer = self.dynamodb.get_item(TableName=self.table, Key=_wire(key), ConsistentRead=True)
        token = answer.get("Item", {}).get(_TOKEN, {}).get("S")
        return None if token is None else str(token)


def _wire(item: Mapping[str, Any]) -> dict[str, Any]:
    serializer = TypeSerializer()
    return {name: serializer.serialize(_exact(value)) for name, value in item.items()}


def _exact(value: Any) -> Any:
    """Floats as decimals of their shortest text; tuples as lists; what DynamoDB has no type for is refused there."""
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, Mapping):
        return {str(name): _exact(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_exact(inner) for inner in value]
    return value


def _plain(item: Mapping[str, Any]) -> Item:
    deserializer = TypeDeserializer()
    hidden = ("pk", "sk", _TOKEN, _VERSION)
    return {name: _number(deserializer.deserialize(value)) for name, value in item.items() if name not in hidden}


def _number(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() and "." not in str(value) else float(value)
    if isinstance(value, dict):
        return {name: _number(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_number(inner) for inner in value]
    return value
