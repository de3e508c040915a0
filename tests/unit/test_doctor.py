"""What an account says of itself becomes a line for a person: good, or what to do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from perennial.cost import idle_cost
from perennial.doctor import (
    AccountFacts,
    Concurrency,
    Identity,
    Line,
    LoopFacts,
    Missing,
    Unasked,
    diagnose_account,
    diagnose_loop,
    quota_needs,
)
from tests.builders import make_loop

REGIONS = ("eu-west-1", "us-east-1")
STACKS = {f"Perennial-demo--dev-{part}": "CREATE_COMPLETE" for part in ("Data", "Learning", "Serving", "Observability")}


def make_account(**changes: Any) -> AccountFacts:
    """An account in which nothing is wrong."""
    account = AccountFacts(
        identity=Identity("123456789012", "arn:aws:iam::123456789012:user/ann"),
        region="eu-west-1",
        bootstrap_version=21,
        concurrency=Concurrency(1000, 1000),
        denied={"the caller": ()},
    )
    return replace(account, **changes)


def make_facts(**changes: Any) -> LoopFacts:
    """A loop about which nothing is wrong."""
    quotas = {need.name: float(need.count) for need in quota_needs(make_loop())}
    facts = LoopFacts(quotas=quotas, stacks=STACKS, endpoint_status="InService", denied={"RolloutMachine": ()})
    return replace(facts, **changes)


def account_line(subject: str, **changes: Any) -> Line:
    [line] = [one for one in diagnose_account(make_account(**changes), regions=REGIONS) if one.subject == subject]
    return line


def loop_line(subject: str, *, loop: Any = None, **changes: Any) -> Line:
    lines = diagnose_loop(loop or make_loop(), "dev", make_facts(**changes))
    [line] = [one for one in lines if subject in one.subject]
    return line


def test_an_account_in_order_is_good_in_every_line():
    lines = diagnose_account(make_account(), regions=REGIONS) + diagnose_loop(make_loop(), "dev", make_facts())
    assert {line.verdict for line in lines} == {"good"}


def test_missing_credentials_say_what_is_missing_and_what_to_do():
    line = account_line("credentials", identity=Missing("AWS_SECRET_ACCESS_KEY is missing", "set it"))
    assert (line.verdict, line.sentence, line.advice) == ("act", "AWS_SECRET_ACCESS_KEY is missing", "set it")


def test_the_root_user_is_warned_of():
    line = account_line("credentials", identity=Identity("1", "arn:aws:iam::1:root"))
    assert line.verdict == "warning"
    assert "role or a user" in line.advice


@pytest.mark.parametrize("region", [None, "mars-north-1"])
def test_a_region_that_is_not_supported_is_refused_with_those_that_are(region: str | None):
    line = account_line("region", region=region)
    assert line.verdict == "act"
    assert line.advice.endswith("eu-west-1, us-east-1")


@pytest.mark.parametrize("version", [None, 5])
def test_a_region_without_a_bootstrap_or_with_an_old_one_gets_the_command(version: int | None):
    line = account_line("CDK bootstrap", bootstrap_version=version)
    assert line.verdict == "act"
    assert line.advice == "run `python -m infra.cdk_cli bootstrap aws://123456789012/eu-west-1`"


def test_a_fresh_accounts_ten_functions_at_once_are_a_warning():
    line = account_line("functions at once", concurrency=Concurrency(10, 10))
    assert line.verdict == "warning"
    assert "Concurrent executions" in line.advice


def test_a_denied_action_is_named_with_who_may_not():
    line = account_line("permissions to deploy", denied={"the caller": ("sts:AssumeRole on arn:x",), "another": ()})
    assert (line.verdict, line.sentence) == ("act", "the caller may not sts:AssumeRole on arn:x")


def test_what_could_not_be_asked_says_why_and_is_no_failure():
    line = account_line("CDK bootstrap", bootstrap_version=Unasked("AWS answered AccessDenied: no"))
    assert (line.verdict, line.sentence) == ("not asked", "AWS answered AccessDenied: no")


def test_a_rollout_takes_three_fleets_at_its_peak():
    loop = make_loop(rollout={"instance_type": "ml.c5.xlarge", "instance_count": 2})
    [need] = [need for need in quota_needs(loop) if need.name == "ml.c5.xlarge for endpoint usage"]
    assert (need.count, need.floor) == (6, 2)


@pytest.mark.parametrize(
    ("spot", "quota"),
    [(False, "ml.m5.large for training job usage"), (True, "ml.m5.large for spot training job usage")],
)
def test_spot_training_has_a_quota_of_its_own(spot: bool, quota: str):
    training = {"spot": spot}
    assert quota in [need.name for need in quota_needs(make_loop(training=training))]


@pytest.mark.parametrize(("limit", "said"), [(0, "0 allowed"), (2, "no other beside it")])
def test_a_quota_that_is_too_small_says_how_many_to_ask_for(limit: int, said: str):
    name = "ml.m5.large for endpoint usage"
    quotas = {need.name: float(need.count) for need in quota_needs(make_loop())} | {name: float(limit)}
    line = loop_line(name, quotas=quotas)
    assert line.verdict == "act"
    assert said in line.sentence
    assert line.advice.startswith(f'ask for 3 at Service Quotas: Amazon SageMaker, "{name}"')


def test_a_quota_for_large_files_alone_is_a_warning():
    name = "ml.m5.2xlarge for processing job usage"
    quotas = {need.name: float(need.count) for need in quota_needs(make_loop())} | {name: 0.0}
    assert loop_line(name, quotas=quotas).verdict == "warning"


def test_an_instance_type_that_the_region_does_not_list_is_a_warning():
    quotas = {need.name: float(need.count) for need in quota_needs(make_loop())}
    del quotas["ml.m5.large for endpoint usage"]
    line = loop_line("endpoint usage", quotas=quotas)
    assert (line.verdict, line.sentence) == ("warning", "Service Quotas lists no such quota in this region")


def test_no_stacks_are_no_fault_and_half_of_them_are():
    assert loop_line("stacks", stacks={}).verdict == "good"
    half = {name: status for name, status in STACKS.items() if "Data" in name}
    line = loop_line("stacks", stacks=half)
    assert line.verdict == "warning"
    assert "missing: Perennial-demo--dev-Learning" in line.sentence


@pytest.mark.parametrize("status", ["UPDATE_ROLLBACK_FAILED", "DELETE_FAILED", "ROLLBACK_COMPLETE"])
def test_a_stack_that_needs_a_person_is_named(status: str):
    line = loop_line("stacks", stacks={**STACKS, "Perennial-demo--dev-Serving": status})
    assert line.verdict == "act"
    assert "events of Perennial-demo--dev-Serving" in line.advice


def test_a_failed_endpoint_needs_a_person_and_none_is_no_fault():
    assert loop_line("endpoint perennial", endpoint_status="Failed").verdict == "act"
    assert loop_line("endpoint perennial", endpoint_status=None).verdict == "good"


def test_the_cost_is_the_estimates_and_above_the_budget_a_warning():
    loop = make_loop(cost={"monthly_budget": 1})
    line = loop_line("cost", loop=loop)
    assert line.verdict == "warning"
    assert f"{idle_cost(loop).usd:,.0f} USD a month" in line.sentence
