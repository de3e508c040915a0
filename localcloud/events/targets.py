"""What a rule hands to its targets."""

from __future__ import annotations

import json
from typing import Any

from ministack.core.arn import parse_arn
from ministack.services import eventbridge

from localcloud.context import Context
from localcloud.events.delivery import Courier, Parcel
from localcloud.extension import replace, require


def install(context: Context, courier: Courier) -> None:
    """Deliver to every target through `courier`."""
    require(eventbridge, "_pattern_event_view", "_apply_input_transformer", "_dispatch_to_event_bus")

    def invoke(target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], view: Any = None) -> None:
        view = view or eventbridge._pattern_event_view(event)
        own = _own_input(target, rule, view)
        arn = str(target.get("Arn", ""))
        context.put_metric("AWS/Events", "Invocations", 1, "Count", {"RuleName": rule.get("Name", "")})
        if arn.split(":")[2:3] == ["events"] and "/api-destination" not in arn and ":event-bus/" in arn:
            path = set(event.get("_DispatchPath") or [])
            eventbridge._dispatch_to_event_bus(parse_arn(arn), event, rule, path, own)
            return
        courier.send(
            Parcel(
                target=target,
                payload=own if own is not None else json.dumps(view.event_with_detail()),
                service="events.amazonaws.com",
                source_arn=rule.get("Arn", ""),
                # A role is used where AWS uses one; Lambda, SQS and SNS are reached by their own policies.
                role=target.get("RoleArn") if arn.split(":")[2] == "states" else None,
                execution_name=f"{event.get('EventId', '')}_{target.get('Id', '')}"[:80],
                labels={"RULE_ARN": rule.get("Arn", "")},
            )
        )

    replace(eventbridge, "_invoke_target", invoke)


def _own_input(target: dict[str, Any], rule: dict[str, Any], view: Any) -> str | None:
    """What the target wants in place of the event; None when it wants the event."""
    if target.get("InputTransformer"):
        return str(eventbridge._apply_input_transformer(target["InputTransformer"], rule, view))
    if target.get("Input"):
        return str(target["Input"])
    if target.get("InputPath"):
        value = view.event_with_detail()
        for name in target["InputPath"].removeprefix("$").strip(".").split("."):
            value = value.get(name) if name and isinstance(value, dict) else value
        return None if value is None else json.dumps(value)
    return None
