"""Permissions on a part of the catalog and on some kinds of event, as statements for whoever is given them."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import aws_iam as iam

from infra.foundation import Foundation
from perennial import keys
from perennial.events import SOURCE, Event
from perennial.keys import Partition

__all__ = ["CATALOG_KEY_ACTIONS", "ITEM_ACTIONS", "announcing_statement", "catalog_statement"]

# DynamoDB uses the table's key in the caller's name.
CATALOG_KEY_ACTIONS = ("kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey")
# What names the partition that it is about. A condition with ForAllValues is met by a request that names none, so
# whatever reads or writes without (Scan, PartiQL, exports) must never stand in such a statement.
ITEM_ACTIONS = ("GetItem", "Query", "PutItem", "UpdateItem", "DeleteItem")


def catalog_statement(
    foundation: Foundation, partitions: Sequence[Partition], operations: Sequence[str]
) -> iam.PolicyStatement:
    """
    Allow `operations` on items of these partitions.

    An item of a transaction is allowed or denied as a single one is: developer guide of DynamoDB, "Using IAM policy
    conditions for fine-grained access control" and "IAM with DynamoDB transactions" (read 2026-11).

    Raises
    ------
    ValueError
        An operation that doesn't say which partition it is about.
    """
    unknown = sorted(set(operations) - set(ITEM_ACTIONS))
    if unknown:
        raise ValueError(f"an operation must be one of {', '.join(ITEM_ACTIONS)}. Got {', '.join(unknown)} instead.")
    names = sorted(keys.partition_name(foundation.loop.name, partition) for partition in partitions)
    return iam.PolicyStatement(
        actions=[f"dynamodb:{operation}" for operation in operations],
        resources=[foundation.catalog.table_arn],
        conditions={"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": names}},
    )


def announcing_statement(foundation: Foundation, kinds: Sequence[type[Event]]) -> iam.PolicyStatement:
    """
    Allow putting our own events of these kinds on the loop's bus, one in each request.

    Source: "Using IAM policy conditions in Amazon EventBridge" (read 2026-12): events:source and events:detail-type
    filter access by what stands in the event. The service authorization reference calls both arrays of strings, and
    IAM compares an array by a set operator only; ForAllValues is met by a request that has neither, hence Null.
    """
    said = {"events:source": SOURCE, "events:detail-type": sorted(kind.detail_type for kind in kinds)}
    return iam.PolicyStatement(
        actions=["events:PutEvents"],
        resources=[foundation.bus.event_bus_arn],
        conditions={"ForAllValues:StringEquals": said, "Null": dict.fromkeys(said, "false")},
    )
