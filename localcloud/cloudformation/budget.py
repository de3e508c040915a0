"""AWS::Budgets::Budget."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from localcloud.cloudformation.naming import physical_name
from localcloud.context import Context, ResourceType


def resource(context: Context) -> ResourceType:
    """A budget: Ref gives its name. Locally nothing costs anything, so it never alerts."""

    def create(logical_id: str, properties: dict[str, Any], stack: str) -> tuple[str, dict[str, Any]]:
        name = properties["Budget"].get("BudgetName") or physical_name(stack, logical_id, longest=100)
        notifications = [
            {"Notification": _typed(part["Notification"]), "Subscribers": part.get("Subscribers", [])}
            for part in properties.get("NotificationsWithSubscribers", [])
        ]
        context.call(
            "budgets",
            "CreateBudget",
            {
                "AccountId": context.account,
                "Budget": _budget(properties, name),
                "NotificationsWithSubscribers": notifications,
            },
        )
        return name, {}

    def update(name: str, old: dict[str, Any], new: dict[str, Any], stack: str) -> tuple[str, dict[str, Any]]:
        context.call("budgets", "UpdateBudget", {"AccountId": context.account, "NewBudget": _budget(new, name)})
        return name, {}

    def delete(name: str, properties: dict[str, Any]) -> None:
        try:
            context.call("budgets", "DeleteBudget", {"AccountId": context.account, "BudgetName": name})
        except ClientError as error:
            if error.response["Error"]["Code"] != "NotFoundException":
                raise

    return ResourceType(create=create, update=update, delete=delete)


def _budget(properties: dict[str, Any], name: str) -> dict[str, Any]:
    given = properties["Budget"]
    kept = {key: given[key] for key in ("BudgetType", "TimeUnit", "CostFilters", "CostTypes") if key in given}
    budget: dict[str, Any] = {**kept, "BudgetName": name}
    if "BudgetLimit" in given:
        limit = given["BudgetLimit"]
        budget["BudgetLimit"] = {"Amount": str(limit["Amount"]), "Unit": limit["Unit"]}
    if "CostTypes" in budget:
        budget["CostTypes"] = {key: str(value).lower() == "true" for key, value in budget["CostTypes"].items()}
    return budget


def _typed(notification: dict[str, Any]) -> dict[str, Any]:
    return {**notification, "Threshold": float(notification["Threshold"])}
