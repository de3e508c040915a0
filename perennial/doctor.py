"""Whether a loop can be deployed to an account and live there: what is good, what isn't, and what to do about it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from perennial import keys
from perennial.cost import LARGE_BATCH_INSTANCE, cycle_cost, idle_cost

if TYPE_CHECKING:
    from perennial.project import Loop

__all__ = [
    "BOOTSTRAP_VERSION",
    "AccountFacts",
    "Concurrency",
    "Identity",
    "Line",
    "LoopFacts",
    "Missing",
    "QuotaNeed",
    "Unasked",
    "diagnose_account",
    "diagnose_loop",
    "quota_needs",
]

# What the CDK's default synthesizer asks of the bootstrap stack; manifest.json of every assembly says so.
BOOTSTRAP_VERSION: Final = 6
# While UpdateEndpoint runs, the champion's old instances serve until the champion's and the challenger's new ones do.
_PEAK_FLEETS: Final = 3
# Three inboxes of ten functions at once, and as many again for what their events set off.
_ROOMY_CONCURRENCY: Final = 60

Verdict = Literal["good", "warning", "act", "not asked"]


@dataclass(frozen=True, slots=True)
class Line:
    """
    One thing that was looked at.

    Attributes
    ----------
    verdict
        "act": the loop won't work until somebody does what `advice` says. "warning": it works, and will disappoint.
    """

    subject: str
    verdict: Verdict
    sentence: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Unasked:
    """A fact that couldn't be had, and why, as a clause."""

    why: str


@dataclass(frozen=True, slots=True)
class Missing:
    """Credentials that aren't there or don't count: what is wrong, and what to do."""

    what: str
    advice: str


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks, and of which account."""

    account: str
    arn: str


@dataclass(frozen=True, slots=True)
class Concurrency:
    """How many functions may run at once in the account and region, and how many no function has reserved."""

    limit: int
    unreserved: int


@dataclass(frozen=True, slots=True)
class QuotaNeed:
    """
    How many instances a loop needs at once.

    Attributes
    ----------
    name
        As Service Quotas lists it for Amazon SageMaker.
    floor
        With fewer nothing of the kind works; between that and `count` only a part does.
    """

    name: str
    count: int
    floor: int
    why: str
    vital: bool = True


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """
    What an account says of itself.

    Attributes
    ----------
    bootstrap_version
        Of the CDK's stack in the region; None where there is none.
    denied
        Actions that deploying needs and a principal may not, by principal.
    """

    identity: Identity | Missing
    region: str | None
    bootstrap_version: int | Unasked | None
    concurrency: Concurrency | Unasked
    denied: Mapping[str, tuple[str, ...]] | Unasked


@dataclass(frozen=True, slots=True)
class LoopFacts:
    """
    What an account says of a loop.

    Attributes
    ----------
    quotas
        Limits by the quota's name.
    stacks
        Status by the stack's name.
    endpoint_status
        None where there is no endpoint.
    denied
        Roles that the loop's state machines may not pass, by machine.
    """

    quotas: Mapping[str, float] | Unasked
    stacks: Mapping[str, str] | Unasked
    endpoint_status: str | Unasked | None
    denied: Mapping[str, tuple[str, ...]] | Unasked


def quota_needs(loop: Loop) -> tuple[QuotaNeed, ...]:
    """
    The instances that a loop needs at once, by the quota that bounds them.

    Source: developer guide, "Update endpoints" (both fleets run until the new one is in service), read 2026-11.
    """
    training, rollout = loop.training, loop.rollout
    learning = "spot training job usage" if training.spot else "training job usage"
    needs = [
        QuotaNeed(
            f"{rollout.instance_type} for endpoint usage",
            _PEAK_FLEETS * rollout.instance_count,
            rollout.instance_count,
            "the champion's fleet twice and the challenger's, while a rollout begins",
        ),
        QuotaNeed(f"{training.instance_type} for {learning}", 1, 1, "one training job at a time"),
        QuotaNeed(f"{training.instance_type} for processing job usage", 1, 1, "one evaluation at a time"),
    ]
    if training.instance_type != LARGE_BATCH_INSTANCE:
        name = f"{LARGE_BATCH_INSTANCE} for processing job usage"
        needs.append(QuotaNeed(name, 1, 1, "a file that is too large for a function", vital=False))
    return tuple(needs)


def diagnose_account(facts: AccountFacts, *, regions: Collection[str]) -> list[Line]:
    """What there is to say of an account, whatever the loop; `regions` are those that a loop can be deployed to."""
    return [
        _identity(facts.identity),
        _region(facts.region, regions),
        _bootstrap(facts),
        _concurrency(facts.concurrency),
        _permissions("permissions to deploy", facts.denied),
    ]


def diagnose_loop(loop: Loop, stage: str, facts: LoopFacts) -> list[Line]:
    """What there is to say of a loop in an account."""
    return [
        *_quotas(loop, facts.quotas),
        _stacks(loop, stage, facts.stacks),
        _endpoint(loop, stage, facts.endpoint_status),
        _permissions(f"{loop.name}: permissions to pass roles", facts.denied),
        _cost(loop),
    ]


def _identity(identity: Identity | Missing) -> Line:
    if isinstance(identity, Missing):
        return Line("credentials", "act", identity.what, identity.advice)
    who = f"{identity.arn} of account {identity.account}"
    if identity.arn.endswith(":root"):
        return Line(
            "credentials", "warning", who,
            "on AWS, deploy as a role or a user of IAM: the root user's keys can't be limited",
        )  # fmt: skip
    return Line("credentials", "good", who)


def _region(region: str | None, regions: Collection[str]) -> Line:
    supported = ", ".join(sorted(regions))
    if region is None:
        return Line("region", "act", "none is set", f"set AWS_REGION to one of {supported}")
    if region not in regions:
        return Line("region", "act", f"{region} isn't supported", f"choose one of {supported}")
    return Line("region", "good", region)


def _bootstrap(facts: AccountFacts) -> Line:
    version = facts.bootstrap_version
    if isinstance(version, Unasked):
        return Line("CDK bootstrap", "not asked", version.why)
    account = facts.identity.account if isinstance(facts.identity, Identity) else "ACCOUNT"
    command = f"run `python -m infra.cdk_cli bootstrap aws://{account}/{facts.region}`"
    if version is None:
        return Line("CDK bootstrap", "act", f"{facts.region} isn't bootstrapped", command)
    if version < BOOTSTRAP_VERSION:
        return Line("CDK bootstrap", "act", f"version {version}; {BOOTSTRAP_VERSION} or later is needed", command)
    return Line("CDK bootstrap", "good", f"version {version}")


def _concurrency(concurrency: Concurrency | Unasked) -> Line:
    subject = "functions at once"
    if isinstance(concurrency, Unasked):
        return Line(subject, "not asked", concurrency.why)
    sentence = f"{concurrency.limit} in this region, {concurrency.unreserved} of them reserved by nobody"
    if concurrency.unreserved < _ROOMY_CONCURRENCY:
        return Line(
            subject, "warning", sentence,
            f"many files at once would hold up a roll-back; ask for more at Service Quotas ({_ROOMY_CONCURRENCY} are "
            'enough for one loop): AWS Lambda, "Concurrent executions"',
        )  # fmt: skip
    return Line(subject, "good", sentence)


def _permissions(subject: str, denied: Mapping[str, tuple[str, ...]] | Unasked) -> Line:
    if isinstance(denied, Unasked):
        return Line(subject, "not asked", denied.why)
    refused = [f"{who} may not {', '.join(actions)}" for who, actions in sorted(denied.items()) if actions]
    if refused:
        advice = "allow it, or ask who may; a permissions boundary or a policy of the organization may forbid it"
        return Line(subject, "act", "; ".join(refused), advice)
    if not denied:
        return Line(subject, "not asked", "there is nobody yet whose permissions could be simulated")
    return Line(subject, "good", f"asked for {', '.join(sorted(denied))}: nothing is denied")


def _quotas(loop: Loop, quotas: Mapping[str, float] | Unasked) -> list[Line]:
    if isinstance(quotas, Unasked):
        return [Line(f"{loop.name}: quotas", "not asked", quotas.why)]
    return [_quota(loop, need, quotas.get(need.name)) for need in quota_needs(loop)]


def _quota(loop: Loop, need: QuotaNeed, limit: float | None) -> Line:
    subject = f"{loop.name}: {need.name}"
    if limit is None:
        return Line(
            subject, "warning", "Service Quotas lists no such quota in this region",
            "check that the instance type exists there",
        )  # fmt: skip
    sentence = f"{limit:g} allowed, {need.count} needed ({need.why})"
    if limit >= need.count:
        return Line(subject, "good", sentence)
    if limit >= need.floor:
        sentence += "; the first model can be served, and no other beside it"
    advice = f'ask for {need.count} at Service Quotas: Amazon SageMaker, "{need.name}"; or choose another instance type'
    return Line(subject, "act" if need.vital else "warning", sentence, advice)


def _stacks(loop: Loop, stage: str, stacks: Mapping[str, str] | Unasked) -> Line:
    subject = f"{loop.name}: stacks of stage {stage}"
    if isinstance(stacks, Unasked):
        return Line(subject, "not asked", stacks.why)
    expected = [keys.stack_name(loop.name, stage, part) for part in keys.STACK_PARTS]
    existing = {name: stacks[name] for name in expected if name in stacks}
    if not existing:
        return Line(subject, "good", f"none yet; `cdk deploy --all -c loop={loop.name} -c stage={stage}` makes them")
    sentence = ", ".join(f"{name} {status}" for name, status in existing.items())
    broken = [name for name, status in existing.items() if "FAILED" in status or status == "ROLLBACK_COMPLETE"]
    if broken:
        return Line(
            subject, "act", sentence,
            f"see why in CloudFormation's events of {', '.join(broken)}; then deploy again, or delete what never was "
            "whole",
        )  # fmt: skip
    if len(existing) < len(expected):
        absent = ", ".join(name for name in expected if name not in existing)
        return Line(subject, "warning", f"{sentence}; missing: {absent}", "deploy again with --all")
    return Line(subject, "good", sentence)


def _endpoint(loop: Loop, stage: str, status: str | Unasked | None) -> Line:
    subject = f"{loop.name}: endpoint {keys.endpoint_name(loop.name, stage)}"
    if isinstance(status, Unasked):
        return Line(subject, "not asked", status.why)
    if status is None:
        return Line(subject, "good", "none yet; the first model makes it")
    if status in ("Failed", "OutOfService", "UpdateRollbackFailed"):
        return Line(subject, "act", status, f"`perennial status {loop.name} --stage {stage}` says why")
    return Line(subject, "good", status)


def _cost(loop: Loop) -> Line:
    idle, cycle = idle_cost(loop), cycle_cost(loop)
    sentence = f"about {idle.usd:,.0f} USD a month while nothing happens, {cycle.usd:,.2f} USD each time it learns"
    unknown = (*idle.unknown, *cycle.unknown)
    if unknown:
        return Line(f"{loop.name}: cost", "warning", f"{sentence}; not counted: {'; '.join(unknown)}", "look it up")
    if idle.usd > loop.cost.monthly_budget_usd:
        return Line(
            f"{loop.name}: cost", "warning", f"{sentence}; the budget is {loop.cost.monthly_budget_usd:g} USD",
            "raise [cost] monthly_budget, or choose a smaller [rollout] instance_type",
        )  # fmt: skip
    return Line(f"{loop.name}: cost", "good", sentence)
