"""Least privilege inside of table and bus: each role uses its own partitions and says its own kinds of event."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from infra import shipped
from infra.packaging import ROOT
from infra.partitions import ITEM_ACTIONS, catalog_statement
from perennial.events import SOURCE, Event, LoopPaused, LoopResumed
from perennial.keys import Partition, partition_name
from tests.infra.conftest import Assembly

LOOP = "bikeshare"
WRITING = {"dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"}
# What decides over models, traffic and the record of both: whoever else could write these could forge a decision.
WRITERS = {
    Partition.LIVE: {"PrepareRollout", "FinishRollout", "RollBack"},
    Partition.LOCKS: {"PrepareRollout", "FinishRollout", "RollBack"},
    Partition.ROLLOUTS: {"PrepareRollout", "AnalyseCanary", "FinishRollout", "RollBack"},
    Partition.MODELS: {"RegisterModel", "RequestApproval", "SettleApproval", "FinishRollout", "RollBack"},
    Partition.APPROVALS: {"RequestApproval", "SettleApproval"},
    Partition.RUNS: {"DecideRetraining", "FreezeDataset", "JudgeCandidate", "ConcludeRun"},
    Partition.TRIGGER: {"DecideRetraining"},
    Partition.LEDGER: {"AppendLedger"},
    Partition.LEDGER_RECEIPTS: {"AppendLedger"},
    Partition.LEDGER_HEAD: {"AppendLedger"},
}


def granted(assembly: Assembly, service: str) -> list[tuple[str, set[str], dict[str, Any]]]:
    """(role, actions, statement) of every statement about a service's actions."""
    found = []
    for _, _, policy in assembly.resources("AWS::IAM::Policy"):
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
            actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            if any(action.startswith(f"{service}:") for action in actions):
                found += [(str(role["Ref"]), set(actions), statement) for role in policy["Properties"]["Roles"]]
    return found


def partitions(statement: dict[str, Any]) -> set[str]:
    (condition,) = statement["Condition"].values()
    (names,) = condition.values()
    return set(names if isinstance(names, list) else [names])


def test_every_use_of_the_catalog_is_of_partitions_by_operations_that_name_one(earning_assembly: Assembly):
    known = {partition_name(LOOP, partition) for partition in Partition}
    uses = granted(earning_assembly, "dynamodb")
    assert len(uses) >= 40
    for role, actions, statement in uses:
        assert actions <= {f"dynamodb:{operation}" for operation in ITEM_ACTIONS}, role
        assert [*statement["Condition"]] == ["ForAllValues:StringEquals"], role
        assert [*statement["Condition"]["ForAllValues:StringEquals"]] == ["dynamodb:LeadingKeys"], role
        assert partitions(statement) <= known, role
        assert partitions(statement), role


@pytest.mark.parametrize("partition", WRITERS)
def test_only_these_write_what_decides(earning_assembly: Assembly, partition: Partition):
    name = partition_name(LOOP, partition)
    writers = {
        role.partition("Role")[0]
        for role, actions, statement in granted(earning_assembly, "dynamodb")
        if actions & WRITING and name in partitions(statement)
    }
    assert WRITERS[partition] == writers


def test_every_partition_has_somebody_who_writes_it(earning_assembly: Assembly):
    written = {
        name
        for _, actions, statement in granted(earning_assembly, "dynamodb")
        if actions & WRITING
        for name in partitions(statement)
    }
    assert {partition_name(LOOP, partition) for partition in Partition} == written


def announced(assembly: Assembly) -> dict[str, set[str]]:
    """Kinds of event by role."""
    found = {}
    for role, actions, statement in granted(assembly, "events"):
        if actions == {"events:PutEvents"}:
            condition = statement["Condition"]["ForAllValues:StringEquals"]
            assert condition["events:source"] == SOURCE, role
            assert statement["Condition"]["Null"] == dict.fromkeys(condition, "false"), role
            named = condition["events:detail-type"]
            found[role] = {named} if isinstance(named, str) else set(named)
    return found


def test_every_kind_of_event_is_said_by_some_function_or_by_people(earning_assembly: Assembly):
    by_people = {LoopPaused.detail_type, LoopResumed.detail_type}
    kinds = {kind.detail_type for kind in Event.__subclasses__()}
    assert kinds - by_people == set().union(*announced(earning_assembly).values())


def test_no_role_puts_events_without_naming_their_kinds(earning_assembly: Assembly):
    putting = {role for role, actions, _ in granted(earning_assembly, "events") if "events:PutEvents" in actions}
    assert announced(earning_assembly).keys() == putting


@pytest.mark.parametrize("module", sorted(name for names in shipped.FUNCTIONS.values() for name in names))
def test_p58_a_function_says_and_uses_what_its_docstring_lists(earning_assembly: Assembly, module: str):
    text = " ".join((ROOT / "functions" / f"{module}.py").read_text().split('"""')[1].split())
    functions = earning_assembly.resources("AWS::Lambda::Function")
    handler = f"functions.{module}.handler"
    roles = {f["Properties"]["Role"]["Fn::GetAtt"][0] for _, _, f in functions if f["Properties"]["Handler"] == handler}
    said = re.search(r"Announces: (.*?)\.(?: |$)", text)
    used = {
        (action, name.partition("#")[2])
        for role, actions, statement in granted(earning_assembly, "dynamodb")
        if role in roles
        for action in actions
        for name in partitions(statement)
    }
    listed = re.search(r"- catalog table: (.*?)(?: - |$)", text)
    assert (set(re.split(r", | or ", said[1])) if said else set()) == set().union(
        *(kinds for role, kinds in announced(earning_assembly).items() if role in roles)
    )
    assert used == set(_listed(listed[1] if listed else ""))


def _listed(line: str) -> Iterator[tuple[str, str]]:
    """(action, partition) of `dynamodb:GetItem, PutItem on `a`, `b`; ...`."""
    for part in filter(None, line.split("; ")):
        actions, _, names = part.removeprefix("dynamodb:").partition(" on ")
        yield from (
            (f"dynamodb:{one}", name) for one in actions.split(", ") for name in re.findall(r"`([^`]*)`", names)
        )


def test_a_scan_is_no_use_of_partitions():
    with pytest.raises(ValueError, match=r"must be one of GetItem, Query.* Got Scan instead"):
        catalog_statement(None, [Partition.LIVE], ["GetItem", "Scan"])  # type: ignore[arg-type]
