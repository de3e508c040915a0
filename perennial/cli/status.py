"""A loop's live truth in one look."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table

from perennial import keys
from perennial.cli.deployment import Deployment

__all__ = ["Status", "describe", "gather"]


@dataclass(frozen=True)
class Status:
    """What there is to know about a deployed loop right now."""

    loop: str
    stage: str
    champion: str | None
    endpoint: str
    endpoint_status: str | None
    variants: dict[str, dict[str, Any]]
    batches: dict[str, int]
    last_batch: dict[str, Any] | None
    rollout: dict[str, Any] | None
    running: tuple[str, ...]
    alarms: dict[str, str]
    events: tuple[dict[str, Any], ...] = field(default=())
    notice: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def latest_events(deployment: Deployment, count: int) -> list[dict[str, Any]]:
    """The newest ledger entries, newest last."""
    newest = deployment.catalog.query(keys.ledger_partition(deployment.loop), newest_first=True, limit=count)
    return [item for sort, item in reversed(list(newest)) if sort.isdigit()]


def _variants(deployment: Deployment, live: dict[str, Any]) -> tuple[str | None, dict[str, dict[str, Any]]]:
    try:
        endpoint = deployment.sagemaker.describe_endpoint(EndpointName=deployment["EndpointName"])
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationException":
            return None, {}
        raise
    total = sum(variant.get("CurrentWeight", 0.0) for variant in endpoint.get("ProductionVariants", [])) or 1.0
    slots = live.get("slots") or {}
    return endpoint["EndpointStatus"], {
        variant["VariantName"]: {
            "traffic_share": variant.get("CurrentWeight", 0.0) / total,
            "model_version": slots.get(variant["VariantName"]),
        }
        for variant in endpoint.get("ProductionVariants", [])
    }


def _alarms(deployment: Deployment) -> dict[str, str]:
    client = deployment.client("cloudwatch")
    # A stage's name may be the beginning of another's; with the part after it, it isn't.
    pages = (
        page
        for part in keys.STACK_PARTS
        for page in client.get_paginator("describe_alarms").paginate(
            AlarmNamePrefix=f"{keys.stack_name(deployment.loop, deployment.stage, part)}-",
            AlarmTypes=["MetricAlarm", "CompositeAlarm"],
        )
    )
    return {
        alarm["AlarmName"]: alarm["StateValue"]
        for page in pages
        for alarm in [*page.get("CompositeAlarms", []), *page.get("MetricAlarms", [])]
    }


def gather(deployment: Deployment, *, events: int = 8) -> Status:
    """Ask the catalog, the endpoint, the state machines and the alarms."""
    batches = dict(deployment.catalog.query(keys.batches_partition(deployment.loop)))
    live = deployment.catalog.get(keys.live_item(deployment.loop)) or {}
    endpoint_status, variants = _variants(deployment, live)
    counts = {
        "accepted": sum(batch.get("status") == "accepted" for batch in batches.values()),
        "rejected": sum(batch.get("status") == "rejected" for batch in batches.values()),
        "rows": sum(int(batch.get("rows", 0)) for batch in batches.values()),
        "quarantined_rows": sum(int(batch.get("quarantined", 0)) for batch in batches.values()),
    }
    accepted = [{"batch_id": name, **batch} for name, batch in batches.items() if batch.get("status") == "accepted"]
    last = max(accepted, key=lambda batch: str(batch.get("last_event_at")), default=None)
    running = [
        f"{part}: {execution['name']}"
        for part, output in (("learning", "LearningMachineArn"), ("rollout", "RolloutMachineArn"))
        for execution in deployment.states.list_executions(stateMachineArn=deployment[output], statusFilter="RUNNING")[
            "executions"
        ]
    ]
    return Status(
        loop=deployment.loop,
        stage=deployment.stage,
        champion=live.get("champion"),
        endpoint=deployment["EndpointName"],
        endpoint_status=endpoint_status,
        variants=variants,
        batches=counts,
        last_batch={name: str(last[name]) for name in ("batch_id", "rows", "last_event_at") if name in last}
        if last
        else None,
        rollout=live.get("rollout"),
        running=tuple(running),
        alarms=_alarms(deployment),
        events=tuple(latest_events(deployment, events)),
        notice=_outlived(live.get("rollout"), deployment.deployed_at),
    )


def _outlived(rollout: dict[str, Any] | None, deployed_at: datetime | None) -> str | None:
    """What to know of a rollout that has seen a deployment."""
    if rollout is None or deployed_at is None or datetime.fromisoformat(rollout["started_at"]) >= deployed_at:
        return None
    return (
        f"rollout {rollout['rollout_id'][:8]} goes on with code and policy of the earlier deployment that began it; "
        "alarms already ring by the new policy"
    )


def describe(status: Status) -> RenderableType:
    """The status as a person reads it."""
    facts = Table.grid(padding=(0, 2))
    facts.add_row("champion", status.champion or "none yet")
    facts.add_row("endpoint", f"{status.endpoint}: {status.endpoint_status or 'not created yet'}")
    for name, variant in sorted(status.variants.items()):
        bar = "█" * round(variant["traffic_share"] * 20)
        facts.add_row(f"  {name}", f"{variant['traffic_share']:6.1%} {bar:<20} {variant['model_version'] or ''}")
    facts.add_row(
        "batches",
        f"{status.batches['accepted']} accepted ({status.batches['rows']:,} rows), "
        f"{status.batches['rejected']} rejected, "
        f"{status.batches['quarantined_rows']:,} rows in quarantine",
    )
    facts.add_row("running", ", ".join(status.running) or "nothing")
    if status.notice:
        facts.add_row("notice", f"[yellow]{status.notice}[/yellow]")
    for name, state in sorted(status.alarms.items()):
        if state == "ALARM":
            facts.add_row("alarm", f"[red]{name}[/red]")
    lines = Table.grid(padding=(0, 2))
    for event in status.events:
        lines.add_row(str(event.get("at", ""))[:19], str(event.get("detail_type", "")), str(event.get("sentence", "")))
    return Group(
        Panel(facts, title=f"loop {status.loop}, stage {status.stage}"), Panel(lines, title="latest decisions")
    )
