"""Alarms watch what SageMaker emits, slot by slot; one of them rolls back at once; silence is not a breach."""

from __future__ import annotations

import json
from typing import Any, get_args

from infra.guardrails import SLOTS
from infra.packaging import ROOT
from perennial import keys
from tests.infra.conftest import Assembly
from tests.infra.definitions import resolved


def guardrails(assembly: Assembly) -> dict[str, dict[str, Any]]:
    return {name: alarm for part, name, alarm in assembly.resources("AWS::CloudWatch::Alarm") if part == "Serving"}


def machines(assembly: Assembly) -> int:
    return len(list(assembly.resources("AWS::StepFunctions::StateMachine")))


def test_slots_are_those_that_rollouts_plan():
    from perennial import rollout_plan

    assert get_args(rollout_plan.Slot) == SLOTS


def test_p28_the_dimensions_of_a_slots_alarms_are_the_endpoints_and_the_slots(assembly: Assembly):
    endpoint = keys.endpoint_name("bikeshare", "dev")
    alarms = guardrails(assembly)
    wanted = {f"Guardrails{slot.title()}{kind}" for slot in SLOTS for kind in ("Errors", "Refuses", "Slower")}
    assert {name[:-8] for name in alarms} == wanted
    for name, alarm in alarms.items():
        slot = next(slot for slot in SLOTS if slot.title() in name)
        for query in alarm["Properties"]["Metrics"]:
            if "MetricStat" not in query:
                continue
            metric = query["MetricStat"]["Metric"]
            dimensions = {one["Name"]: one["Value"] for one in metric["Dimensions"]}
            # A slot is slow, or refuses, in comparison: "theirs" and "others" are the other slot's.
            (watched,) = (one for one in SLOTS if (one == slot) == (query["Id"] not in ("theirs", "others")))
            assert dimensions == {"EndpointName": endpoint, "VariantName": watched}, name
            assert metric["Namespace"] == "AWS/SageMaker", name
            assert query["MetricStat"]["Period"] == 60, name


def test_p28_silence_is_no_breach_and_few_requests_are_no_share(assembly: Assembly):
    for name, alarm in guardrails(assembly).items():
        properties = alarm["Properties"]
        assert properties["TreatMissingData"] == "notBreaching", name
        assert (properties["EvaluationPeriods"], properties["DatapointsToAlarm"]) == (3, 2), name
        (expression,) = [query["Expression"] for query in properties["Metrics"] if "Expression" in query]
        assert expression.startswith("IF(invocations >= "), name


def expression(assembly: Assembly, kind: str) -> tuple[str, float]:
    """The formula of the blue slot's alarm, and what it must not exceed."""
    (alarm,) = [one for name, one in guardrails(assembly).items() if name.startswith(f"GuardrailsBlue{kind}")]
    (found,) = [query["Expression"] for query in alarm["Properties"]["Metrics"] if "Expression" in query]
    return found, alarm["Properties"]["Threshold"]


def rings(assembly: Assembly, kind: str, **metrics: float | None) -> bool:
    """Whether a minute with these sums breaches the alarm, by the local cloud's metric math."""
    from localcloud.cloudwatch.expression import evaluate

    formula, threshold = expression(assembly, kind)
    (value,) = evaluate(formula, {name: [value] for name, value in metrics.items()})
    return value is not None and value > threshold


def test_p70_a_slot_that_refuses_what_the_other_answers_rings(assembly: Assembly):
    assert rings(assembly, "Refuses", mine=20, invocations=20, theirs=0, others=180)
    assert rings(assembly, "Refuses", mine=10, invocations=10, theirs=9, others=90)
    assert rings(assembly, "Refuses", mine=1000, invocations=1000, theirs=None, others=1000)


def test_a_callers_mistakes_reach_both_slots_and_ring_nowhere(assembly: Assembly):
    assert not rings(assembly, "Refuses", mine=6, invocations=20, theirs=54, others=180)
    assert not rings(assembly, "Refuses", mine=20, invocations=20, theirs=180, others=180)
    assert not rings(assembly, "Refuses", mine=9, invocations=20, theirs=54, others=180), "by chance"
    assert not rings(assembly, "Refuses", mine=0, invocations=20, theirs=180, others=180), "the other one's"


def test_nothing_is_compared_with_a_slot_that_has_hardly_any_traffic(assembly: Assembly):
    for others in (None, 1, 4):
        assert not rings(assembly, "Refuses", mine=20, invocations=20, theirs=0 if others else None, others=others)
    slow = {"mine": 900_000, "invocations": 500, "theirs": 1_000}
    assert rings(assembly, "Slower", **slow, others=100)
    assert not rings(assembly, "Slower", **slow, others=99)
    assert not rings(assembly, "Slower", **{**slow, "theirs": None}, others=None)


def test_the_outputs_name_the_endpoint_that_the_alarms_watch(assembly: Assembly):
    assert keys.endpoint_name("bikeshare", "dev") == assembly.templates["Serving"]["Outputs"]["EndpointName"]["Value"]


def test_one_alarm_over_each_slots_guardrails_calls_roll_back_itself(assembly: Assembly):
    """One over both slots would stay in ALARM, and silent, when the challenger's breach follows the champion's."""
    alarms = {name: alarm for _, name, alarm in assembly.resources("AWS::CloudWatch::CompositeAlarm")}
    assert len(alarms) == len(SLOTS)
    for slot in SLOTS:
        (alarm,) = [alarm for name, alarm in alarms.items() if slot.title() in name]
        rule = json.dumps(alarm["Properties"]["AlarmRule"])
        for guardrail in guardrails(assembly):
            assert (guardrail in rule) == (slot.title() in guardrail), (slot, guardrail)
        called = [action["Fn::GetAtt"][0] for action in alarm["Properties"]["AlarmActions"] if "Fn::GetAtt" in action]
        assert [one[: len("RollBackFunction")] for one in called] == ["RollBackFunction"]
    permissions = [
        permission["Properties"]
        for _, _, permission in assembly.resources("AWS::Lambda::Permission")
        if permission["Properties"]["Principal"] == "lambda.alarms.cloudwatch.amazonaws.com"
    ]
    sources = sorted(permission["SourceArn"]["Fn::GetAtt"][0] for permission in permissions)
    assert sorted(alarms) == sources


def test_executions_that_end_badly_ring_however_few_of_the_ways_have_datapoints(assembly: Assembly):
    """CloudWatch: arithmetic with a metric that has no datapoint gives no datapoint (checked 2026-11)."""
    from localcloud.cloudwatch.expression import evaluate

    expressions = [
        query["Expression"]
        for part, _, alarm in assembly.resources("AWS::CloudWatch::Alarm")
        if part == "Observability"
        for query in alarm["Properties"].get("Metrics", [])
        if "Expression" in query
    ]
    assert len(expressions) == 3
    for expression in expressions:
        for way in ("failed", "timed_out", "aborted"):
            series = {key: [1.0 if key == way else None] for key in ("failed", "timed_out", "aborted")}
            assert evaluate(expression, series) == [1.0], way


def test_functions_that_judge_a_rollout_know_each_slots_alarms(assembly: Assembly):
    template = assembly.templates["Serving"]
    for beginning in ("AnalyseCanaryFunction", "RollBackFunction"):
        _, function = assembly.one("Serving", "AWS::Lambda::Function", beginning)
        names = json.loads(resolved(function["Properties"]["Environment"]["Variables"]["ALARM_NAMES"], template))
        assert set(SLOTS) == names.keys()
        assert set(guardrails(assembly)) == {name for of_slot in names.values() for name in of_slot}


def test_every_dead_letter_queue_and_machine_has_an_alarm_that_tells_people(assembly: Assembly):
    alarms = [alarm for part, _, alarm in assembly.resources("AWS::CloudWatch::Alarm") if part == "Observability"]
    watched = json.dumps(alarms)
    dead = [
        name for _, name, _ in assembly.resources("AWS::SQS::Queue") if "DeadLetters" in name or "Undelivered" in name
    ]
    assert len(dead) == 7
    assert len(alarms) == len(dead) + 3
    for name in {name for name in dead if "Undelivered" not in name}:
        assert name in watched, name
    assert all(alarm["Properties"]["AlarmActions"] for alarm in alarms)


def test_the_runbook_says_what_every_alarm_means(assembly: Assembly):
    runbook = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    alarms = assembly.resources("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")
    assert len(alarms) >= 15
    names = {name[:-8].removeprefix("Guardrails") for _, name, _ in alarms}
    assert {name for name in names if f"`{name}`" not in runbook} == set()


def test_the_dashboard_shows_shares_errors_latency_quality_drift_freshness_runs_and_cost(assembly: Assembly):
    ((_, _, dashboard),) = assembly.resources("AWS::CloudWatch::Dashboard")
    body = json.loads(
        resolved(dashboard["Properties"]["DashboardBody"], assembly.templates["Observability"], assembly.templates)
    )
    titles = [widget["properties"].get("title") for widget in body["widgets"]]
    for wanted in ("Is it well?", "Traffic share", "5xx errors", "Quality", "Drift effect", "Runs"):
        assert wanted in titles
    assert any("latency" in title for title in titles)
    assert any("Age of" in title for title in titles)
    assert any("Cost" in title for title in titles)


def test_the_budget_is_the_deployments_and_calls_before_it_is_spent(assembly: Assembly):
    ((_, _, budget),) = assembly.resources("AWS::Budgets::Budget")
    data = budget["Properties"]["Budget"]
    assert data["CostFilters"] == {
        "TagKeyValue": ["user:deployment$bikeshare--dev"],
        "LinkedAccount": [{"Ref": "AWS::AccountId"}],
        "Region": [{"Ref": "AWS::Region"}],
    }
    thresholds = [one["Notification"]["Threshold"] for one in budget["Properties"]["NotificationsWithSubscribers"]]
    assert min(thresholds) < 100
